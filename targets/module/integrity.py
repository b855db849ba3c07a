"""Whether the files are those that were shipped: signature, then size and sha256 of every file, before anything reads the model."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from pathlib import Path

from .errors import Changed, ModuleError
from .signer import PUBLIC_KEY

SIGNATURE_FILE = "module.sig"
_CHUNK_BYTES = 1 << 20
_AGAIN = "install the module again"


def read_manifest(folder: Path, name: str) -> dict:
    """The manifest, its signature checked where the module knows a key. Changed where it is missing, damaged or not signed by it."""
    try:
        content = (folder / name).read_bytes()
        manifest = json.loads(content)
    except (OSError, ValueError) as error:
        raise Changed("no module in {}: {} cannot be read: {}".format(folder, name, error), _AGAIN) from None
    if PUBLIC_KEY and name == "module.json":  # a pack itself is not signed: its module is
        _check_signature(folder / SIGNATURE_FILE, content)
    return manifest


def check_files(folder: Path, manifest: dict, names=None) -> None:
    """Changed names the first file that is missing or another. names: those to look at, all that the manifest lists if left out."""
    for entry in manifest["files"]:
        if names is not None and entry["name"] not in names:
            continue
        path = folder / entry["name"]
        if not path.is_file():
            raise Changed("{} is missing from {}".format(entry["name"], folder), _AGAIN)
        if path.stat().st_size != entry["bytes"] or _sha256(path) != entry["sha256"]:
            raise Changed("{} in {} was changed: its hash is not the one it was shipped with".format(entry["name"], folder), _AGAIN)


def _check_signature(path: Path, content: bytes) -> None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        problem = "the module is signed, and cryptography, which checks that, does not load: {}".format(error)
        raise ModuleError(problem, "pip install -r requirements.txt") from None
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(PUBLIC_KEY)).verify(base64.b64decode(path.read_bytes()), content)
    except OSError:
        raise Changed("{} is missing: the module is to be signed".format(path.name), _AGAIN) from None
    except (InvalidSignature, binascii.Error):
        raise Changed("{} is not signed by the key that this module knows".format(path.with_name("module.json")), _AGAIN) from None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()
