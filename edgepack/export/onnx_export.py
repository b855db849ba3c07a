"""torch to ONNX in fp32: dynamic length, one text or a batch, attention as one op, no trace of the machine that exported it."""

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.export.describing import describe_encoder, input_names
from edgepack.export.failures import last_reason
from edgepack.export.file_names import MODEL_FILE
from edgepack.export.onnx_attention import onnx_attention
from edgepack.export.onnx_one_token import compute_for_one_token, shapes_of
from edgepack.export.onnx_optimization import session_of
from edgepack.export.torch_decomposition import decomposed_in_place
from edgepack.export.torch_lookups import lookups_kept
from edgepack.pack.runnable import Runnable
from edgepack.plan.steps import Export
from edgepack.tasks.common.task import Task

_NO_MODULE = "_empty_nn_module_stack"  # what torch calls the place of a node that no module made
_LARGE_BYTES = 4096  # of a matrix: no pattern that onnxslim looks for needs its values


class _Graph(nn.Module):
    """What the exported graph computes, with its inputs as positional arguments."""

    def __init__(self, model: nn.Module, task: Task, names: list[str]) -> None:
        super().__init__()
        self.model, self.task, self.names = model, task, names

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...] | torch.Tensor:
        batch = dict(zip(self.names, inputs, strict=True))
        if len(self.task.outputs) > 1:
            whole = self.model(**batch)
            return tuple(getattr(whole, name) for name in self.task.outputs)
        return self.task.forward(self.model, batch)


def runnable(model: nn.Module, task: Task, prepack: bool = True, batch: bool = True, weight_cache: bool = False) -> Runnable:
    """What a target must know of the file that an export of `model` became."""
    return describe_encoder(model, task, MODEL_FILE, mask=batch, session=session_of(prepack), weight_cache=weight_cache)


def export_onnx(model: nn.Module, task: Task, step: Export, target: Path) -> None:
    """Writes `target` in fp32, its weights beside it, with inputs [batch, tokens] of int64; [1, tokens] and no mask without a batch.

    EdgepackError where torch cannot capture the model.
    """
    names = input_names(model, mask=step.batch)
    example = tuple(torch.ones(2 if step.batch else 1, 16, dtype=torch.long) for _ in names)
    axes = {1: torch.export.Dim("tokens")} | ({0: torch.export.Dim("batch")} if step.batch else {})
    with bar("export to ONNX", 3) as progress, capturing(), plain_linears(model.eval()), onnx_attention(model):
        try:
            program = torch.onnx.export(
                _Graph(model, task, names).eval(),
                example,
                dynamo=True,
                dynamic_shapes=(tuple(axes for _ in names),),
                input_names=names,
                output_names=list(task.outputs),
                opset_version=step.opset,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise EdgepackError(
                f"{type(model).__name__} cannot be exported: {last_reason(error)}",
                "is it one of the families of `edgepack/plan/architectures`?",
            ) from error
        progress.advance()
        graph, weights = _without_weights(program.model)
        name_by_module(graph)
        shapes = shapes_of(graph)
        graph = _slimmed(graph)
        compute_for_one_token(graph, shapes)
        progress.advance()
        forget_the_machine(graph)
        _save(graph, weights, target)
        progress.advance()


@contextlib.contextmanager
def capturing() -> Iterator[None]:
    """While the block runs, torch captures graphs in one trace, without words, and without nodes that switch gradients off."""
    with quiet(), lookups_kept(), decomposed_in_place(), torch.no_grad():
        yield


@contextlib.contextmanager
def plain_linears(model: nn.Module) -> Iterator[None]:
    """While the block runs, GPT-2's Conv1D are Linear layers: they export as MatMul and Add, which int8 has kernels for."""
    convolutions = [(name, module) for name, module in model.named_modules() if isinstance(module, Conv1D)]
    for name, module in convolutions:
        linear = nn.Linear(module.nx, module.nf, device="meta")
        linear.weight, linear.bias = nn.Parameter(module.weight.detach().T), module.bias
        model.set_submodule(name, linear)
    try:
        yield
    finally:
        for name, module in convolutions:
            model.set_submodule(name, module)


def _without_weights(model: onnx_ir.Model) -> tuple[onnx.ModelProto, dict[str, onnx_ir.TensorProtocol]]:
    """The graph with its large weights as inputs, and those weights, still torch's own: a protobuf ends at 2 GB, and onnxslim
    holds each weight that it sees several times."""
    graph = model.graph
    weights = {name: value.const_value for name, value in graph.initializers.items() if _is_large(value.const_value)}
    for name in weights:
        value = graph.initializers.pop(name)
        value.const_value = None
        graph.inputs.append(value)
    return onnx_ir.to_proto(model), weights


def _is_large(tensor: onnx_ir.TensorProtocol) -> bool:
    return len(tensor.shape) > 1 and tensor.nbytes >= _LARGE_BYTES and tensor.dtype.is_floating_point()


def _save(graph: onnx.ModelProto, weights: dict[str, onnx_ir.TensorProtocol], target: Path) -> None:
    """Makes the inputs that are weights weights again, and writes them one after the other into a file beside `target`."""
    model = onnx_ir.from_proto(graph)
    for value in [value for value in model.graph.inputs if value.name in weights]:
        model.graph.inputs.remove(value)
        value.const_value = weights[value.name]
        model.graph.register_initializer(value)
    onnx_ir.save(model, target, external_data=f"{target.name}.data", size_threshold_bytes=_LARGE_BYTES)


def _slimmed(graph: onnx.ModelProto) -> onnx.ModelProto:
    import onnxslim

    return onnxslim.slim(graph)


def name_by_module(model: onnx.ModelProto) -> None:
    """Nodes are named after the module that they came from, so that a scan or a profile can say where it is."""
    counts: Counter[str] = Counter()
    for node in model.graph.node:
        scopes = next((prop.value for prop in node.metadata_props if prop.key == "pkg.torch.onnx.name_scopes"), "")
        modules = [name for part in scopes.strip("[]").split(",") if (name := part.strip("' ")) and not name.startswith(_NO_MODULE)]
        name = f"{modules[-2].removeprefix('model.') if len(modules) > 1 else 'model'}/{node.op_type}"
        counts[name] += 1
        node.name = name if counts[name] == 1 else f"{name}_{counts[name]}"


def forget_the_machine(graph: onnx.ModelProto) -> None:
    """Drops stack traces and paths that the exporter leaves in the file: they differ by machine and are nobody's business."""
    graph.producer_name, graph.producer_version, graph.doc_string = "edgepack", "", ""
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    del graph.graph.value_info[:]
    for part in (*graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporter prints and warns on success too; a failure still raises."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "onnxslim")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
