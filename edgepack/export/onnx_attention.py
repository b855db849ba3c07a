"""Attention that exports as one op of onnxruntime, com.microsoft::MultiHeadAttention, in place of transformers' own.

The head count is read from each layer's tensors, so uneven (pruned) layers export as they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.masking_utils import bidirectional_mask_function, causal_mask_function

from edgepack.core.errors import EdgepackError
from edgepack.export.attention_interface import attention_replaced, visible_by_position


@contextmanager
def onnx_attention(model: nn.Module) -> Iterator[None]:
    """While the block runs, `model` computes attention with the op; it can then be exported, but not run."""
    with attention_replaced(model, "edgepack_onnx", _attention, _mask):
        yield


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query [rows, heads, tokens, head_dim]; key and value may have fewer heads (grouped queries).

    Mask: [rows, tokens], 1 is real; or [rows, 1, tokens, tokens], added to the scores.
    """
    if softcap is not None:
        raise EdgepackError(
            f"{type(module).__name__} limits its scores to {softcap} (softcap), which the op for whole texts cannot do",
            "export it for --task text-generation, or with --format tflite",
        )
    rows, heads, tokens, size = query.shape
    groups = heads // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    flat = [part.transpose(1, 2).reshape(rows, -1, heads * size) for part in (query, key, value)]
    if attention_mask is None:
        inputs = flat
    else:
        inputs = [*flat, None, attention_mask] if attention_mask.dim() == 2 else [*flat, None, None, attention_mask]
    attributes = {
        "num_heads": heads,
        "scale": float(scaling or size**-0.5),
        "unidirectional": int(bool(getattr(module, "is_causal", False))),
    }
    output = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention", inputs, attributes, dtype=query.dtype, shape=(rows, tokens, heads * size), version=1
    )
    return output.reshape(rows, tokens, heads, size), None


def _mask(
    q_length: int, kv_length: int, mask_function: Any = None, attention_mask: torch.Tensor | None = None, **more: Any
) -> torch.Tensor | None:
    """The padding alone, where a layer sees all tokens or all before it (the op's own attribute); else what is added to scores.

    A mask that goes by more than positions (packed texts) is refused with EdgepackError.
    """
    if mask_function in (None, bidirectional_mask_function, causal_mask_function):
        return None if attention_mask is None else attention_mask.to(torch.int32)
    visible = visible_by_position(q_length, kv_length, mask_function)
    if attention_mask is not None:
        visible = visible & attention_mask[:, None, None, :].bool()
    return torch.where(visible, 0.0, torch.finfo(torch.float32).min)
