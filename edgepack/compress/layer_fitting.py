"""Fits a narrow student to its teacher, layer after layer, in closed form: what distillation then starts from.

The student's hidden state stands for the teacher's on a few axes. Each of its matrices is fitted by least squares, on the inputs that the
student has there, to what the teacher puts out on those axes, and each norm likewise. So a layer makes up for the axes that are gone, for
heads and neurons that were cut, for the errors of the layers before it, and for layers of the teacher that the student lacks.

Axes of the greatest variance in place of single dimensions: Ashkboos 2024, "SliceGPT". One layer after another, on the inputs that it will
see: Frantar 2022, "Optimal brain compression".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from edgepack.compress.least_squares import moment_of, ridged, with_ones
from edgepack.compress.observing import (
    Batch,
    Flow,
    Observation,
    Part,
    calls_of,
    fitted_names,
    is_linear,
    is_norm,
    without_cache,
)
from edgepack.model.layer_calls import Call, first_of, state_of, with_state
from edgepack.model.linear_kernels import fast_linears
from edgepack.model.structure import depth_of, family_of_model, inputs_of, layers_of, matrix_of, outputs_of

_RIDGE = 0.01  # of the mean square of an input: keeps weights that the texts say little about where they were


def main_axes(observation: Observation, width: int) -> torch.Tensor:
    """[hidden, width], orthonormal: the axes on which the hidden states are largest, then turned among themselves at random.

    Turned, because a norm sees single coordinates: so none is much larger than another, and their mean, which LayerNorm takes away, is 0.
    That takes one of the axes.
    """
    moment = torch.zeros(())
    for batch, calls, last in zip(observation.batches, observation.calls, observation.last, strict=True):
        for states in (*(state_of(call) for call in calls), last):
            rows = states[batch.real]
            moment = moment + moment_of(rows) / rows.square().sum()  # each depth counts the same: a decoder's states grow with it
    axes = torch.linalg.eigh(moment).eigenvectors.flip(1)[:, : width - 1]
    drawn = torch.randn(width, width - 1, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    turned = torch.linalg.qr(torch.cat([torch.ones(width, 1, dtype=torch.double), drawn], dim=1)).Q[:, 1:]
    return (axes @ turned.T).float()


def fit_layers(student: nn.Module, cut: nn.Module, observation: Observation, sources: Sequence[int], axes: torch.Tensor) -> None:
    """Changes the weights of a student that is `cut` on `axes` [hidden, width].

    cut: the teacher's layers `sources` with the student's heads and neurons, as wide as the teacher.
    """
    teacher, batches, family = observation.teacher, observation.batches, family_of_model(observation.teacher)
    sums = (family.attention_output, family.ffn_out)
    with torch.no_grad(), without_cache(student), without_cache(teacher), fast_linears(student, cut, teacher):
        narrow = Part(student, lambda number: student(**batches[number].inputs), batches)
        fit = _Fit(axes, axes)
        fit.part(narrow, cut, observation.before)
        calls = [calls_of(student, batch)[0] for batch in batches]
        states = [state_of(each[0]) for each in calls]
        for index, layer in enumerate(layers_of(student)):
            first, last = sources[index], (sources[index + 1] if index + 1 < len(sources) else depth_of(teacher)) - 1
            theirs = [_layer(layers_of(teacher)[at], [each[at] for each in observation.calls], batches, sums) for at in (first, last)]
            here = _layer(layer, [with_state(each[index], state) for each, state in zip(calls, states, strict=True)], batches, sums)
            fit.part(here, layers_of(cut)[index], _joined(*theirs, family.ffn_out))
            states = [first_of(here.run(number)) for number in range(len(batches))]
        fit.head(narrow, cut, observation.behind)


@dataclass(frozen=True)
class _Read:
    """rows: [tokens, width], what one or several modules read. Its moment is that of the rows with a 1 behind each, for a bias."""

    rows: torch.Tensor

    @cached_property
    def with_ones(self) -> torch.Tensor:
        return with_ones(self.rows)

    @cached_property
    def moment(self) -> torch.Tensor:
        return moment_of(self.with_ones)


@dataclass
class _Fit:
    """axes_in, axes_out: of the hidden states that a module takes and gives."""

    axes_in: torch.Tensor
    axes_out: torch.Tensor

    def part(self, part: Part, cut: nn.Module, theirs: Mapping[str, Flow]) -> None:
        known = dict(part.module.named_modules())  # an ELECTRA as wide as its embeddings lacks their projection
        for names in _with_equal_inputs({name: flow for name, flow in theirs.items() if name in known}):
            read = None
            for name, ours in part.flows(names).items():
                rows = torch.cat(ours.inputs)
                read = read if read is not None and torch.equal(rows, read.rows) else _Read(rows)
                self._module(known[name], cut.get_submodule(name), theirs[name], ours, read)

    def head(self, part: Part, cut: nn.Module, theirs: Mapping[str, Flow]) -> None:
        """What is behind the layers. Behind its first square matrix there may be a nonlinearity, so that neurons are chosen, not axes."""
        for name, flow in theirs.items():
            module, wide = part.module.get_submodule(name), cut.get_submodule(name)
            if is_linear(module) and self.axes_out is self.axes_in and outputs_of(module) != outputs_of(wide):
                self.axes_out = _largest(torch.cat(flow.outputs), outputs_of(module))
                _copy(wide, module, self.axes_in, self.axes_out)
            elif self.axes_out is not self.axes_in:
                _copy(wide, module, self.axes_out, self.axes_out)
            self.part(part, cut, {name: flow})

    def _module(self, module: nn.Module, wide: nn.Module, theirs: Flow, ours: Flow, read: _Read) -> None:
        outputs = torch.cat(theirs.outputs)
        if is_norm(module):
            return _fit_norm(module, read.rows, self._on_axes(outputs, read.rows.shape[1]))
        width = outputs_of(module)
        if theirs.carried:  # what its output is added to has errors of its own
            target = self._on_axes(torch.cat(theirs.carried), width) - torch.cat(ours.carried) + torch.cat(ours.outputs)
        else:
            if outputs_of(wide) != outputs.shape[1]:  # heads or neurons were cut
                outputs = wide(torch.cat(theirs.inputs))
            target = self._on_axes(outputs, width)
        _fit_linear(module, read, target)

    def _on_axes(self, rows: torch.Tensor, width: int) -> torch.Tensor:
        return rows if rows.shape[1] == width else rows @ self.axes_out


def _fit_linear(linear: nn.Module, read: _Read, target: torch.Tensor) -> None:
    """Least squares, with a ridge towards the weights as they are."""
    has_bias, width = linear.bias is not None, read.rows.shape[1]
    rows, moment = (read.with_ones, read.moment) if has_bias else (read.rows, read.moment[:width, :width])
    products = moment_of(rows, target - linear(read.rows))
    change = torch.linalg.solve(ridged(moment, width, _RIDGE), products).T.float()
    matrix_of(linear).add_(change[:, :width])
    if has_bias:
        linear.bias.add_(change[:, -1])


def _fit_norm(norm: nn.Module, inputs: torch.Tensor, target: torch.Tensor) -> None:
    """Least squares for each dimension by itself."""
    bias = getattr(norm, "bias", None)
    norm.weight.zero_()
    at_zero = norm(inputs)  # of a norm that adds 1 to its weights it is not the bias alone
    norm.weight.fill_(1.0)
    unit, rest = norm(inputs) - at_zero, target - at_zero
    if bias is not None:
        middle, mean = unit.mean(0), rest.mean(0)
        unit, rest = unit - middle, rest - mean
    weight = (unit * rest).sum(0) / unit.square().sum(0).clamp_min(1e-12)
    norm.weight.copy_(weight)
    if bias is not None:
        bias.add_(mean - weight * middle)


def _layer(layer: nn.Module, calls: Sequence[Call], batches: Sequence[Batch], sums: tuple[str, ...]) -> Part:
    return Part(layer, lambda number: layer(*calls[number][0], **calls[number][1]), batches, sums)


def _joined(first: Part, last: Part, end: str) -> dict[str, Flow]:
    """Of a layer that stands for several: what the first one does before its last sum, `end`, and what the last one makes of it."""
    flows = first.flows(fitted_names(first.module))
    if first.module is last.module:
        return flows
    others, names = last.flows(fitted_names(last.module)), list(flows)
    later = {name: others[name] for name in names[names.index(end) + 1 :]}
    return flows | later | {end: Flow(flows[end].inputs, others[end].outputs, others[end].carried)}


def _with_equal_inputs(flows: Mapping[str, Flow]) -> list[list[str]]:
    """Names of what can be fitted at once, in order: neighbours that read the same."""
    groups: list[list[str]] = []
    for name, flow in flows.items():
        if groups and torch.equal(flow.inputs[0], flows[groups[-1][0]].inputs[0]):
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _largest(rows: torch.Tensor, width: int) -> torch.Tensor:
    """[hidden, width]: the columns that vary most, as axes."""
    largest = rows.std(0, correction=0).topk(width).indices.sort().values
    return torch.eye(rows.shape[1])[:, largest]


def on_axes(weights: torch.Tensor, shape: Sequence[int], axes: torch.Tensor, is_scale: bool) -> torch.Tensor:
    """Weights of that shape: an axis that is longer in `weights` is a hidden one. is_scale: a norm's, which multiply and do not add."""
    if is_scale and weights.shape[0] != shape[0]:
        return axes.square().T @ weights
    for axis, length in enumerate(shape):
        if weights.shape[axis] != length:
            weights = torch.tensordot(weights, axes, ([axis], [0])).movedim(-1, axis)
    return weights.clone()


def _copy(wide: nn.Module, module: nn.Module, axes_in: torch.Tensor, axes_out: torch.Tensor) -> None:
    """The weights that a module behind the first matrix of a head begins with."""
    if is_norm(module):
        module.weight.copy_(on_axes(wide.weight, module.weight.shape, axes_out, True))
    else:
        matrix = matrix_of(wide)
        matrix = matrix @ axes_in if inputs_of(module) != inputs_of(wide) else matrix
        matrix_of(module).copy_(axes_out.T @ matrix if outputs_of(module) != outputs_of(wide) else matrix)
    if getattr(module, "bias", None) is not None:
        module.bias.copy_(on_axes(wide.bias, module.bias.shape, axes_out, False))
