"""A decoder's modules as onnxruntime's ops: attention with a cache, RMSNorm, and products with weights in the runtime's order."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from edgepack.export.decoders import attention_cap_of, kv_heads, layer_type_of, window_of
from edgepack.model.factored import LINEARS
from edgepack.model.structure import family_of_model, head_dim_of, inputs_of, layers_of, matrix_of, projections_of

Pair = tuple[torch.Tensor, torch.Tensor]
_ROTATED_INSIDE = 16  # the op rotates heads whose size this divides; others are rotated before it


@dataclass
class Feed:
    """What attention needs beside hidden states in one pass over the graph, and the keys and values that it leaves.

    past, present: keys and values by layer, [rows, heads, tokens, head_size]. lengths [rows] int32: tokens of each row less one;
    total, a scalar int32: of the longest. tables: cos and sin [positions, half of what turns of a head] by type of layer; turns: their
    rows for the tokens at hand, [rows, tokens, 1, half].
    """

    tables: dict[str, Pair] = field(default_factory=dict)
    past: dict[int, Pair] = field(default_factory=dict)
    present: dict[int, Pair] = field(default_factory=dict)
    lengths: torch.Tensor | None = None
    total: torch.Tensor | None = None
    turns: dict[str, Pair] = field(default_factory=dict)


@contextmanager
def onnx_modules(model: nn.Module, feed: Feed) -> Iterator[None]:
    """While the block runs, `model` computes with onnxruntime's ops; it can then be exported, but not run."""
    family, originals = family_of_model(model), []

    def put(name: str, module: nn.Module) -> None:
        originals.append((name, model.get_submodule(name)))
        model.set_submodule(name, module)

    paths = {module: name for name, module in model.named_modules()}
    norms = [(name, module) for name, module in model.named_modules() if type(module).__name__.endswith("RMSNorm")]
    heads = kv_heads(model)
    try:
        for name, norm in norms:
            put(name, RMSNorm(norm, family.norm_offset))
        for index, layer in enumerate(layers_of(model)):
            if index in heads:
                put(f"{paths[layer]}.{family.attention}", Attention(model, layer, index, heads[index], feed))
        put(paths[model.get_output_embeddings()], Head(model.get_output_embeddings()))
        for name, linear in list(model.named_modules()):
            if isinstance(linear, nn.Linear | Conv1D):
                put(name, Product.of(linear))
        yield
    finally:
        for name, module in reversed(originals):
            model.set_submodule(name, module)


