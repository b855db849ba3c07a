"""torch to TFLite in fp32: a signature for every length that texts are padded to, int32 inputs by name, builtin ops only."""

import contextlib
import gc
import io
import logging
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.export.describing import describe_encoder, input_names
from edgepack.export.failures import without_colours
from edgepack.export.onnx_export import plain_linears
from edgepack.export.tflite_attention import tflite_attention
from edgepack.export.tflite_converter import direct_products, mended_converter, weights_on_the_right
from edgepack.export.tflite_file import edit_model
from edgepack.export.tflite_graph import foreign_ops
from edgepack.export.tflite_one_token import one_token
from edgepack.export.torch_lookups import lookups_kept
from edgepack.pack.runnable import Runnable
from edgepack.tasks.common.task import Task

MODEL_FILE = "model.tflite"
_UNKNOWN_OP = re.compile(r"(?:aten\.[\w.]+|'?tfl\.[\w.]+'?|torch_xla[\w.:]+)")


class _Graph(nn.Module):
    """What a signature computes, its outputs by name."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model, self.task = model, task

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        if getattr(self.model.config, "type_vocab_size", 0) == 1:  # left out, the model gathers zeros by an op that old runtimes lack
            batch = {**batch, "token_type_ids": torch.zeros_like(batch["input_ids"])}
        if len(self.task.outputs) > 1:
            outputs = self.model(**batch)
            return {name: getattr(outputs, name) for name in self.task.outputs}
        return {self.task.outputs[0]: self.task.forward(self.model, batch)}


def runnable_tflite(model: nn.Module, task: Task, buckets: Sequence[int], weight_cache: bool = False) -> Runnable:
    """What a target must know of the file that an export of `model` became."""
    return describe_encoder(model, task, MODEL_FILE, weight_cache=weight_cache, buckets=tuple(buckets))


def export_tflite(model: nn.Module, task: Task, buckets: Sequence[int], target: Path) -> None:
    """Writes `target` in fp32: for each of the lengths in `buckets` a signature s<length>, one text of so many tokens at a time.

    The signatures share the weights. EdgepackError where the converter cannot take the model: it names the op.
    """
    names = input_names(model)
    graph = _Graph(model, task)
    signatures = {f"s{length}": (graph, {name: torch.ones(1, length, dtype=torch.int32) for name in names}) for length in buckets}
    with plain_linears(model.eval()), tflite_attention(model):
        write_signatures(model, signatures, target)


def write_signatures(model: nn.Module, signatures: Mapping[str, tuple[nn.Module, dict[str, torch.Tensor]]], target: Path) -> None:
    """Converts graphs of `model`, each with the inputs it is traced by, to one file. EdgepackError as for `export_tflite`."""
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()  # what is not would be copied, and stored, for each signature
    with (
        bar("export to TFLite", 2) as progress,
        quiet(),
        lookups_kept(),
        mended_converter(),
        one_token(),
        direct_products(),
        weights_on_the_right(model),
    ):
        import litert_torch

        converter = litert_torch
        for name, (graph, inputs) in signatures.items():
            converter = converter.signature(name, graph.eval(), sample_kwargs=inputs)
        try:
            converted = converter.convert()
        except EdgepackError:
            raise
        except Exception as error:  # torch.export and the converter raise whatever comes to hand
            raise _cannot(model, str(error)) from error
        progress.advance()
        converted.export(str(target))
        del converter, converted
        gc.collect()  # their graphs hold the weights, and go round in circles
        edit_model(target, _name_by_module)
        progress.advance()
    foreign = foreign_ops(target)
    if foreign:
        raise _cannot(model, f"it needs {', '.join(foreign)}, which are no builtin ops")


def _name_by_module(model: Any) -> None:
    """Tensors are named after the module that made them: the converter's names, with every class on the way, outweigh the graph."""
    for signature in model.signatureDefs:
        counts: Counter[str] = Counter()
        for tensor in model.subgraphs[signature.subgraphIndex].tensors:
            name = _module_of(tensor.name.decode())
            counts[name] += 1
            tensor.name = f"{signature.signatureKey.decode()}/{name}{'' if counts[name] == 1 else f'_{counts[name]}'}".encode()


def _module_of(name: str) -> str:
    """`...BertModel_bert/...BertLayer_0/...Linear_dense;` as bert.0.dense; what came from no module keeps its name."""
    last = [part for part in name.split(";") if "/" in part]
    if not last:
        return name.rpartition("/")[2].split(";")[0] or "tensor"
    classes = [part.rpartition(".")[2].lstrip("_") for part in last[-1].split("/")]
    return ".".join(rest for part in classes if (rest := part.partition("_")[2]) and rest != "model") or "model"


def _cannot(model: nn.Module, reason: str) -> EdgepackError:
    lines = [line for line in without_colours(reason).strip().splitlines() if line.strip()] or ["no reason given"]
    line_that_tells = next((line for line in lines if _UNKNOWN_OP.search(line)), lines[0])
    where = next((line.strip() for line in lines if "nn_module_stack" in line or "While executing" in line), "")
    return EdgepackError(
        f"{type(model).__name__} cannot be converted to TFLite: {line_that_tells.strip()[:300]}" + (f" ({where[:200]})" if where else ""),
        "use --format onnx, or a model of another family (edgepack/plan/architectures)",
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The converter prints, warns and logs on success too, past Python's own streams; a failure still raises."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _no_native_output():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _no_native_output() -> Iterator[None]:
    sys.stdout.flush(), sys.stderr.flush()
    copies = [(stream, os.dup(stream)) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream, _ in copies:
            os.dup2(nowhere, stream)
        yield
    finally:
        for stream, copy in copies:
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)
