"""Attention that exports as one op of onnxruntime, com.microsoft::MultiHeadAttention, in place of transformers' own.

The head count is read from each layer's tensors, so uneven (pruned) layers export as they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, bidirectional_mask_function, causal_mask_function

from edgepack.errors import EdgepackError

_NAME = "edgepack_onnx"


@contextmanager
def onnx_attention(model: nn.Module) -> Iterator[None]:
    """While the block runs, `model` computes attention with the op; it can then be exported, but not run."""
    AttentionInterface.register(_NAME, _attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, _padding_mask)
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query [rows, heads, tokens, head_dim]; key and value may have fewer heads (grouped queries). Mask: [rows, tokens], 1 is real."""
    rows, heads, tokens, size = query.shape
    groups = heads // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    flat = [part.transpose(1, 2).reshape(rows, -1, heads * size) for part in (query, key, value)]
    inputs = flat if attention_mask is None else [*flat, None, attention_mask]
    attributes = {
        "num_heads": heads,
        "scale": float(scaling or size**-0.5),
        "unidirectional": int(bool(getattr(module, "is_causal", False))),
    }
    output = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention", inputs, attributes, dtype=query.dtype, shape=(rows, tokens, heads * size), version=1
    )
    return output.reshape(rows, tokens, heads, size), None


def _padding_mask(*_: Any, mask_function: Any = None, attention_mask: torch.Tensor | None = None, **__: Any) -> torch.Tensor | None:
    """The padding alone: that a layer is causal is the op's own attribute."""
    if mask_function not in (None, bidirectional_mask_function, causal_mask_function):
        raise EdgepackError(
            "the model masks attention in a way that cannot be exported yet (neither padding nor causal)",
            "models with sliding-window or packed attention come later",
        )
    return None if attention_mask is None else attention_mask.to(torch.int32)
