"""Exports a decoder to ONNX in fp32 with its KV cache. A second graph gives the logits of all positions, for scoring."""

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.export.decoders import kv_heads, logits_of, refuse_rotation_by_length
from edgepack.export.describing import describe_decoder
from edgepack.export.failures import last_reason
from edgepack.export.file_names import MODEL_FILE, SCORE_FILE
from edgepack.export.onnx_decoder_modules import Feed, onnx_modules
from edgepack.export.onnx_export import capturing, forget_the_machine, name_by_module
from edgepack.export.onnx_optimization import SESSION, optimize_onnx
from edgepack.model.structure import head_dim_of
from edgepack.pack.runnable import Runnable
from edgepack.plan.steps import Export
from edgepack.tasks.common.task import Task

_GRAPH_FILE = "decoder.onnx"
_TOKENS = "sequence_length"  # the axis of a text's tokens
_MOST_POSITIONS = 8192  # rows of the rotation tables: 2 MB for heads of 64, where a config may state 131,072 positions
_NO_MASK = torch.zeros(1, 1, 1, 1)  # transformers takes a mask of four dimensions for a finished one; the op needs none
_CAP = ("Mul", "Tanh", "Div")  # ops of a cap on the logits
# A Gemm between two Reshapes is nothing that quantization would find again, and it takes a FusedMatMul for the head.
_UNFUSED = ("MatMulAddFusion", "MatmulTransposeFusion")


def runnable_decoder(model: nn.Module, task: Task, wished: int | None = None, weight_cache: bool = False) -> Runnable:
    """What a target must know of the files that an export of `model` became. `inputs` and `outputs` are those beside the cache.

    wished: the step's positions.
    """
    of_the_file = {"session": SESSION, "score_model": SCORE_FILE, "weight_cache": weight_cache}
    return describe_decoder(model, task, MODEL_FILE, positions_of(model, wished), **of_the_file)


def positions_of(model: nn.Module, wished: int | None = None) -> int:
    """How many tokens an exported model can have seen."""
    return min(model.config.max_position_embeddings, wished or _MOST_POSITIONS)


def export_decoder(model: nn.Module, step: Export, folder: Path) -> None:
    """Writes MODEL_FILE, SCORE_FILE and the one file of weights that both read into `folder`.

    EdgepackError where torch cannot capture the model, or its positions are rotated by the length of the text.
    """
    with bar("export to ONNX", 3) as progress:
        raw = folder / _GRAPH_FILE
        _export_raw(model, step, raw)
        progress.advance()
        optimize_onnx(raw, folder, SCORE_FILE, _UNFUSED)
        for path in folder.glob(f"{_GRAPH_FILE}*"):
            path.unlink()
        progress.advance()
        graph = onnx.load(folder / SCORE_FILE, load_external_data=False)
        write_shipped(graph, folder)
        progress.advance()


def write_shipped(graph: onnx.ModelProto, folder: Path) -> None:
    """MODEL_FILE from the graph with logits for every token: the head reads the last one alone. `graph` is changed.

    A session may give `last_start` -n for the last n (prompt lookup does); who does not know of it need not: it has a value.
    """
    nodes = graph.graph.node
    at = _head_of(nodes)
    bounds = {"last_start": -1, "last_end": 2**63 - 1, "last_axis": 1}
    graph.graph.initializer.extend(numpy_helper.from_array(torch.tensor([value]).numpy(), name) for name, value in bounds.items())
    nodes.insert(at, helper.make_node("Slice", [nodes[at].input[0], *bounds], ["last_hidden"], name="last_hidden"))
    nodes[at + 1].input[0] = "last_hidden"
    _name_axes(graph, "1")
    graph.graph.input.append(helper.make_tensor_value_info("last_start", TensorProto.INT64, [1]))
    onnx.save(graph, folder / MODEL_FILE)


def _head_of(nodes: Sequence[onnx.NodeProto]) -> int:
    """The place of the product with the vocabulary; a cap on the logits is behind it."""
    maker = {output: index for index, node in enumerate(nodes) for output in node.output}
    at = maker["logits"]
    while nodes[at].op_type in _CAP:
        at = maker[nodes[at].input[0]]
    return at


class _Graph(nn.Module):
    """What the exported graph computes: logits for every token, then keys and values by layer."""

    def __init__(self, model: nn.Module, feed: Feed, layers: Sequence[int]) -> None:
        super().__init__()
        self.model, self.feed, self.layers = model, feed, layers
        for kind, (cos, sin) in feed.tables.items():
            self.register_buffer(_named("cos", kind), cos)
            self.register_buffer(_named("sin", kind), sin)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, past: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        feed, tokens = self.feed, input_ids.shape[1]
        total_tokens = attention_mask.sum(1)
        feed.lengths, feed.total = (total_tokens - 1).to(torch.int32), _width(attention_mask)
        positions = (total_tokens - tokens).clamp(min=0)[:, None] + torch.arange(tokens)[None]
        for kind in feed.tables:
            tables = getattr(self, _named("cos", kind)), getattr(self, _named("sin", kind))
            feed.tables[kind] = tables
            feed.turns[kind] = tuple(torch.nn.functional.embedding(positions, table).unsqueeze(2) for table in tables)
        feed.past = {layer: (past[2 * at], past[2 * at + 1]) for at, layer in enumerate(self.layers)}
        base = {"input_ids": input_ids, "position_ids": positions, "attention_mask": _no_masks(self.model), "use_cache": False}
        logits = logits_of(self.model, self.model.base_model(**base).last_hidden_state)
        return (logits, *(part for layer in self.layers for part in feed.present[layer]))


