"""A student made of its teacher's own weights: layers spread evenly, width by what the activations say matters."""

from collections.abc import Sequence

import torch
from torch import nn

from edgepack.model.checkpoint import quiet_transformers
from edgepack.model.surgery import cut_ffn, cut_heads, family_of_model, head_dim_of, keep_layers, layer_shapes, layers_of
from edgepack.model.tasks import Features
from edgepack.shape import LayerShape
from edgepack.stages.activations import collect_activations
from edgepack.stages.importance import best
from edgepack.student import student_layers


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
    activations = collect_activations(model, features)
    before = layer_shapes(model)
    ratio = hidden / full
    shapes = [LayerShape(heads=row.heads and max(1, round(row.heads * ratio)), ffn=max(1, round(row.ffn * ratio))) for row in before]
    cut_heads(model, [best(scores, shape.heads) for scores, shape in zip(activations.heads, shapes, strict=True)])
    cut_ffn(model, [best(scores, shape.ffn) for scores, shape in zip(activations.ffn, shapes, strict=True)])
    student = _empty_student(model, hidden, hidden // size, shapes)
    _copy_narrow(model, student, torch.tensor(best(activations.hidden, hidden)))
    return student.eval()


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
