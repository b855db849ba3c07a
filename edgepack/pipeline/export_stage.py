"""The stage that exports a model to a file. The file is compared with torch, then scored by the target's runtime."""

from dataclasses import replace
from importlib import import_module
from typing import Any

from edgepack.core.cache import Stage
from edgepack.core.distributed import is_first
from edgepack.pack.runnable import read_runnable, write_runnable
from edgepack.pipeline.checks import check_export
from edgepack.pipeline.scoring import file_outputs, file_size_mb, judged, load_model
from edgepack.pipeline.state import BuildState, ExportedFile
from edgepack.plan.steps import Export


def exporter_of(step: Export) -> str:
    """The module that writes the step's format: `export_file(model, material, step, folder)` returns the file's Runnable."""
    return f"edgepack.pipeline.export_{step.format}"


def make(state: BuildState, step: Export, place: Stage) -> dict[str, Any]:
    """Exports the model into the stage's folder, compares the file with torch, and scores it. Returns the stage's record."""
    if not is_first():
        return {}
    material, plan = state.material, state.plan
    export_file = import_module(exporter_of(step)).export_file
    runnable = export_file(load_model(material, state.work.checkpoint), material, step, place.folder)
    write_runnable(place.folder, runnable)
    check_export(load_model(material, state.work.checkpoint), material, plan, place.folder)  # exporting changes a model
    outputs = file_outputs(place.folder, plan, material.test, f"score after {step.verb}")
    size = {"params": state.ladder[-1].params, "file_mb": file_size_mb(place.folder, runnable)}
    return judged(material, outputs, state.teacher.test) | size


def after(state: BuildState, step: Export, place: Stage) -> tuple[BuildState, dict[str, Any]]:
    """The state with the exported file, and the stage's record."""
    return replace(state, work=ExportedFile(state.work.checkpoint, place.folder, read_runnable(place.folder))), place.record
