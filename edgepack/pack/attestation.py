"""How a pack was made, for whoever checks it without running it: attestation.json, and the parts that a module's has too.

The statement is in-toto's (https://in-toto.io/Statement/v1) with the predicate of SLSA's provenance (https://slsa.dev/provenance/v1).
A pack's statement names no time: the same build gives the same statement.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack.core.showing import without_folders
from edgepack.pack.manifest import REPORT_FILES, STATEMENT_FILE, Manifest

_BUILD_TYPE = "urn:edgepack:build:v1"


def write_attestation(folder: Path, manifest: Manifest) -> None:
    """manifest: sealed. The reports are no subject: every measuring renews them, and SHA256SUMS with them."""
    subject = {file.name: file.sha256 for file in manifest.files if file.name not in (*REPORT_FILES, STATEMENT_FILE)}
    content = statement(subject, _BUILD_TYPE, build_parameters(manifest), manifest)
    (folder / STATEMENT_FILE).write_text(json.dumps(content, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


def build_parameters(manifest: Manifest) -> dict[str, Any]:
    """What a user chose: the recipe with its seed, and the device."""
    return {"recipe": without_folders(manifest.recipe.as_json()), "profile": manifest.profile.name, "seed": manifest.seed}


def statement(subject: Mapping[str, str], build_type: str, parameters: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    """subject: sha256 by file name. parameters: what the builder was asked for. No path of the machine that built it is in it."""
    named = (("model", manifest.source), ("base", manifest.base), ("data", manifest.data))
    sources = [(role, origin) for role, origin in named if origin is not None]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subject.items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": build_type,
                "externalParameters": dict(parameters),
                "internalParameters": {"pack_id": manifest.pack_id, "versions": manifest.versions},
                "resolvedDependencies": [
                    {
                        "name": without_folders(origin.name),
                        "annotations": {"role": role},
                        "digest": {"sha256": origin.sha256} | ({"gitCommit": origin.revision} if origin.revision else {}),
                    }
                    for role, origin in sources
                ],
            },
            "runDetails": {"builder": {"id": "edgepack", "version": {"edgepack": manifest.edgepack}}},
        },
    }
