"""Exports a model to ONNX: an encoder, or a decoder with its cache."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.export.file_names import GRAPH_FILE
from edgepack.model.material import Material
from edgepack.pack.runnable import Runnable
from edgepack.plan.steps import Export

if TYPE_CHECKING:
    from torch import nn


def export_file(model: "nn.Module", material: Material, step: Export, folder: Path) -> Runnable:
    """Writes the ONNX file with its weights into `folder`. Returns what a target must know about it."""
    from edgepack.export.onnx_decoder import export_decoder, runnable_decoder
    from edgepack.export.onnx_export import export_onnx, runnable
    from edgepack.export.onnx_optimization import optimize_onnx

    if material.task.decodes:
        export_decoder(model, step, folder)
        return runnable_decoder(model, material.task, step.positions, step.weight_cache)
    export_onnx(model, material.task, step, folder / GRAPH_FILE)
    optimize_onnx(folder / GRAPH_FILE, folder)
    return runnable(model, material.task, step.prepack, step.batch, step.weight_cache)
