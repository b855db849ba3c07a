"""Writes SHA256SUMS and a build statement into a module, for whoever checks it without running it.

The statement is the pack's (edgepack/pack/attestation.py), about the module's files. Where a key was given, attestation.dsse.json holds
it signed, in a DSSE envelope.
"""

import base64
import json
from pathlib import Path
from typing import Any

from edgepack.core.files import hashes_under
from edgepack.pack.attestation import build_parameters, statement
from edgepack.pack.manifest import STATEMENT_FILE, SUMS_FILE, sums_text
from edgepack.ship.shipment import Shipment
from edgepack.ship.signing import sign

ENVELOPE_FILE = "attestation.dsse.json"
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
    (folder / SUMS_FILE).write_text(sums_text(hashes_under(folder, without=SUMS_FILE)), encoding="utf-8")


def _signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: type and payload, each behind its length."""
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)


def _statement(folder: Path, shipment: Shipment) -> dict[str, Any]:
    release, manifest = shipment.release, shipment.manifest
    parameters = {"name": shipment.name, "platform": shipment.platform, "version": release.version} | build_parameters(manifest)
    content = statement(hashes_under(folder, without=SUMS_FILE), _BUILD_TYPE, parameters, manifest)
    content["predicate"]["runDetails"]["metadata"] = {"startedOn": release.created}
    return content
