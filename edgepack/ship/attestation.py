"""What a module is made of, for whoever checks it without running it: SHA256SUMS, and a statement about its build.

The statement is in-toto's (https://in-toto.io/Statement/v1) with the predicate of SLSA's provenance (https://slsa.dev/provenance/v1).
Where a key was given, attestation.dsse.json holds it signed, in a DSSE envelope.
"""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from edgepack.ship.shipment import Shipment
from edgepack.ship.signing import sign

SUMS_FILE, STATEMENT_FILE, ENVELOPE_FILE = "SHA256SUMS", "attestation.json", "attestation.dsse.json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_BUILD_TYPE = "urn:edgepack:ship:v1"


def write_attestation(folder: Path, shipment: Shipment) -> None:
    """About every file that is in `folder` now. SHA256SUMS is as `sha256sum --check` reads it."""
    text = json.dumps(_statement(folder, shipment), indent=1, ensure_ascii=True) + "\n"
    (folder / STATEMENT_FILE).write_text(text, encoding="utf-8")
    if shipment.signer:
        envelope = {
            "payloadType": _PAYLOAD_TYPE,
            "payload": base64.b64encode(text.encode()).decode(),
            "signatures": [
                {"keyid": shipment.signer.public_key, "sig": base64.b64encode(sign(shipment.signer, _signed_bytes(text.encode()))).decode()}
            ],
        }
        (folder / ENVELOPE_FILE).write_text(json.dumps(envelope, indent=1) + "\n", encoding="utf-8")
    lines = [f"{digest}  {name}\n" for name, digest in _digests(folder).items()]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")


def _signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: type and payload, each behind its length."""
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS_FILE)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _statement(folder: Path, shipment: Shipment) -> dict[str, Any]:
    manifest = shipment.manifest
    sources = [("model", manifest.source), *([("data", manifest.data)] if manifest.data else [])]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in _digests(folder).items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {
                    "name": shipment.name,
                    "platform": shipment.platform,
                    "version": shipment.release.version,
                    "recipe": _without_folders(manifest.recipe.as_json()),
                    "profile": manifest.profile.name,
                    "seed": manifest.seed,
                },
                "internalParameters": {"pack_id": manifest.pack_id, "versions": manifest.versions},
                "resolvedDependencies": [
                    {"name": _without_folders(origin.name), "annotations": {"role": role}, "digest": {"sha256": origin.sha256}}
                    for role, origin in sources
                ],
            },
            "runDetails": {
                "builder": {"id": "edgepack", "version": {"edgepack": manifest.edgepack}},
                "metadata": {"startedOn": shipment.release.created},
            },
        },
    }


def _without_folders(value: Any) -> Any:
    """The same, where of each path of the machine that built the pack only the last part is left."""
    if isinstance(value, dict):
        return {key: _without_folders(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_folders(part) for part in value]
    is_path = isinstance(value, str) and re.match(r"[/~.\\]|[A-Za-z]:[/\\]", value)
    return re.split(r"[/\\]", value.rstrip("/\\"))[-1] if is_path else value