def _named(table: str, kind: str) -> str:
    return f"{table}_{kind}" if kind else table


def _no_masks(model: nn.Module) -> torch.Tensor | dict[str, torch.Tensor]:
    """Finished masks as the model takes them: one, or one for each type of layer."""
    types = set(getattr(model.config, "layer_types", None) or ())
    return dict.fromkeys(types, _NO_MASK) if types else _NO_MASK


def _width(mask: torch.Tensor) -> torch.Tensor:
    """The mask's second dimension, a scalar int32; as a Python number, torch would tie it to the sizes of other inputs."""
    shape = torch.onnx.ops.symbolic("Shape", [mask], dtype=torch.int64, shape=[2], version=18)
    width = torch.onnx.ops.symbolic("Gather", [shape, torch.tensor(1)], {"axis": 0}, dtype=torch.int64, shape=[], version=18)
    return width.to(torch.int32)


def _export_raw(model: nn.Module, step: Export, target: Path) -> None:
    heads, size = kv_heads(model), head_dim_of(model)
    feed = Feed(_rotations(model, step.positions))
    past = [torch.zeros(2, count, 6, size) for count in heads.values() for _ in range(2)]
    example = {"input_ids": torch.zeros(2, 4, dtype=torch.long), "attention_mask": torch.ones(2, 10, dtype=torch.long), "past": past}
    names = [f"{layer}.{part}" for layer in heads for part in ("key", "value")]
    batch, axes = torch.export.Dim("batch"), {name: torch.export.Dim(name) for name in ("tokens", "total", "past")}
    shapes = {
        "input_ids": {0: batch, 1: axes["tokens"]},
        "attention_mask": {0: batch, 1: axes["total"]},
        "past": [{0: batch, 2: axes["past"]} for _ in past],
    }
    with capturing(), onnx_modules(model.eval(), feed):
        try:
            program = torch.onnx.export(
                _Graph(model, feed, list(heads)).eval(),
                (),
                kwargs=example,
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=["input_ids", "attention_mask", *(f"past_key_values.{name}" for name in names)],
                output_names=["logits", *(f"present.{name}" for name in names)],
                opset_version=step.opset,
                verbose=False,
            )
            program.save(target, external_data=True)
        except torch.onnx.errors.OnnxExporterError as error:
            raise EdgepackError(
                f"{type(model).__name__} cannot be exported: {last_reason(error)}",
                "is it one of the families of `edgepack/plan/architectures`?",
            ) from error
    graph = onnx.load(target, load_external_data=False)
    name_by_module(graph)
    forget_the_machine(graph)
    _name_axes(graph, _TOKENS)
    onnx.save(graph, target)


def _rotations(model: nn.Module, wished: int | None) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """cos and sin [positions, half of what turns of a head] by type of layer, "" for all; empty where positions are embedded."""
    rotary = getattr(model.base_model, "rotary_emb", None)
    if rotary is None:
        return {}
    refuse_rotation_by_length(model)
    by_type = isinstance(rotary.rope_type, dict) and len(rotary.rope_type) > 1
    tables = {}
    for kind in rotary.rope_type if isinstance(rotary.rope_type, dict) else ("",):
        more = {"layer_type": kind} if kind else {}
        cos, sin = rotary(torch.zeros(1), torch.arange(positions_of(model, wished))[None], **more)
        half = cos.shape[-1] // 2
        tables[kind if by_type else ""] = cos[0, :, :half].contiguous(), sin[0, :, :half].contiguous()
    return tables


def _name_axes(graph: onnx.ModelProto, tokens: str) -> None:
    """Names of the dynamic axes, those that other loaders look for (transformers.js); a number is a fixed size."""
    batch, past, total = "batch_size", "past_sequence_length", "total_sequence_length"
    by_input = {"input_ids": [batch, _TOKENS], "attention_mask": [batch, total], "logits": [batch, tokens, None]}
    for value in (*graph.graph.input, *graph.graph.output):
        cached = [batch, None, past if value.name.startswith("past") else total, None]
        for dim, name in zip(value.type.tensor_type.shape.dim, by_input.get(value.name, cached), strict=True):
            if name is not None and name.isdigit():
                dim.dim_value = int(name)
            elif name is not None:
                dim.dim_param = name
