"""Runs ai-edge-quantizer on a TFLite file by a list of rules. Which rules, a scheme says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepack.core.progress import bar
from edgepack.export.tflite_export import MODEL_FILE, quiet
from edgepack.export.tflite_file import edit_model


def write_quantized(exported: Path, folder: Path, add_rules: Callable[[Any], None], *edits: Callable[[Any], None]) -> None:
    """Writes MODEL_FILE into `folder` from the fp32 one in `exported`; all signatures share the rounded weights.

    add_rules: is given the quantizer's RecipeManager. edits: change the quantized file as tflite_file reads it.
    """
    with bar("quantize", 1) as progress, quiet():
        from ai_edge_quantizer.quantizer import Quantizer
        from ai_edge_quantizer.recipe_manager import RecipeManager

        rules = RecipeManager()
        add_rules(rules)
        quantizer = Quantizer(str(exported / MODEL_FILE))
        quantizer.load_quantization_recipe(rules.get_quantization_recipe())
        quantizer.quantize().export_model(str(folder / MODEL_FILE))
        edit_model(folder / MODEL_FILE, *edits)
        progress.advance()
