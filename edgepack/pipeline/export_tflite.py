"""Exports a model to TFLite: an encoder with a signature for each length, or a decoder with its cache."""

from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.core.progress import say
from edgepack.model.material import Material
from edgepack.pack.runnable import Runnable
from edgepack.plan.steps import Export

if TYPE_CHECKING:
    from torch import nn


def export_file(model: "nn.Module", material: Material, step: Export, folder: Path) -> Runnable:
    """Writes the TFLite file into `folder`, after smoothing where the step asks for it. Returns what a target must know about it."""
    from edgepack.export.tflite_decoder import export_tflite_decoder, runnable_tflite_decoder
    from edgepack.export.tflite_export import MODEL_FILE, export_tflite, runnable_tflite
    from edgepack.quantize.torch_smoothing import smooth_decoder, smooth_encoder

    if step.smoothing:
        smooth = smooth_encoder if step.positions is None else smooth_decoder
        count = smooth(model, [item.ids for item in material.train], step.smoothing)
        say(
            f"  {count} activations smoothed by strength {step.smoothing:g}"
            if count
            else "  no smoothing: there are no texts to calibrate on"
        )
    if step.positions is not None:
        export_tflite_decoder(model, step.positions, folder / MODEL_FILE)
        return runnable_tflite_decoder(model, material.task, step.positions, step.weight_cache)
    say(f"  a signature for each of {', '.join(map(str, material.buckets))} tokens")
    export_tflite(model, material.task, material.buckets, folder / MODEL_FILE)
    return runnable_tflite(model, material.task, material.buckets, step.weight_cache)
