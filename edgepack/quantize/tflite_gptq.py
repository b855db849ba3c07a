"""Rounds the 4-bit weights of a TFLite file by GPTQ, because ai-edge-quantizer rounds without looking at inputs.

What products read is taken from the exact file, run on calibration texts by the signature of its longest length.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.core.host import usable_cores
from edgepack.core.progress import bar
from edgepack.export.tflite_export import MODEL_FILE, quiet
from edgepack.export.tflite_file import edit_model, read_model
from edgepack.pack.runnable import Runnable, read_runnable
from edgepack.quantize.blocks import Blocks, Grid, is_trained, quantize_blocks
from edgepack.quantize.gptq import fitting_parts, quantize_by_moments
from edgepack.tasks.common.task import Features

_INT4 = 17  # a type of tensors
_ZERO = 8  # which the file's integers lack


def round_by_texts(exported: Path, texts: Sequence[Features], block: int, file: Path) -> None:
    """Changes the 4-bit weights of `file`, in place, to what GPTQ makes of the fp32 ones in `exported`; signatures share them.

    Without texts those change that a training has put on blocks, which another way to find scales would not meet.
    """
    runnable = read_runnable(exported)
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        shown = Path(scratch) / MODEL_FILE
        edit_model(file, lambda model: _round(model, exported / MODEL_FILE, shown, runnable, texts, Grid(4, block, bf16=True)))


def _round(model: Any, exact_file: Path, shown: Path, runnable: Runnable, texts: Sequence[Features], grid: Grid) -> None:
    """shown: where a copy of the exact file may lie for the time."""
    exact = read_model(exact_file)
    key = f"{'prefill_' if runnable.is_decoder else 's'}{max(runnable.buckets)}"
    at = next(signature.subgraphIndex for signature in exact.signatureDefs if signature.signatureKey.decode() == key)
    source, target = exact.subgraphs[at], model.subgraphs[at]
    narrow = {tensor.name: tensor for tensor in target.tensors if tensor.type == _INT4}
    readers: dict[str, list[Any]] = {}  # weights in fp32 by the name of what they are multiplied with
    for operator in source.operators:
        if len(operator.inputs) > 1 and (weight := source.tensors[operator.inputs[1]]).name in narrow:
            readers.setdefault(source.tensors[operator.inputs[0]].name.decode(), []).append(weight)

    def matrix_of(weight: Any) -> np.ndarray:
        return np.frombuffer(exact.buffers[weight.buffer].data, np.float32).reshape(weight.shape)

    if not texts:
        for weight in (weight for weights in readers.values() for weight in weights):
            if is_trained(matrix_of(weight), grid):
                _store(model, target, narrow[weight.name], quantize_blocks(matrix_of(weight), grid))
        return
    widths = {name: int(weights[0].shape[-1]) for name, weights in readers.items()}
    for moments in _in_parts(exact_file, shown, (key, at), widths, (runnable, texts)):
        for name, of_input in moments.items():
            for weight in readers[name]:
                _store(model, target, narrow[weight.name], quantize_by_moments(matrix_of(weight), grid, of_input))


def moments_of_values(
    exact_file: Path, key: str, widths: Mapping[str, int], runnable: Runnable, texts: Sequence[Features]
) -> dict[str, np.ndarray]:
    """The sum of x x^T over all tokens of the texts, of values inside a signature: {name: [width, width]}."""
    exact = read_model(exact_file)
    at = next(signature.subgraphIndex for signature in exact.signatureDefs if signature.signatureKey.decode() == key)
    with tempfile.TemporaryDirectory() as scratch:
        parts = _in_parts(exact_file, Path(scratch) / MODEL_FILE, (key, at), dict(widths), (runnable, texts))
        return {name: values for part in parts for name, values in part.items()}


def _in_parts(
    exact_file: Path, shown: Path, signature: tuple[str, int], widths: dict[str, int], read: tuple[Runnable, Sequence[Features]]
) -> Iterator[dict[str, np.ndarray]]:
    """As many values at a time as fit into memory. shown: where a copy of the file may lie. signature: its key and graph."""
    key, at = signature
    for names in fitting_parts(widths):
        shutil.copyfile(exact_file, shown)
        edit_model(shown, lambda opened, names=names: _give(opened, at, names))
        yield _moments(shown, key, {name: widths[name] for name in names}, *read)


def _store(model: Any, graph: Any, weight: Any, blocks: Blocks) -> None:
    signed = blocks.values.reshape(-1) ^ _ZERO  # two's complement
    model.buffers[weight.buffer].data = signed[::2] | signed[1::2] << 4
    scales = graph.tensors[weight.quantization.details.scales]
    model.buffers[scales.buffer].data = blocks.scales.astype(np.float16).reshape(-1).view(np.uint8)


def _moments(file: Path, key: str, widths: dict[str, int], runnable: Runnable, texts: Sequence[Features]) -> dict[str, np.ndarray]:
    """For each of these outputs of a signature the sum of x x^T [width, width] over all tokens of the texts."""
    from ai_edge_litert.interpreter import Interpreter

    moments = {name: np.zeros((width, width), np.float32) for name, width in widths.items()}
    with bar("calibrate", len(texts)) as progress, quiet():
        run = Interpreter(str(file), num_threads=usable_cores()).get_signature_runner(key)
        for text in texts:
            for tokens, outputs in _parts_read(run, runnable, text):
                for name, width in widths.items():
                    by_token = outputs[name].reshape(-1, width)[:tokens]
                    moments[name] += by_token.T @ by_token
            progress.advance()
    return moments


def _give(model: Any, at: int, names: Sequence[str]) -> None:
    """Makes tensors of a signature's graph outputs of it, by their names: kernels that show all that is inside them take minutes."""
    from ai_edge_litert.schema_py_generated import TensorMapT

    signature = next(known for known in model.signatureDefs if known.subgraphIndex == at)
    indices = {tensor.name.decode(): index for index, tensor in enumerate(model.subgraphs[at].tensors)}
    for name in names:
        given = TensorMapT()
        given.name, given.tensorIndex = name.encode(), indices[name]
        signature.outputs.append(given)
        model.subgraphs[at].outputs.append(indices[name])


def _parts_read(run: Any, runnable: Runnable, text: Features) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Runs the signature for each part of the text, a decoder's with the cache of what came before: how many tokens it held, outputs."""
    details = run.get_input_details()
    length, room = int(details["input_ids"]["shape"][1]), runnable.positions or max(runnable.buckets)
    state = {name: np.zeros(detail["shape"], detail["dtype"]) for name, detail in details.items()}
    for at in range(0, min(len(text.ids), room // length * length), length):
        ids = text.ids[at : at + length]
        filled = {
            "input_ids": [*ids, *[runnable.pad_id] * (length - len(ids))],
            "attention_mask": [1] * len(ids) + [0] * (length - len(ids)),
            "token_type_ids": [*text.type_ids[at : at + length], *[0] * (length - len(ids))],
        }
        feeds = {name: np.array([filled[name]], np.int32) for name in filled if name in details}
        feeds |= {"position": np.array([at], np.int32)} if "position" in details else {}
        outputs = run(**{**state, **feeds})
        state |= {name: value for name, value in outputs.items() if name in state}
        yield len(ids), outputs
