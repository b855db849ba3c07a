"""TFLite in int4 by ai-edge-quantizer: a scale for each block of weights, embeddings and a decoder's head in 8 bits.

Where there are calibration texts, the 4-bit weights are rounded again by GPTQ.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgepack.export.tflite_export import MODEL_FILE
from edgepack.export.tflite_graph import all_weights
from edgepack.pack.runnable import Runnable
from edgepack.plan.steps import Quantize
from edgepack.quantize.calibration import CalibrationTexts, running_texts
from edgepack.quantize.schemes import Candidate
from edgepack.quantize.tflite_gptq import round_by_texts
from edgepack.quantize.tflite_quantizer import write_quantized
from edgepack.tasks.common.task import Features


def candidates(step: Quantize, exported: Path, texts: CalibrationTexts) -> Iterator[Candidate]:
    """One candidate: weights in 4 bits by GPTQ on calibration texts, embeddings in int8."""
    calibration, texts_used = running_texts(texts)
    recipe = f"int4, a scale for {step.block} weights, embeddings in int8"
    yield Candidate(recipe, step.precision, partial(quantize, exported, step, calibration), {"calibration_texts": texts_used})


def runnable(before: Runnable) -> Runnable:
    """The same as before: the session needs no other settings."""
    return before


def quantize(exported: Path, step: Quantize, texts: Sequence[Features], folder: Path) -> None:
    """Writes the file into `folder`. texts: for GPTQ; without texts each weight is rounded by itself."""
    write_quantized(exported, folder, partial(_add_rules, exported / MODEL_FILE, step.block))
    round_by_texts(exported, texts, step.block, folder / MODEL_FILE)


def _add_rules(file: Path, block: int, rules: Any) -> None:
    """Blocks must divide a matrix's inputs: where they do not (pruned heads, odd FFNs), it stays in 8 bits.

    So does a decoder's head, known by the shape of the embeddings: where it is the same matrix, it is stored once.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    add, by_channel = rules.add_dynamic_config, QuantGranularity.CHANNELWISE
    by_block = QuantGranularity(f"BLOCKWISE_{block}")
    add(".*", TFLOperationName.FULLY_CONNECTED, 4, granularity=by_block, algorithm_key=AlgorithmName.OCTAV)
    add(".*", TFLOperationName.EMBEDDING_LOOKUP, 8, granularity=by_channel)
    weights = list(all_weights(file))
    tables = {weight.shape for weight in weights if weight.op == "EMBEDDING_LOOKUP"}
    products = [weight for weight in weights if weight.op == "FULLY_CONNECTED"]
    in_8_bits = {weight.scope for weight in products if weight.shape in tables or weight.shape[-1] % block}
    for scope in sorted(in_8_bits):
        add(f"^{re.escape(scope)};?$", TFLOperationName.FULLY_CONNECTED, 8, granularity=by_channel)
