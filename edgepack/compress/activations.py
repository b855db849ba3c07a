"""Magnitudes of a model's activations on real texts. Pruning and narrower students choose by them."""

from collections.abc import Sequence

import torch
from torch import nn

from edgepack.model.evaluation import batches_on, use_all_cores
from edgepack.model.layer_calls import first_of, hooked
from edgepack.model.structure import family_of_model, ffns_of, head_dim_of, inputs_of, layer_shapes, layers_of
from edgepack.tasks.common.task import Features

_ROWS = 128


def collect_activations(model: nn.Module, features: Sequence[Features]) -> "Activations":
    """Runs the first rows of `features` through the model and sums up what its parts put out."""
    use_all_cores()
    activations = Activations(model)
    activations.collect(features)
    return activations


class Activations:
    """Mean magnitudes over real tokens: hidden [hidden], heads [heads] by layer, ffn [neurons] by FFN (`ffns_of`).

    influence: 1 - cosine between what goes into a layer and what comes out, summed over tokens (Men 2024, ShortGPT).
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        family = family_of_model(model)
        self.hidden = torch.zeros(getattr(model.config, family.config_hidden))
        self.heads = [torch.zeros(shape.heads) for shape in layer_shapes(model)]
        self.ffn = [torch.zeros(inputs_of(owner.get_submodule(family.ffn_out))) for owner in ffns_of(model)]
        self.influence = torch.zeros(len(self.heads))
        self.real: torch.Tensor | None = None  # [rows, tokens] of the batch that is running

    def collect(self, features: Sequence[Features]) -> None:
        model, family = self.model, family_of_model(self.model)
        handles = []
        for index, layer in enumerate(layers_of(model)):
            handles.append(layer.get_submodule(family.attention_output).register_forward_pre_hook(self._add_heads(index)))
            handles.append(layer.register_forward_hook(self._add_hidden(index)))
        for index, owner in enumerate(ffns_of(model)):
            handles.append(owner.get_submodule(family.ffn_out).register_forward_pre_hook(self._add_ffn(index)))
        with hooked(handles), torch.inference_mode():
            for batch in batches_on(model, features[:_ROWS]):
                self.real = batch["attention_mask"].bool()
                model(**batch)

    def _add_heads(self, index: int):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            heads = inputs[0].reshape(*self.real.shape, len(self.heads[index]), head_dim_of(self.model))
            self.heads[index] += heads[self.real].norm(dim=-1).sum(dim=0)

        return hook

    def _add_ffn(self, index: int):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self.ffn[index] += inputs[0].reshape(*self.real.shape, -1)[self.real].abs().sum(dim=0)

        return hook

    def _add_hidden(self, index: int):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
            states = first_of(output)[self.real]
            self.hidden += states.abs().sum(dim=0)
            self.influence[index] += (1 - torch.cosine_similarity(inputs[0][self.real], states, dim=-1)).sum()

        return hook
