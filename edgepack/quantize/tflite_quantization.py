"""TFLite fp32 to int8 or int4 by ai-edge-quantizer. Activations are rounded as they come, each token with a scale of its own.

Weights are symmetric, with a scale for each channel. For tflite-runtime 2.14 it stands apart from the matrix, because its kernels
for channels compute nonsense without a word: `refuse_for_old_runtime` looks into every file that is to run there.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.export.tflite_export import MODEL_FILE, quiet
from edgepack.export.tflite_file import edit_model
from edgepack.export.tflite_graph import all_weights
from edgepack.plan.steps import Quantize
from edgepack.quantize.tflite_factoring import factor_scales
from edgepack.quantize.tflite_rounding import round_by_texts
from edgepack.tasks.common.task import Features


def quantize_tflite(exported: Path, step: Quantize, folder: Path, weights_only: bool = False, texts: Sequence[Features] = ()) -> None:
    """Writes MODEL_FILE into `folder` from the fp32 one in `exported`; all signatures share the rounded weights.

    weights_only: products are computed in float, from weights that the runtime turns back as it loads. texts: for calibration,
    where there are any; 4-bit weights are then rounded by GPTQ, else each by itself.
    """
    with bar("quantize", 1) as progress, quiet():
        from ai_edge_quantizer.quantizer import Quantizer

        quantizer = Quantizer(str(exported / MODEL_FILE))
        quantizer.load_quantization_recipe(_rules(exported / MODEL_FILE, step, weights_only))
        quantizer.quantize().export_model(str(folder / MODEL_FILE))
        edits = (factor_scales,) if step.scales_apart and not weights_only else ()
        edit_model(folder / MODEL_FILE, *edits)
        progress.advance()
    if step.method == "blockwise" and texts:
        round_by_texts(exported, texts, step.block, folder / MODEL_FILE)
    if step.scales_apart:
        refuse_for_old_runtime(folder / MODEL_FILE)


def recipe_name(step: Quantize, weights_only: bool = False) -> str:
    if step.method == "blockwise":
        return f"int4, a scale for {step.block} weights, embeddings in int8"
    how = " weights with products in float" if weights_only else " with scales apart" if step.scales_apart else ""
    return f"int8{how}, a scale for a channel"


def _rules(file: Path, step: Quantize, weights_only: bool) -> list[dict]:
    """Blocks must divide a matrix's inputs: where they do not (pruned heads, odd FFNs), it stays in 8 bits.

    So does a decoder's head, known by the shape of the embeddings: where it is the same matrix, it is stored once.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    rules = RecipeManager()
    granularity = QuantGranularity.CHANNELWISE
    add = rules.add_weight_only_config if weights_only else rules.add_dynamic_config
    if step.method == "dynamic":
        add(".*", TFLOperationName.ALL_SUPPORTED, 8, granularity=granularity)
        return rules.get_quantization_recipe()
    blocks = QuantGranularity(f"BLOCKWISE_{step.block}")
    add(".*", TFLOperationName.FULLY_CONNECTED, 4, granularity=blocks, algorithm_key=AlgorithmName.OCTAV)
    add(".*", TFLOperationName.EMBEDDING_LOOKUP, 8, granularity=granularity)
    weights = list(all_weights(file))
    tables = {weight.shape for weight in weights if weight.op == "EMBEDDING_LOOKUP"}
    products = [weight for weight in weights if weight.op == "FULLY_CONNECTED"]
    whole = {weight.scope for weight in products if weight.shape in tables or weight.shape[-1] % step.block}
    for scope in sorted(whole):
        add(f"^{re.escape(scope)};?$", TFLOperationName.FULLY_CONNECTED, 8, granularity=granularity)
    return rules.get_quantization_recipe()


def refuse_for_old_runtime(file: Path) -> None:
    """EdgepackError where tflite-runtime 2.14 would answer wrongly, or not at all: by what stands in the file, not by what was asked."""
    way_out = "build it anew for tflite-runtime: such a file must not be shipped there"
    for weight in all_weights(file):
        what = f"{weight.op} of {file.name}"
        if weight.type not in ("INT8", "FLOAT32", "INT32", "INT64", "BOOL"):
            raise EdgepackError(f"{what} reads {weight.type}, which tflite-runtime 2.14 has no kernels for", "use int8")
        if weight.type != "INT8" or weight.op == "DEQUANTIZE":  # which is right, and leaves the product in float
            continue
        if weight.scales != 1:
            raise EdgepackError(
                f"{what} has {weight.scales} scales for one matrix: tflite-runtime 2.14 computes nonsense from them ({weight.scope[-80:]})",
                way_out,
            )
        if weight.op == "FULLY_CONNECTED" and not weight.asymmetric_inputs:
            raise EdgepackError(
                f"{what} does not ask for a zero point of its inputs: tflite-runtime 2.14 answers otherwise than LiteRT without it "
                f"({weight.scope[-80:]})",
                way_out,
            )