class Product(nn.Module):
    """A linear layer as MatMul and Add, its weight a view [inputs, outputs]: nothing to transpose, nothing copied."""

    def __init__(self, matrix: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(matrix.detach().T, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    @classmethod
    def of(cls, linear: nn.Module) -> "Product":
        return cls(matrix_of(linear), linear.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        product = torch.matmul(inputs, self.weight)
        return product if self.bias is None else product + self.bias


class Head(nn.Module):
    """Logits. The op reads the matrix [vocab, hidden] as the embeddings do, so that a tied one is stored once."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        shape = (*hidden.shape[:-1], self.weight.shape[0])
        attributes = {"transA": 0, "transB": 1, "alpha": 1.0}
        return torch.onnx.ops.symbolic(
            "com.microsoft::FusedMatMul", [hidden, self.weight], attributes, dtype=hidden.dtype, shape=shape, version=1
        )


class RMSNorm(nn.Module):
    """Opset 20 has no op for it and onnxruntime does not find it in its parts: its own op is written."""

    def __init__(self, norm: nn.Module, offset: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(norm.weight.detach() + offset, requires_grad=False) if offset else norm.weight
        self.epsilon = float(norm.variance_epsilon if hasattr(norm, "variance_epsilon") else norm.eps)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if hidden.shape[-1] != self.weight.shape[0]:  # the single zero of a layer without attention
            hidden = hidden.expand(*hidden.shape[:-1], self.weight.shape[0])
        attributes = {"axis": -1, "epsilon": self.epsilon, "stash_type": 1}
        return torch.onnx.ops.symbolic(
            "SimplifiedLayerNormalization", [hidden, self.weight], attributes, dtype=hidden.dtype, shape=hidden.shape, version=1
        )


class Attention(nn.Module):
    """com.microsoft::GroupQueryAttention over past and new tokens; query, key and value come of one product where nothing is between.

    A factored one stays two products in a row, so it comes by itself; of a matrix that has all three, they are parts of what it gives.
    """

    def __init__(self, model: nn.Module, layer: nn.Module, index: int, kv_count: int, feed: Feed) -> None:
        super().__init__()
        family, self.size = family_of_model(model), head_dim_of(model)
        self.index, self.kv_count, self.feed = index, kv_count, feed
        attention, output = layer.get_submodule(family.attention), layer.get_submodule(family.attention_output)
        self.heads = inputs_of(output) // self.size
        self.scale, self.kind = float(attention.scaling), layer_type_of(model, index) if len(feed.tables) > 1 else ""
        self.rotates = bool(feed.tables) and bool(getattr(attention, family.rotation_switch, True) if family.rotation_switch else True)
        whole = self.rotates and 2 * feed.tables[self.kind][0].shape[1] == self.size
        self.inside = whole and self.size % _ROTATED_INSIDE == 0
        self.options = _options(window_of(model, index), attention_cap_of(model))
        parts = [layer.get_submodule(path) for path in dict.fromkeys((family.query, family.key, family.value))]
        self.norms = nn.ModuleList([attention.q_norm, attention.k_norm] if family.head_norms else [])
        factored = any(isinstance(part, LINEARS) for part in parts)
        taken_whole = not self.norms and (self.inside or not self.rotates)
        self.rows = [rows for _, rows in projections_of(model, layer)] if factored and len(parts) == 1 and not taken_whole else []
        if factored:
            self.qkv = nn.ModuleList(map(_products_of, parts))
        else:
            self.qkv = nn.ModuleList([_stacked(parts)] if taken_whole else _apart(model, layer))
        self.output = _products_of(output)

    def forward(self, hidden_states: torch.Tensor, *_: object, **__: object) -> tuple[torch.Tensor, None]:
        feed, (rows, tokens) = self.feed, hidden_states.shape[:2]
        past = feed.past[self.index]
        parts = [part(hidden_states) for part in self.qkv]
        parts = [parts[0][..., rows] for rows in self.rows] or parts
        parts = self._prepared(parts) if len(parts) > 1 else [*parts, None, None]
        tables = [*feed.tables[self.kind]] if self.inside else []
        after = (rows, self.kv_count, tokens + past[0].shape[2], self.size)
        output, key, value = torch.onnx.ops.symbolic_multi_out(
            "com.microsoft::GroupQueryAttention",
            [*parts, *past, feed.lengths, feed.total, *tables],
            {"num_heads": self.heads, "kv_num_heads": self.kv_count, "scale": self.scale, "do_rotary": int(self.inside), **self.options},
            dtypes=[hidden_states.dtype] * 3,
            shapes=[(rows, tokens, self.heads * self.size), after, after],
            version=1,
        )
        feed.present[self.index] = (key, value)
        return self.output(output), None

    def _prepared(self, parts: list[torch.Tensor]) -> list[torch.Tensor]:
        """Queries and keys normalised within heads and rotated, as far as the op does not do it. [rows, tokens, heads * size]."""
        turns, prepared = self.rotates and not self.inside, []
        if not (self.norms or turns):
            return parts
        for part, norm in zip(parts[:2], self.norms or (None, None), strict=True):
            by_head = part.reshape(*part.shape[:2], -1, self.size)
            by_head = by_head if norm is None else norm(by_head)
            by_head = self._rotated(by_head) if turns else by_head
            prepared.append(by_head.reshape(part.shape))
        return [*prepared, parts[2]]

    def _rotated(self, by_head: torch.Tensor) -> torch.Tensor:
        cos, sin = self.feed.turns[self.kind]
        turned = 2 * self.feed.tables[self.kind][0].shape[1]
        first, second = by_head[..., :turned].chunk(2, dim=-1)
        parts = [first * cos - second * sin, second * cos + first * sin]
        return torch.cat([*parts, by_head[..., turned:]] if turned < self.size else parts, dim=-1)


def _options(window: int | None, cap: float | None) -> dict[str, int | float]:
    """Attributes that the op has where a layer sees a window, or its scores stay under a cap."""
    return ({} if window is None else {"local_window_size": window}) | ({"softcap": float(cap)} if cap else {})


def _products_of(linear: nn.Module) -> nn.Module:
    """One product, or the two of a factored layer, which `onnx_modules` then puts products into."""
    return linear if isinstance(linear, LINEARS) else Product.of(linear)


def _apart(model: nn.Module, layer: nn.Module) -> list[Product]:
    """Query, key and value as products of their own, where a family has them in one matrix too."""
    products = []
    for path, rows in projections_of(model, layer):
        linear = layer.get_submodule(path)
        products.append(Product(matrix_of(linear)[rows], None if linear.bias is None else linear.bias[rows]))
    return products


def _stacked(parts: list[nn.Module]) -> Product:
    if len(parts) == 1:
        return Product.of(parts[0])
    biases = [part.bias for part in parts]
    return Product(torch.cat([matrix_of(part) for part in parts]), None if biases[0] is None else torch.cat(biases))
