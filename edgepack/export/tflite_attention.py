"""Attention and masks in a form that LiteRT's converter accepts: plain products, finite masks, and head counts from each layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.masking_utils import bidirectional_mask_function

from edgepack.export.attention_interface import attention_replaced, visible_by_position

HIDDEN = -1e4  # finite: a row that sees nothing stays a number, and half precision can hold it


@contextmanager
def tflite_attention(model: nn.Module) -> Iterator[None]:
    """While the block runs, `model` computes attention so that it can be converted; transformers' own masks need GATHER_ND."""
    with attention_replaced(model, "edgepack_tflite", _attention, _mask):
        yield


@contextmanager
def tflite_cached_attention(model: nn.Module) -> Iterator[None]:
    """The same for a decoder whose cache hands out [heads, positions, head_size] as keys, [heads, head_size, positions] as values."""
    with attention_replaced(model, "edgepack_tflite_cached", _cached_attention, _mask):
        yield


def _cached_attention(
    module: nn.Module,
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    scaling: float,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query [1, heads, tokens, head_size], mask [1, 1, tokens, positions]; grouped as below.

    XNNPACK packs the right side of a product each time. For one token the cache therefore stands on the left, as it lies in
    memory; for many, whose products are long, it is turned and packed.
    """
    _, heads, tokens, size = query.shape
    shared = keys.shape[0]
    stacked = (query * scaling).reshape(shared, heads // shared * tokens, size)
    reads_one_token = tokens == 1
    scores = (keys @ stacked.transpose(1, 2)).transpose(1, 2) if reads_one_token else stacked @ keys.transpose(1, 2)
    scores = scores if softcap is None else (scores / softcap).tanh() * softcap
    hidden = mask[0] if reads_one_token or heads == shared else mask[0].repeat(1, heads // shared, 1)
    weights = (scores + hidden).softmax(dim=-1)
    output = (values @ weights.transpose(1, 2)).transpose(1, 2) if reads_one_token else weights @ values.transpose(1, 2)
    return output.reshape(1, heads, tokens, size).transpose(1, 2), None


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
    """query [rows, heads, tokens, head_dim]; the mask is added to the scores.

    Queries that share a key head lie below one another in one product: the converter miscompiles K and V that are repeated. The
    products are TFLite's own: aten's come with the reshapes of three axes, which are a third of all reshapes in the file.
    """
    rows, heads, tokens, size = query.shape
    shared = key.shape[1]
    stacked = (query * (scaling or size**-0.5)).reshape(rows, shared, heads // shared * tokens, size)
    scores = torch.ops.tfl.batch_matmul(stacked, key, adj_y=True)
    if softcap is not None:
        scores = (scores / softcap).tanh() * softcap
    if attention_mask is not None:
        scores = scores + (attention_mask if heads == shared else attention_mask.repeat(1, 1, heads // shared, 1))
    output = torch.ops.tfl.batch_matmul(scores.softmax(dim=-1), value).reshape(rows, heads, tokens, size)
    return output.transpose(1, 2), None


def _mask(
    q_length: int, kv_length: int, mask_function: Any = None, attention_mask: torch.Tensor | None = None, **more: Any
) -> torch.Tensor | None:
    """[rows, 1, tokens or 1, tokens]: what is added to scores, 0 where a token is seen.

    A mask that goes by more (packed texts) is refused with EdgepackError.
    """
    added = None if attention_mask is None else (1 - attention_mask[:, None, None, :].to(torch.float32)) * HIDDEN
    if mask_function in (None, bidirectional_mask_function):
        return added
    by_position = torch.where(visible_by_position(q_length, kv_length, mask_function), 0.0, HIDDEN)
    return by_position if added is None else added + by_position
