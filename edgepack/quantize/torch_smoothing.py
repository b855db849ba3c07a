"""Smoothing in torch, before a model becomes a TFLite file: the same function to float's last digits.

Of a decoder, without an op more: what a norm gives is divided by a scale in the norm's own weights; what a gated FFN's last product
reads, in the ungated half's rows: down(act(gate(x)) * up(x)). The products that read it have their columns multiplied. An encoder's
norms are read by the residual too, so there a product divides what it reads, one multiplication for all that read it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgepack.model.factored import LINEARS
from edgepack.model.layer_calls import hooked
from edgepack.model.structure import family_of_model, ffns_of, has_attention, inputs_of, layers_of, matrix_of
from edgepack.quantize.smoothing import channel_scales

TEXTS, TOKENS = 16, 256  # that tell the largest activations: a few thousand tokens


class _SmoothedProduct(nn.Linear):
    """A product that divides what it reads by the scale that its columns were multiplied with."""

    def __init__(self, product: nn.Linear, scale: torch.Tensor, inverse: torch.Tensor) -> None:
        super().__init__(product.in_features, product.out_features, product.bias is not None, device="meta")
        self.weight, self.bias = nn.Parameter(product.weight.detach() * scale), product.bias
        self.register_buffer("inverse", inverse)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x * self.inverse, self.weight, self.bias)


@dataclass(frozen=True)
class _Place:
    """source: what gives the activation, a norm or a product; readers: the products that alone read it."""

    source: nn.Module
    readers: tuple[nn.Module, ...]


def smooth_decoder(model: nn.Module, texts: Sequence[Sequence[int]], strength: float) -> int:
    """Changes the model in place; returns how many activations were smoothed, 0 without texts. texts: token ids."""
    places, offset = list(_places(model)) if texts else [], family_of_model(model).norm_offset
    with torch.no_grad():
        largest = _largest(model, [place.readers[0] for place in places], texts)
        for place, of_activations in zip(places, largest, strict=True):
            scale = _scale(of_activations, place.readers, strength)
            weight = place.source.weight if place.source.weight.ndim == 1 else matrix_of(place.source)
            if weight.ndim == 1:
                weight.copy_((weight + offset) / scale - offset)
            else:
                weight /= scale[:, None]
            if getattr(place.source, "bias", None) is not None:
                place.source.bias /= scale
            for reader in place.readers:
                matrix_of(reader).mul_(scale)
    return len(places)


def smooth_encoder(model: nn.Module, texts: Sequence[Sequence[int]], strength: float) -> int:
    """Puts other products into the model for those that read what a norm gave; returns how many scales they share, 0 without texts."""
    products = _readers_of_norms(model)
    groups = _reading_alike(model, products, texts[0]) if texts else []
    with torch.no_grad():
        largest = _largest(model, [products[group[0]] for group in groups], texts)
        for group, of_activations in zip(groups, largest, strict=True):
            scale = _scale(of_activations, [products[name] for name in group], strength)
            inverse = 1 / scale
            for name in group:
                model.set_submodule(name, _SmoothedProduct(products[name], scale, inverse))
    return len(groups)


def _readers_of_norms(model: nn.Module) -> dict[str, nn.Linear]:
    """Queries, keys, values and the first products of FFNs by their names in the model; a layer may have lost some."""
    family = family_of_model(model)
    hosts = (*layers_of(model), *ffns_of(model))
    readers: dict[str, nn.Module] = {}
    for name, host in model.named_modules():
        if any(host is known for known in hosts):
            inside = dict(host.named_modules())
            readers |= {
                f"{name}.{path}": inside[path] for path in (family.query, family.key, family.value, *family.ffn_in) if path in inside
            }
    return {name: module for name, module in readers.items() if isinstance(module, nn.Linear)}


def _reading_alike(model: nn.Module, products: Mapping[str, nn.Module], text: Sequence[int]) -> list[list[str]]:
    """Names of products by the tensor that they read, in the order that they run in."""
    read: list[tuple[torch.Tensor, list[str]]] = []

    def note(name: str, tensor: torch.Tensor) -> None:
        if any(name in names for _, names in read):  # a layer that runs again
            return
        same = next((names for other, names in read if other is tensor), None)
        if same is None:
            read.append((tensor, [name]))
        else:
            same.append(name)

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        return products[name].register_forward_pre_hook(lambda _, inputs: note(name, inputs[0]))

    _watched(model, [watch(name) for name in products], [text])
    return [names for _, names in read]


def _scale(of_activations: torch.Tensor, readers: Sequence[nn.Module], strength: float) -> torch.Tensor:
    of_weights = torch.stack([matrix_of(reader).abs().amax(dim=0) for reader in readers]).amax(dim=0)
    return torch.from_numpy(channel_scales(of_activations.numpy(), of_weights.numpy(), strength))


def _places(model: nn.Module) -> Iterator[_Place]:
    family = family_of_model(model)
    for layer in layers_of(model):
        heads = dict.fromkeys((family.query, family.key, family.value)) if has_attention(model, layer) else ()
        last = layer.get_submodule(family.ffn_out)
        neurons = dict.fromkeys(family.ffn_in) if inputs_of(last) else ()
        for norm, paths in ((family.norm_before_attention, heads), (family.norm_before_ffn, neurons)):
            if norm and paths:
                yield from _unless_factored(layer.get_submodule(norm), tuple(layer.get_submodule(path) for path in paths))
        if len(set(family.ffn_in)) == 2 and inputs_of(last):
            yield from _unless_factored(layer.get_submodule(family.ffn_in[1]), (last,))


def _unless_factored(source: nn.Module, readers: tuple[nn.Module, ...]) -> Iterator[_Place]:
    """What is between a factored layer's two products has no large channels, and its matrix is no place to write to."""
    if not any(isinstance(module, LINEARS) for module in (source, *readers)):
        yield _Place(source, readers)


def _largest(model: nn.Module, products: Sequence[nn.Module], texts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The largest |x| of each channel of what each product reads."""
    largest = [torch.zeros(inputs_of(product)) for product in products]

    def watch(at: int) -> torch.utils.hooks.RemovableHandle:
        def look(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            largest[at] = torch.maximum(largest[at], inputs[0].abs().flatten(0, -2).amax(dim=0))

        return products[at].register_forward_pre_hook(look)

    _watched(model, [watch(at) for at in range(len(products))], texts[:: max(1, len(texts) // TEXTS)][:TEXTS])
    return largest


def _watched(model: nn.Module, handles: Sequence[torch.utils.hooks.RemovableHandle], texts: Sequence[Sequence[int]]) -> None:
    """The model reads the texts, and the handles are removed whatever happens."""
    with hooked(handles), torch.no_grad():
        for ids in texts:
            model(input_ids=torch.tensor([list(ids[:TOKENS])]))
