"""The pack's README.md: its model card, as hubs read it. It names no folder of the machine that built the pack."""

import json
from pathlib import Path

from edgepack.core.escape import Verbatim, visible
from edgepack.core.files import write_atomically
from edgepack.core.showing import without_folders
from edgepack.pack.examples import question_of
from edgepack.pack.manifest import Manifest
from edgepack.plan.formats import python_runtime
from edgepack.report.figures import score_of
from edgepack.report.write import rendered

_LIBRARIES = {"onnx": "onnx", "tflite": "tflite"}  # by the pack's format, as hubs call them


def write_model_card(folder: Path, manifest: Manifest) -> None:
    """Whole or not at all."""
    example, _ = question_of(folder, manifest.task, manifest.answers, len(manifest.labels))
    text = rendered(
        "model_card.md.j2",
        manifest=manifest,
        score=score_of(manifest),
        runtime=python_runtime(manifest.plan.runtime),
        source=without_folders(manifest.source.name),
        data=without_folders(manifest.data.name) if manifest.data else None,
        command=without_folders(manifest.command),
        example=Verbatim(", ".join(json.dumps(text, ensure_ascii=False) for _, text in example)),
    )
    write_atomically(folder / "README.md", f"---\n{_metadata(manifest)}\n---\n{text}")


def _metadata(manifest: Manifest) -> str:
    """The card's YAML. huggingface_hub writes it, so that no value can become a key."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        license=visible(manifest.licence) if manifest.licence else None,
        library_name=_LIBRARIES.get(manifest.format),
        pipeline_tag=manifest.task,
        tags=["edgepack", manifest.precision],
    )
    return data.to_yaml()
