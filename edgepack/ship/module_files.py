"""The folder that a module carries: model, tokenizer, golden vectors, and module.json, which its code reads in place of pack.json.

module.json leaves out what a pack says of the machine and the people that built it, and names only files that are shipped.
"""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

from edgepack.core.files import sha256_of
from edgepack.core.showing import without_folders
from edgepack.pack.manifest import Manifest
from edgepack.pack.runnable import Runnable
from edgepack.plan.runtime import facts_in_python
from edgepack.ship.shipment import Carried, Shipment, Size
from edgepack.ship.signing import sign

MODULE_FILE, SIGNATURE_FILE, GOLDEN_FILE, TOKENIZER_FILE = "module.json", "module.sig", "golden.jsonl", "tokenizer.json"
SCHEMA = 1
_OF_THE_RUNNABLE = frozenset(Runnable.model_fields) - {"score_model"}


def write_model(shipment: Shipment, folder: Path) -> tuple[Size, ...]:
    """Fills `folder` (made where it is missing); signs module.json into module.sig where a key was given."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*shipment.model_files, TOKENIZER_FILE, GOLDEN_FILE):
        shutil.copyfile(shipment.pack / name, folder / name)
    write_manifest(shipment, folder)
    return sizes_of(shipment)


def write_manifest(shipment: Shipment, folder: Path) -> None:
    """module.json, with size and sha256 of every other file that is in the folder now, and module.sig where a key was given.

    The signature is over the bytes of module.json, in base64 with a newline behind it.
    """
    content = module_manifest(shipment) | {
        "files": [_hashed(path) for path in sorted(folder.iterdir()) if path.name not in (MODULE_FILE, SIGNATURE_FILE)]
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (folder / MODULE_FILE).write_text(text, encoding="utf-8")
    if shipment.signer:
        signature = base64.b64encode(sign(shipment.signer, text.encode()))
        (folder / SIGNATURE_FILE).write_bytes(signature + b"\n")


def module_manifest(shipment: Shipment) -> dict[str, Any]:
    """module.json without its list of files."""
    manifest = shipment.manifest
    runnable = {key: value for key, value in manifest.as_json().items() if key in _OF_THE_RUNNABLE}
    return {
        "schema": SCHEMA,
        "name": shipment.name,
        "version": shipment.release.version,
        "created": shipment.release.created,
        "expires": shipment.release.expires,
        "pack_id": manifest.pack_id,
        "edgepack": manifest.edgepack,
        **runnable,
        "runtime": manifest.plan.runtime,
        "exact": manifest.plan.exact_products,  # measured where u8 x s8 products do not saturate
        "format": manifest.format,
        "precision": manifest.precision,
        "max_length": manifest.max_length,
        "labels": manifest.labels,
        "golden_tolerance": manifest.golden_tolerance,
        "licence": manifest.licence,
        "versions": versions_measured_with(manifest),
    }


def versions_measured_with(manifest: Manifest) -> dict[str, str]:
    """Of the libraries that a module needs where it runs."""
    runtime = facts_in_python(manifest.plan.runtime)
    needed = () if runtime.pins else (runtime.package,)
    return {name: manifest.versions[name] for name in (*needed, "tokenizers", "numpy") if name in manifest.versions}


def sizes_of(shipment: Shipment) -> tuple[Size, ...]:
    """Model and tokenizer, measured."""
    listed = {file.name: file.bytes for file in shipment.manifest.files}
    model = sum(listed[name] for name in shipment.model_files)
    what = f"{shipment.manifest.precision} {shipment.manifest.format}"
    return (
        Size(part="model", what=what, bytes=model, source="measured"),
        Size(part="tokenizer", what=f"tokenizer.json, {shipment.tokenizing.model}", bytes=listed[TOKENIZER_FILE], source="measured"),
        Size(part="proof", what="golden vectors of the self-test", bytes=listed[GOLDEN_FILE], source="measured"),
    )


def licences_of(shipment: Shipment) -> tuple[Carried, ...]:
    """Of what every module carries: the model, and edgepack's own code."""
    manifest = shipment.manifest
    stated = manifest.licence or "the model's card does not state it: ask the author before you publish"
    return (
        Carried(what=f"the model, made from {without_folders(manifest.source.name)}", licence=stated, carried=True),
        Carried(what="the module's code, by edgepack", licence="Apache-2.0", carried=True),
    )


def code_bytes(folder: Path, *patterns: str) -> Size:
    """The module's own code, measured."""
    paths = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return Size(part="code", what="the module's own code", bytes=sum(path.stat().st_size for path in paths), source="measured")


def _hashed(path: Path) -> dict[str, Any]:
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
