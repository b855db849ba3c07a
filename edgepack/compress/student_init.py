"""Makes a student of its teacher's weights: evenly spread layers, the heads and neurons that do most, a narrower hidden state."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from edgepack.compress.activations import collect_activations
from edgepack.compress.importance import best
from edgepack.compress.layer_fitting import fit_layers, main_axes, on_axes
from edgepack.compress.observing import Observation, is_norm, observe
from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import quiet_transformers
from edgepack.model.sentence_head import dimensions_of, statement_of, with_head
from edgepack.model.structure import by_ffn, depth_of, family_of_model, head_dim_of, kv_groups_of, layer_shapes, note_sources, sources_of
from edgepack.model.surgery import cut_ffn, cut_heads, keep_layers, resize_layers
from edgepack.plan.shape import LayerShape
from edgepack.plan.student import narrowed, student_layers
from edgepack.tasks.common.task import Features


def make_student(model: nn.Module, layers: int, hidden: int, features: Sequence[Features]) -> nn.Module:
    """Cuts `model` down to `layers` layers and a hidden width of `hidden`; returns the student.

    Layers as in DistilBERT (Sanh 2019); heads and FFN neurons by their mean activation over `features`, as in Minitron (Muralidharan 2024).
    The hidden state of a narrower one is the teacher's on its main axes, and its layers are fitted to that; where a family's layers share
    their weights or have a bottleneck, the dimensions with the largest activations stay instead.
    """
    sources = student_layers(layers, depth_of(model))
    family = family_of_model(model)
    if hidden == getattr(model.config, family.config_hidden):
        keep_layers(model, sources)
        return model
    observation = observe(copy.deepcopy(model), features) if family.fits_layers else None
    keep_layers(model, sources)
    student, axes = _narrowed(model, hidden, features, observation)
    note_sources(student, sources_of(model))
    if observation is not None:
        fit_layers(student, model, observation, sources, axes)
    return with_head(student, statement_of(model), dimensions_of(model)).eval()


def _narrowed(model: nn.Module, hidden: int, features: Sequence[Features], teacher: Observation | None) -> tuple[nn.Module, torch.Tensor]:
    """The student, and the axes [hidden of the teacher, hidden] of its hidden state. Cuts `model` to its heads and neurons."""
    group, ratio = kv_groups_of(model), hidden / getattr(model.config, family_of_model(model).config_hidden)
    activations = collect_activations(model, features)
    shapes = [narrowed(row, ratio, group) for row in layer_shapes(model)]
    axes = torch.eye(len(activations.hidden))[:, best(activations.hidden, hidden)] if teacher is None else main_axes(teacher, hidden)
    cut_heads(model, _best_heads(model, activations.heads, [shape.heads for shape in shapes], group))
    widths = by_ffn(model, [shape.ffn for shape in shapes])
    cut_ffn(model, [best(scores, width) for scores, width in zip(activations.ffn, widths, strict=True)])
    student = _empty_student(model, hidden, shapes)
    _copy_narrow(model, student, axes)
    return student.eval(), axes


def _best_heads(model: nn.Module, scores: Sequence[torch.Tensor], counts: Sequence[int], group: int) -> list[list[int]]:
    """Heads that stay, by layer. Where layers share a table with a column a head, the same ones stay in all of them."""
    bias = family_of_model(model).head_bias
    if not bias:
        return [best(of_layer, count, group) for of_layer, count in zip(scores, counts, strict=True)]
    if len({len(of_layer) for of_layer in scores}) > 1:
        raise EdgepackError(
            f"the layers of this {model.config.model_type} have different numbers of heads, "
            "but they share a table with a column for each head",
            "make the student of a model that was not pruned",
        )
    columns = best(torch.stack(list(scores)).sum(dim=0), counts[0], group)
    table = model.base_model.get_submodule(bias)
    table.weight = nn.Parameter(table.weight.detach()[:, columns].clone())
    return [columns for _ in counts]


def _empty_student(model: nn.Module, hidden: int, shapes: Sequence[LayerShape]) -> nn.Module:
    """The same class with a narrower config, its layers cut to `shapes`; the weights are still random."""
    family, config = family_of_model(model), type(model.config)(**model.config.to_dict())
    full = getattr(config, family.config_hidden)
    whole = LayerShape(heads=getattr(config, family.config_heads), ffn=getattr(config, family.config_ffn) or 4 * full)
    group = whole.heads // (getattr(config, "num_key_value_heads", None) or whole.heads)
    narrow = narrowed(whole, hidden / full, group)
    for name in (family.config_hidden, *family.config_widths):
        setattr(config, name, hidden)
    setattr(config, family.config_ffn, narrow.ffn)
    if not family.config_bottleneck:  # within a bottleneck heads have its width, which stays
        setattr(config, family.config_heads, narrow.heads)
    if hasattr(config, "num_key_value_heads"):
        config.head_dim, config.num_key_value_heads = head_dim_of(model), narrow.heads // group
    if getattr(config, "embedding_size", None) == full:
        config.embedding_size = hidden
    with quiet_transformers():
        student = type(model)(config, **({"add_pooling_layer": False} if getattr(model, "pooler", model) is None else {}))
    resize_layers(student, shapes)
    if hasattr(model, "generation_config"):  # its own file's, where a config alone would give other ends of a text
        student.generation_config = model.generation_config
    return student


def _copy_narrow(model: nn.Module, student: nn.Module, axes: torch.Tensor) -> None:
    """Copies every weight; an axis that is longer in the model than in the student is its hidden axis."""
    weights, narrow = model.state_dict(), {}
    scales = {f"{name}.weight" for name, module in model.named_modules() if is_norm(module)}
    for name, target in student.state_dict().items():
        narrow[name] = on_axes(weights[name], target.shape, axes, name in scales)
    student.load_state_dict(narrow)
