"""Whether the files are those that were shipped: signature, then size and sha256 of every file, before anything reads the model."""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
import time
from pathlib import Path

from .errors import Changed, ModuleError
from .hashing import file_sha256
from .manifest import AGAIN, check_manifest
from .signer import MINIMUM_VERSION, NAME, PUBLIC_KEYS

SIGNATURE_FILE = "module.sig"
_DEEPEST = 200
_HALF = re.compile("[\ud800-\udfff]")
_VERSION = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}\Z", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", re.ASCII)


def read_manifest(folder: Path, name: str) -> dict:
    """The manifest, whose signature is checked where the module knows a key, and its name, version and time where it has a name.

    Changed where it is missing or damaged, lacks a field or has a wrong one, is not signed by a known key, is another module's, older than
    the module allows, or expired.
    """
    try:
        content = (folder / name).read_bytes()
        manifest = json.loads(content.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_no_number)
        _check_values(manifest)
    except (OSError, ValueError, RecursionError) as error:
        raise Changed("no module in {}: {} cannot be read: {}".format(folder, name, error), AGAIN) from None
    is_module = name == "module.json"  # a pack itself is not signed: its module is
    if is_module and PUBLIC_KEYS:
        _check_signature(folder / SIGNATURE_FILE, content)
    check_manifest(manifest, name)
    if is_module and NAME:
        _check_release(manifest, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    return manifest


def _each_once(pairs) -> dict:
    """Of a key that stands twice one reader takes the first value, another the last."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands there twice")
    return fields


def _no_number(name):
    raise ValueError("{} is no number of JSON".format(name))


def _check_values(manifest) -> None:
    """ValueError for what one platform's reader takes and another one's refuses, in fields that nothing reads too."""
    level, depth = [manifest], 0
    while level:
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        below = []
        for value in level:
            if isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and _HALF.search(value):
                raise ValueError("a text holds half a character")
            elif type(value) in (int, float) and not abs(value) <= sys.float_info.max:
                raise ValueError("a number is too large")
        level, depth = below, depth + 1


def _check_release(manifest, now: str) -> None:
    """now: UTC, as 2030-12-31T00:00:00Z, by this device's clock."""
    if manifest.get("name") != NAME:
        raise Changed("module.json belongs to the module {!r}, and this is {!r}".format(manifest.get("name"), NAME), AGAIN)
    version = manifest.get("version")
    if _numbers(version) < _numbers(MINIMUM_VERSION):
        raise Changed("the model has version {!r}, and this module opens {} or newer".format(version, MINIMUM_VERSION), AGAIN)
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
            raise Changed("{} is missing from {}".format(entry["name"], folder), AGAIN)
        if path.stat().st_size != entry["bytes"] or file_sha256(path) != entry["sha256"]:
            raise Changed("{} in {} was changed: its hash is not the one it was shipped with".format(entry["name"], folder), AGAIN)


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
        raise Changed("{} is missing: the module is to be signed".format(path.name), AGAIN) from None
    except binascii.Error:
        signature = b""
    for key in PUBLIC_KEYS:
        try:
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, content)
        except InvalidSignature:
            continue
    raise Changed("{} is not signed by a key that this module knows".format(path.with_name("module.json")), AGAIN)
