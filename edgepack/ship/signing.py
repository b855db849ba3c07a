"""ed25519 signatures of a module's manifest. Needs `cryptography`, the extra `sign`, and only where a key is given.

What a signature proves: the manifest, and with it the hash of every model file, was written by whoever holds the private key. The
public key stands in the module's own code and not beside the model, because who can exchange the model could exchange a key beside
it as well. It does not prove that the code is untouched: that is for the app's own signature, the package manager or the disk.
"""

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MAKE_ONE = "make one with `openssl genpkey -algorithm ed25519 -out key.pem`"


class Signer(Frozen):
    """An ed25519 key, read from the PEM file of `--sign`. public_key: 64 hexadecimal digits."""

    file: Path
    public_key: str = Field(pattern="^[0-9a-f]{64}$")


def read_signer(file: Path) -> Signer:
    """EdgepackError: no such file, no ed25519 key, one behind a password, or `cryptography` is not installed."""
    raw = _private_key(file).public_key().public_bytes_raw()
    return Signer(file=file, public_key=raw.hex())


def read_public_key(file: Path) -> str:
    """64 hexadecimal digits. EdgepackError: no such file, or no ed25519 public key in PEM."""
    _needs_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    fix = "write it with `openssl pkey -in key.pem -pubout -out public.pem`"
    key: Ed25519PublicKey = _read_key(file, "public key", load_pem_public_key, Ed25519PublicKey, fix)
    return key.public_bytes_raw().hex()


def permissions_warning(file: Path) -> tuple[str, ...]:
    """Where other users of this machine may read or change a private key. Windows has no such permissions."""
    mode = file.stat().st_mode & 0o777
    if os.name != "posix" or not mode & 0o077:
        return ()
    return (f"other users of this machine can reach the private key {file.name} (mode {mode:o}): run `chmod 600 {file.name}` on it",)


def sign(signer: Signer, content: bytes) -> bytes:
    """64 bytes."""
    return _private_key(signer.file).sign(content)


def _needs_cryptography() -> None:
    if find_spec("cryptography") is None:
        raise EdgepackError("signing needs the library cryptography, which is not installed here", "pip install 'edgepack[sign]'")


def _private_key(file: Path) -> "Ed25519PrivateKey":
    _needs_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Ed25519PrivateKey = _read_key(file, "private key", partial(load_pem_private_key, password=None), Ed25519PrivateKey, _MAKE_ONE)
    return key


def _read_key(file: Path, what: str, load: Callable[[bytes], Any], kind: type, fix: str) -> Any:
    """EdgepackError: no such file, no PEM that `load` reads, or a key of another kind."""
    if not file.is_file():
        raise EdgepackError(f"no {what} file: {str(file)!r}", fix)
    try:
        key = load(file.read_bytes())
    except (ValueError, TypeError) as error:  # TypeError: a password is missing
        raise EdgepackError(f"not a {what} in PEM, or one behind a password: {str(file)!r} ({error})", fix) from None
    if not isinstance(key, kind):
        raise EdgepackError(f"{str(file)!r} holds another kind of key than ed25519", fix)
    return key
