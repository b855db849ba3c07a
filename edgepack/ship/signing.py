"""ed25519 signatures of a module's manifest. Needs `cryptography`, the extra `sign`, and only where a key is given.

What a signature proves: the manifest, and with it the hash of every model file, was written by whoever holds the private key. The
public key stands in the module's own code and not beside the model, because who can exchange the model could exchange a key beside
it as well. It does not prove that the code is untouched: that is for the app's own signature, the package manager or the disk.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.core.errors import EdgepackError
from edgepack.ship.shipment import Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MAKE_ONE = "make one with `openssl genpkey -algorithm ed25519 -out key.pem`"


def read_signer(file: Path) -> Signer:
    """EdgepackError: no such file, no ed25519 key, one behind a password, or `cryptography` is not installed."""
    raw = _private_key(file).public_key().public_bytes_raw()
    return Signer(file=file, public_key=raw.hex())


def sign(signer: Signer, content: bytes) -> bytes:
    """64 bytes."""
    return _private_key(signer.file).sign(content)


def _private_key(file: Path) -> "Ed25519PrivateKey":
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise EdgepackError("to sign needs cryptography: not installed here", "pip install 'edgepack[sign]'") from None
    if not file.is_file():
        raise EdgepackError(f"no key file: {str(file)!r}", _MAKE_ONE)
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:  # TypeError: a password is missing
        raise EdgepackError(f"not a private key in PEM, or one behind a password: {str(file)!r} ({error})", _MAKE_ONE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise EdgepackError(f"{str(file)!r} holds another kind of key than ed25519", _MAKE_ONE)
    return key
