"""Smoothing of a decoder in torch, before it becomes a TFLite file: no op more, and the same function to float's last digits.

What a norm gives is divided by a scale in the norm's own weights; what a gated FFN's last product reads, in the ungated half's rows:
down(act(gate(x)) * up(x)). The products that read it have their columns multiplied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgepack.export.smoothing import channel_scales
from edgepack.model.surgery import family_of_model, has_attention, inputs_of, layers_of, matrix_of

TEXTS, TOKENS = 16, 256  # that tell the largest activations: a few thousand tokens
_NORMS = (("input_layernorm", "post_attention_layernorm"), ("ln_1", "ln_2"))  # in front of attention, of the FFN; as families name them


@dataclass(frozen=True)
class _Place:
    """maker: what gives the activation, a norm or a product; readers: the products that alone read it."""

    maker: nn.Module
    readers: tuple[nn.Module, ...]


def smooth_decoder(model: nn.Module, texts: Sequence[Sequence[int]], strength: float) -> int:
    """Changes the model in place; returns how many activations were evened out, 0 without texts. texts: token ids."""
    places = list(_places(model)) if texts else []
    with torch.no_grad():
        for place, of_activations in zip(places, _largest(model, places, texts), strict=True):
            of_weights = torch.stack([matrix_of(one).abs().amax(dim=0) for one in place.readers]).amax(dim=0)
            scale = torch.from_numpy(channel_scales(of_activations.numpy(), of_weights.numpy(), strength))
            made = place.maker.weight if place.maker.weight.ndim == 1 else matrix_of(place.maker)
            made /= scale if made.ndim == 1 else scale[:, None]
            if getattr(place.maker, "bias", None) is not None:
                place.maker.bias /= scale
            for one in place.readers:
                matrix_of(one).mul_(scale)
    return len(places)


def _places(model: nn.Module) -> Iterator[_Place]:
    family = family_of_model(model)
    for layer in layers_of(model):
        before, between = next((pair for pair in _NORMS if hasattr(layer, pair[0])), ("", ""))
        heads = dict.fromkeys((family.query, family.key, family.value)) if has_attention(model, layer) else ()
        last = layer.get_submodule(family.ffn_out)
        for norm, paths in ((before, heads), (between, dict.fromkeys(family.ffn_in) if inputs_of(last) else ())):
            if norm and paths:
                yield _Place(layer.get_submodule(norm), tuple(layer.get_submodule(path) for path in paths))
        if len(set(family.ffn_in)) == 2 and inputs_of(last):
            yield _Place(layer.get_submodule(family.ffn_in[1]), (last,))


def _largest(model: nn.Module, places: Sequence[_Place], texts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The largest |x| of each channel of what each place's products read."""
    found = [torch.zeros(inputs_of(place.readers[0])) for place in places]

    def watch(at: int) -> torch.utils.hooks.RemovableHandle:
        def look(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            found[at] = torch.maximum(found[at], inputs[0].abs().flatten(0, -2).amax(dim=0))

        return places[at].readers[0].register_forward_pre_hook(look)

    handles = [watch(at) for at in range(len(places))]
    try:
        with torch.no_grad():
            for ids in texts[:: max(1, len(texts) // TEXTS)][:TEXTS]:
                model(input_ids=torch.tensor([list(ids[:TOKENS])]))
    finally:
        for handle in handles:
            handle.remove()
    return found
