"""What passes through a model's layers while it reads a batch, and what maps a narrow student's hidden states to its teacher's."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from edgepack.compress.least_squares import moment_of, ridged
from edgepack.compress.observing import batches_of
from edgepack.model.layer_calls import first_of, hooked, state_of
from edgepack.model.linear_kernels import fast_linears
from edgepack.model.structure import depths_in, family_of_model, has_attention, layers_of, projections_of
from edgepack.tasks.common.task import Features

_FITTED_BY = 200  # texts
_RIDGE = 1e-3  # of the mean square of the student's states


class Recorded:
    """states: hidden states after the embeddings and each layer. relations: the last layer's queries, keys and values."""

    def __init__(self) -> None:
        self.states: list[torch.Tensor] = []
        self.relations: list[torch.Tensor] = []


@contextmanager
def recording(model: nn.Module, states: bool = True, relations: bool = False) -> Iterator[Recorded]:
    """What passes through the layers while the block runs, of what is asked for. Relations are of the last layer that has attention."""
    record, handles = Recorded(), []

    def enters(module: nn.Module, inputs: tuple[torch.Tensor, ...], named: dict[str, Any]) -> None:
        if not record.states:  # a layer that is run again and again is entered once
            record.states.append(state_of((inputs, named)))

    def projects(parts: Sequence[slice]) -> Callable[..., None]:
        return lambda module, inputs, output: record.relations.extend(output[..., part] for part in parts)

    def leaves(module: nn.Module, inputs: Any, output: Any) -> None:
        record.states.append(first_of(output))

    layers = layers_of(model)
    if states:
        handles.append(layers[0].register_forward_pre_hook(enters, with_kwargs=True))
        handles += [layer.register_forward_hook(leaves) for layer in layers]
    if relations:
        last = next(layer for layer in reversed(layers) if has_attention(model, layer))
        parts: dict[str, list[slice]] = {}
        for path, rows in projections_of(model, last):
            parts.setdefault(path, []).append(rows)
        handles += [last.get_submodule(path).register_forward_hook(projects(slices)) for path, slices in parts.items()]
    with hooked(handles):
        yield record
    record.relations = record.relations[-3:]


def fitted_projection(student: nn.Module, teacher: nn.Module, features: Sequence[Features]) -> nn.Linear | None:
    """From the student's hidden states to its teacher's: the least squares over some texts and all layers. None where widths are equal.

    A student that was fitted to its teacher is so held to what it began with. From a random projection it would first have to learn one.
    """
    width, teachers_width = (getattr(each.config, family_of_model(each).config_hidden) for each in (student, teacher))
    if width == teachers_width:
        return None
    squares, products = torch.zeros(width, width, dtype=torch.double), torch.zeros(width, teachers_width, dtype=torch.double)
    for states, targets in _states_of(student, teacher, features[:_FITTED_BY]):
        weight = 1 / targets.square().mean().clamp_min(1e-12)  # each layer counts the same
        squares += weight * moment_of(states)
        products += weight * moment_of(states, targets)
    projection = nn.Linear(width, teachers_width, bias=False)
    with torch.no_grad():
        projection.weight.copy_(torch.linalg.solve(ridged(squares, width, _RIDGE), products).T)
    return projection


def _states_of(student: nn.Module, teacher: nn.Module, features: Sequence[Features]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """[tokens, width] of the student and of its teacher, batch by batch and layer by layer."""
    student.eval()
    teacher.eval()
    for batch in batches_of(teacher, features):
        with torch.no_grad(), fast_linears(student, teacher), recording(student) as ours, recording(teacher) as theirs:
            student(**batch.inputs)
            teacher(**batch.inputs)
        for states, depth in zip(ours.states, depths_in(student, teacher), strict=True):
            yield states[batch.real], theirs.states[depth][batch.real]
