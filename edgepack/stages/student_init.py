"""A student made of its teacher's own weights: layers spread evenly, width by what the activations say matters."""

from collections.abc import Sequence

import torch
from torch import nn

from edgepack.model.checkpoint import quiet_transformers
from edgepack.model.evaluation import pad_id_of, padded, takes_types
from edgepack.model.surgery import cut_ffn, cut_heads, family_of_model, head_dim_of, keep_layers, layer_shapes, layers_of
from edgepack.model.tasks import Features
from edgepack.shape import LayerShape
from edgepack.student import student_layers

_ACTIVATION_ROWS = 128
_BATCH_ROWS = 32


def make_student(model: nn.Module, layers: int, hidden: int, features: Sequence[Features]) -> nn.Module:
    """Cuts `model` down to `layers` layers and a hidden width of `hidden`; returns the student.

    Layers as in DistilBERT (Sanh 2019); hidden dimensions, heads and FFN neurons by their mean activation over `features`,
    as in Minitron (Muralidharan 2024).
    """
    family = family_of_model(model)
    keep_layers(model, student_layers(layers, len(layers_of(model))))
    full = getattr(model.config, family.config_hidden)
    return model if hidden == full else _narrowed(model, hidden, features)


def _narrowed(model: nn.Module, hidden: int, features: Sequence[Features]) -> nn.Module:
    family, size = family_of_model(model), head_dim_of(model)
    full = getattr(model.config, family.config_hidden)
    activations = _Activations(model)
    activations.collect(features)
    before = layer_shapes(model)
    ratio = hidden / full
    shapes = [LayerShape(heads=max(1, round(row.heads * ratio)), ffn=max(1, round(row.ffn * ratio))) for row in before]
    cut_heads(model, [_top(scores, shape.heads) for scores, shape in zip(activations.heads, shapes, strict=True)])
    cut_ffn(model, [_top(scores, shape.ffn) for scores, shape in zip(activations.ffn, shapes, strict=True)])
    student = _empty_student(model, hidden, hidden // size, shapes)
    _copy_narrow(model, student, torch.tensor(_top(activations.hidden, hidden)))
    return student.eval()


class _Activations:
    """Mean magnitudes over real tokens: hidden [hidden], heads [heads] by layer, ffn [neurons] by layer."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        shapes = layer_shapes(model)
        self.hidden = torch.zeros(getattr(model.config, family_of_model(model).config_hidden))
        self.heads = [torch.zeros(shape.heads) for shape in shapes]
        self.ffn = [torch.zeros(shape.ffn) for shape in shapes]
        self.real: torch.Tensor | None = None  # [rows, tokens] of the batch that is running

    def collect(self, features: Sequence[Features]) -> None:
        model, family = self.model, family_of_model(self.model)
        handles = []
        for index, layer in enumerate(layers_of(model)):
            handles.append(layer.get_submodule(family.attention_output).register_forward_pre_hook(self._add_heads(index)))
            handles.append(layer.get_submodule(family.ffn_out).register_forward_pre_hook(self._add_ffn(index)))
            handles.append(layer.register_forward_hook(self._add_hidden))
        try:
            with torch.inference_mode():
                for at in range(0, min(len(features), _ACTIVATION_ROWS), _BATCH_ROWS):
                    batch = padded(features[at : at + _BATCH_ROWS], pad_id_of(model), takes_types(model))
                    self.real = batch["attention_mask"].bool()
                    model(**batch)
        finally:
            for handle in handles:
                handle.remove()

    def _add_heads(self, index: int):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            heads = inputs[0].reshape(*self.real.shape, len(self.heads[index]), -1)
            self.heads[index] += heads[self.real].norm(dim=-1).sum(dim=0)

        return hook

    def _add_ffn(self, index: int):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self.ffn[index] += inputs[0].reshape(*self.real.shape, -1)[self.real].abs().sum(dim=0)

        return hook

    def _add_hidden(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        states = output[0] if isinstance(output, tuple) else output
        self.hidden += states[self.real].abs().sum(dim=0)


def _top(scores: torch.Tensor, count: int) -> list[int]:
    return sorted(scores.argsort(descending=True, stable=True)[:count].tolist())


def _empty_student(model: nn.Module, hidden: int, heads: int, shapes: Sequence[LayerShape]) -> nn.Module:
    """The same class with a narrower config, its layers cut to `shapes`; the weights are still random."""
    family = family_of_model(model)
    config = type(model.config)(**model.config.to_dict())
    ratio = hidden / getattr(model.config, family.config_hidden)
    setattr(config, family.config_hidden, hidden)
    setattr(config, family.config_heads, heads)
    setattr(config, family.config_ffn, max(1, round(getattr(model.config, family.config_ffn) * ratio)))
    if getattr(config, "embedding_size", None) == getattr(model.config, family.config_hidden):
        config.embedding_size = hidden
    with quiet_transformers():
        student = type(model)(config, **({"add_pooling_layer": False} if getattr(model, "pooler", model) is None else {}))
    cut_heads(student, [range(shape.heads) for shape in shapes])
    cut_ffn(student, [range(shape.ffn) for shape in shapes])
    return student


def _copy_narrow(model: nn.Module, student: nn.Module, kept: torch.Tensor) -> None:
    """Copies every weight; an axis that is longer in the model than in the student is its hidden axis, and keeps `kept`."""
    weights = model.state_dict()
    narrowed = {}
    for name, target in student.state_dict().items():
        weight = weights[name]
        for axis, length in enumerate(target.shape):
            if weight.shape[axis] != length:
                weight = weight.index_select(axis, kept)
        narrowed[name] = weight.clone()
    student.load_state_dict(narrowed)
