"""A decoder to TFLite in fp32: signatures for prompts and for single tokens around a cache of fixed length, builtin ops only.

Every signature takes `input_ids` [1, tokens], `position` [1] of the first of them, both int32, and the cache: key_<layer>
[heads, positions, head_size] and value_<layer> [heads, head_size, positions]. It returns the cache with the tokens in it.
`decode` takes one token and adds `logits` [1, 1, vocab]; `prefill_<n>` takes n and adds `hidden` [1, n, width], from which
`head` makes logits, HEAD_ROWS at a time: so what scores a text is what reads a prompt, and nobody who only writes text pays
for logits of a prompt.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from edgepack.export.decoders import cache_layers, layer_type_of, logit_cap_of, refuse_rotation_by_length, under_cap, window_of
from edgepack.export.describing import describe_decoder
from edgepack.export.onnx_export import plain_linears
from edgepack.export.tflite_attention import HIDDEN, tflite_cached_attention
from edgepack.export.tflite_export import MODEL_FILE, write_signatures
from edgepack.model.structure import depth_of
from edgepack.pack.runnable import CacheLayer, Runnable
from edgepack.tasks.common.task import Task

PROMPTS = (16, 128)  # tokens of a prompt that are read at once: each length is a graph of its own, to convert and to load
HEAD_ROWS = 16


def runnable_tflite_decoder(model: nn.Module, task: Task, positions: int, weight_cache: bool) -> Runnable:
    """What a target must know of the file that an export of `model` became. positions: tokens that its cache holds."""
    return describe_decoder(model, task, MODEL_FILE, positions, weight_cache=weight_cache, buckets=prompt_lengths(positions))


def prompt_lengths(positions: int) -> tuple[int, ...]:
    """The lengths, in tokens, of the signatures that read prompts; none is longer than `positions`."""
    return tuple(length for length in PROMPTS if length <= positions) or (positions,)


def export_tflite_decoder(model: nn.Module, positions: int, target: Path) -> None:
    """Writes `target` in fp32, its cache `positions` tokens long; see above for its signatures, which share the weights.

    EdgepackError where the converter cannot take the model, or its positions are turned by the length of the text.
    """
    refuse_rotation_by_length(model)
    cache = cache_layers(model)
    with plain_linears(model.eval()), tflite_cached_attention(model):
        signatures = {"decode": (_Graph(model, positions, "logits"), _inputs(cache, positions, 1))}
        for length in prompt_lengths(positions):
            signatures[f"prefill_{length}"] = (_Graph(model, positions, "hidden"), _inputs(cache, positions, length))
        width = model.get_output_embeddings().weight.shape[1]
        signatures["head"] = (_Head(model), {"hidden": torch.zeros(1, HEAD_ROWS, width)})
        write_signatures(model, signatures, target)


class _Graph(nn.Module):
    """What a signature computes, by name: the cache with the new tokens in it, and their logits or their last hidden states."""

    def __init__(self, model: nn.Module, positions: int, output: str) -> None:
        super().__init__()
        self.model, self.positions, self.output = model, positions, output

    def forward(self, input_ids: torch.Tensor, position: torch.Tensor, **past: torch.Tensor) -> dict[str, torch.Tensor]:
        at = position + torch.arange(input_ids.shape[1], dtype=torch.int32)
        cache = _Cache(past, position[0])
        hidden = self.model.base_model(
            input_ids=input_ids,
            attention_mask=self._masks(at),
            position_ids=at[None].long(),
            past_key_values=cache,
            use_cache=False,
        ).last_hidden_state
        return {**cache.present, self.output: _logits(self.model, hidden) if self.output == "logits" else hidden}

    def _masks(self, at: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Of four axes, which transformers takes as they are; by type of layer, where some see a window alone. at: [tokens]."""
        columns = torch.arange(self.positions, dtype=torch.int32)[None]
        windows = {layer_type_of(self.model, index): window_of(self.model, index) for index in range(depth_of(self.model))}
        masks = {}
        for kind, window in windows.items():
            visible = columns <= at[:, None]
            if window is not None and window < self.positions:
                visible = visible & (columns > at[:, None] - window)
            masks[kind] = torch.where(visible, 0.0, HIDDEN)[None, None]
        return masks.get("", masks)


class _Head(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": _logits(self.model, hidden)}


def _logits(model: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """[rows, tokens, vocab] from the last hidden states, under the model's cap where it has one."""
    from litert_torch.backend.optimization_barrier import optimization_barrier

    logits = model.get_output_embeddings()(hidden)
    if logit_cap_of(model):
        # The converter would divide the weights in place of the logits, and a tied table would lie in the file twice.
        logits, _ = optimization_barrier(logits, hidden)  # it is lowered for several values alone
    return under_cap(model, logits)


class _Cache:
    """Keys and values of fixed length, as transformers' attention asks for them; new ones lie from `start` on.

    `index_copy` in place of the update would become a scatter, which is slower.
    """

    def __init__(self, past: dict[str, torch.Tensor], start: torch.Tensor) -> None:
        self.past, self.start = past, start
        self.present: dict[str, torch.Tensor] = {}

    def get_seq_length(self, *_: object) -> int:
        return 0

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object, **__: object) -> Sequence[torch.Tensor]:
        from litert_torch.backend.optimization_barrier import optimization_barrier
        from litert_torch.generative.custom_ops.dynamic_update_slice import dynamic_update_slice

        zero, (key, value) = torch.zeros((), dtype=torch.int32), (f"key_{layer}", f"value_{layer}")
        if values.shape[1] == 1:
            # A single head's values are turned whole: the converter would turn their product instead, weights on the left, and
            # no quantizer takes that.
            keys, values = optimization_barrier(keys, values)
        self.present[key] = dynamic_update_slice(self.past[key], keys[0], [zero, self.start, zero])
        self.present[value] = dynamic_update_slice(self.past[value], values[0].transpose(1, 2), [zero, zero, self.start])
        return self.present[key], self.present[value]


def _inputs(cache: Sequence[CacheLayer], positions: int, tokens: int) -> dict[str, torch.Tensor]:
    past: dict[str, torch.Tensor] = {}
    for layer in cache:
        past[f"key_{layer.layer}"] = torch.zeros(layer.heads, positions, layer.head_size)
        past[f"value_{layer.layer}"] = torch.zeros(layer.heads, layer.head_size, positions)
    return {"input_ids": torch.ones(1, tokens, dtype=torch.int32), "position": torch.zeros(1, dtype=torch.int32), **past}
