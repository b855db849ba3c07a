"""Whether the files are those that were shipped: signature, then size and sha256 of every file, before anything reads the model."""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from pathlib import Path

from .errors import Changed, ModuleError
from .hashing import file_sha256
from .signer import MINIMUM_VERSION, NAME, PUBLIC_KEYS

SIGNATURE_FILE = "module.sig"
_VERSION = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}\Z", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z")  # as of a pack's files: also no drive or stream of Windows
_AGAIN = "install the module again"


def read_manifest(folder: Path, name: str) -> dict:
    """The manifest, whose signature is checked where the module knows a key, and its name, version and time where it has a name.

    Changed where it is missing, damaged, not signed by a known key, another module's, older than the module allows, or expired.
    """
    try:
        content = (folder / name).read_bytes()
        manifest = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise Changed("no module in {}: {} cannot be read: {}".format(folder, name, error), _AGAIN) from None
    if not _lists_files(manifest):
        raise Changed("no module in {}: {} has no list of files".format(folder, name), _AGAIN)
    if name == "module.json":  # a pack itself is not signed: its module is
        if PUBLIC_KEYS:
            _check_signature(folder / SIGNATURE_FILE, content)
        if NAME:
            _check_release(manifest, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    return manifest


def _lists_files(manifest) -> bool:
    """Each with its plain name, size and hash: nothing outside the folder."""
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, list):
        return False
    kinds = {"name": str, "bytes": int, "sha256": str}
    whole = all(isinstance(entry, dict) and all(type(entry.get(key)) is kind for key, kind in kinds.items()) for entry in files)
    return whole and all(_PLAIN.match(entry["name"]) for entry in files)


def check_opened(manifest: dict, name: str) -> None:
    """Changed where what will be opened is not among the listed files, so that no hash would be compared. name: the manifest's, to tell."""
    listed = {entry["name"] for entry in manifest["files"]}
    model, coded = manifest.get("model"), manifest.get("coded")
    if coded:
        fields = [coded.get(key) for key in ("file", "coded")] if isinstance(coded, dict) else []
        if not (fields and all(isinstance(field, str) and _PLAIN.match(field) for field in fields) and fields[1] in listed):
            raise Changed("{} names no listed file of coded weights".format(name), _AGAIN)
        listed.add(fields[0])  # its hash is compared once it is decoded
    if not isinstance(model, str) or model not in listed:
        raise Changed("{} names no listed model".format(name), _AGAIN)
    if "tokenizer.json" not in listed:
        raise Changed("{} lists no tokenizer.json".format(name), _AGAIN)


def _check_release(manifest, now: str) -> None:
    """now: UTC, as 2030-12-31T00:00:00Z, by this device's clock."""
    if manifest.get("name") != NAME:
        raise Changed("module.json belongs to the module {!r}, and this is {!r}".format(manifest.get("name"), NAME), _AGAIN)
    version = manifest.get("version")
    if _numbers(version) < _numbers(MINIMUM_VERSION):
        raise Changed("the model has version {!r}, and this module opens {} or newer".format(version, MINIMUM_VERSION), _AGAIN)
    expires = manifest.get("expires")
    if expires is not None and not (isinstance(expires, str) and _TIME.match(expires) and now < expires):
        raise Changed("the model expired at {}, by this device's clock".format(expires), "install a newer module, or set the clock")


def _numbers(version) -> tuple:
    """Below every version where it is none."""
    return tuple(int(part) for part in version.split(".")) if isinstance(version, str) and _VERSION.match(version) else (-1,)


def check_files(folder: Path, manifest: dict, names=None) -> None:
    """Changed names the first file that is missing or another. names: those to look at, all that the manifest lists if left out."""
    for entry in manifest["files"]:
        if names is not None and entry["name"] not in names:
            continue
        path = folder / entry["name"]
        if not path.is_file():
            raise Changed("{} is missing from {}".format(entry["name"], folder), _AGAIN)
        if path.stat().st_size != entry["bytes"] or file_sha256(path) != entry["sha256"]:
            raise Changed("{} in {} was changed: its hash is not the one it was shipped with".format(entry["name"], folder), _AGAIN)


def _check_signature(path: Path, content: bytes) -> None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        problem = "the module is signed, and cryptography, which checks that, does not load: {}".format(error)
        raise ModuleError(problem, "pip install -r requirements.txt") from None
    try:
        written = path.read_bytes()
        signature = base64.b64decode(written.strip(), validate=True)
        if base64.b64encode(signature) + b"\n" != written:  # base64 has several spellings of the same bytes
            signature = b""
    except OSError:
        raise Changed("{} is missing: the module is to be signed".format(path.name), _AGAIN) from None
    except binascii.Error:
        signature = b""
    for key in PUBLIC_KEYS:
        try:
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, content)
        except InvalidSignature:
            continue
    raise Changed("{} is not signed by a key that this module knows".format(path.with_name("module.json")), _AGAIN)
