"""What goes through a model's matrices and norms as it reads texts: recorded part by part, for those who fit another model to it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from edgepack.model.evaluation import batches_on, use_all_cores
from edgepack.model.layer_calls import Call, first_of, hooked
from edgepack.model.linear_kernels import fast_linears
from edgepack.model.structure import layers_of, outputs_of
from edgepack.tasks.common.task import Features

_TOKENS = 16_384  # of the train split at most: several for each unknown of a row
_MOST_OUTPUTS = 4096  # a matrix with more is that of a vocabulary, and mostly the embeddings' too


@dataclass(frozen=True)
class Batch:
    """A few texts of like length. inputs: of the whole model."""

    inputs: dict[str, torch.Tensor]
    real: torch.Tensor  # [rows, tokens]: no padding

    def rows_of(self, tensor: Any) -> torch.Tensor | None:
        """[tokens or texts, width]; None of a tensor that has neither, such as a table of distances."""
        if isinstance(tensor, torch.Tensor) and tensor.dim() == 3 and tensor.shape[:2] == self.real.shape:
            return tensor[self.real]
        if isinstance(tensor, torch.Tensor) and tensor.dim() == 2 and len(tensor) == len(self.real):
            return tensor
        return None


@dataclass
class Flow:
    """What goes through a linear module or a norm, batch by batch. carried: the sum that its output becomes a part of, where asked for."""

    inputs: list[torch.Tensor] = field(default_factory=list)
    outputs: list[torch.Tensor] = field(default_factory=list)
    carried: list[torch.Tensor] = field(default_factory=list)


class _Enough(Exception):
    """Ends a forward pass that has shown what was asked for."""


@dataclass(frozen=True)
class Part:
    """A part of a model that is fitted at once: one layer, or what is around the layers.

    run(number): runs it on a batch. sums: linear modules whose output is added to the hidden state.
    """

    module: nn.Module
    run: Callable[[int], Any]
    batches: Sequence[Batch]
    sums: tuple[str, ...] = ()

    def flows(self, names: Sequence[str], to_the_end: bool = False) -> dict[str, Flow]:
        """By name, in the order in which they run; without those that do not see tokens or texts.

        What comes after the last of them is run where `to_the_end` says so only: most of a layer lies behind its first matrices.
        """
        flows: dict[str, Flow] = {}
        norms = {name for name, module in self.module.named_modules() if is_norm(module)}
        for number, batch in enumerate(self.batches):
            awaited = set(names)
            summand: Flow | None = None  # the last output that the next norm reads as a part of a sum, or that the part ends with

            def record(name: str, given: Any, put_out: Any, batch: Batch = batch, awaited: set[str] = awaited) -> None:
                nonlocal summand
                rows, result = batch.rows_of(given), batch.rows_of(put_out)
                if rows is None or result is None:
                    return
                if summand is not None and name in norms and rows.shape == summand.outputs[-1].shape:
                    summand.carried.append(rows)
                    summand = None
                if name in names:
                    flow = flows.setdefault(name, Flow())
                    flow.inputs.append(rows)
                    flow.outputs.append(result)
                    summand = flow if name in self.sums else summand
                    awaited.discard(name)
                if not (to_the_end or awaited) and summand is None:
                    raise _Enough

            with suppress(_Enough), _watched(self.module, {*names, *norms}, record):
                output = self.run(number)
            if summand is not None:
                summand.carried.append(batch.rows_of(first_of(output)))
        return flows


@dataclass(frozen=True)
class Observation:
    """A teacher, run once on the first texts. calls: of each layer, by batch. last: [rows, tokens, hidden] behind the last layer, by batch.

    before, behind: what goes through the modules before the layers, and behind them.
    """

    teacher: nn.Module
    batches: Sequence[Batch]
    calls: Sequence[Sequence[Call]]
    last: Sequence[torch.Tensor]
    before: Mapping[str, Flow]
    behind: Mapping[str, Flow]


def observe(teacher: nn.Module, features: Sequence[Features]) -> Observation:
    """Memory: the hidden states at each layer, of 16,384 tokens at most."""
    use_all_cores()
    batches, calls, last = batches_of(teacher, features), [], []

    def run(number: int) -> None:
        layers, output = calls_of(teacher, batches[number])
        calls.append(layers)
        last.append(output)

    with torch.no_grad(), without_cache(teacher), fast_linears(teacher):
        before, behind = _around_layers(teacher, batches[0])
        flows = Part(teacher, run, batches).flows([*before, *behind], to_the_end=True)
    parts = [{name: flows[name] for name in names if name in flows} for names in (before, behind)]
    return Observation(teacher, batches, calls, last, *parts)


def _around_layers(model: nn.Module, batch: Batch) -> tuple[list[str], list[str]]:
    """Names of what runs before the layers and can be fitted, and behind them: not the embeddings' matrix, where it is the head's too."""
    layers, vocabulary = layers_of(model), model.get_input_embeddings().weight
    inside = {id(module) for layer in layers for module in layer.modules()}
    outside = [(name, model.get_submodule(name)) for name in fitted_names(model)]
    names = {name for name, module in outside if id(module) not in inside and module.weight is not vocabulary}
    first = next(name for name, module in model.named_modules() if module is layers[0])
    order: list[str] = []
    with _watched(model, {*names, first}, lambda name, *_: order.append(name)):
        model(**batch.inputs)
    return order[: order.index(first)], order[order.index(first) + 1 :]


def is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | Conv1D)


def is_norm(module: nn.Module) -> bool:
    """Whether all of its parameters are a number for each dimension, one of them a factor."""
    parameters = dict(module.named_parameters(recurse=False))
    return "weight" in parameters and all(each.dim() == 1 for each in parameters.values()) and not list(module.children())


def fitted_names(module: nn.Module) -> list[str]:
    named = module.named_modules()
    return [name for name, each in named if is_norm(each) or (is_linear(each) and outputs_of(each) <= _MOST_OUTPUTS)]


def _watched(module: nn.Module, names: set[str], record: Callable[[str, Any, Any], None]) -> AbstractContextManager[None]:
    """record(name, first input, output) is called whenever a module of that name has run, while the block runs."""
    return hooked(
        module.get_submodule(name).register_forward_hook(
            lambda _, given, output, name=name: record(name, given[0] if given else None, output)
        )
        for name in names
    )


def calls_of(model: nn.Module, batch: Batch) -> tuple[list[Call], torch.Tensor]:
    """What each layer is called with, and the hidden states behind the last one."""
    calls: list[Call] = []
    last: list[torch.Tensor] = []
    layers = layers_of(model)
    handles = [layer.register_forward_pre_hook(lambda _, given, named: calls.append((given, named)), with_kwargs=True) for layer in layers]
    handles.append(layers[-1].register_forward_hook(lambda _, given, output: last.append(first_of(output))))
    with hooked(handles):
        model(**batch.inputs)
    return calls, last[0]


@contextmanager
def without_cache(model: nn.Module) -> Iterator[None]:
    """A decoder's layer would add to its cache each time that it runs again."""
    before = getattr(model.config, "use_cache", None)
    model.config.use_cache = False
    try:
        yield
    finally:
        model.config.use_cache = before


def batches_of(model: nn.Module, features: Sequence[Features]) -> list[Batch]:
    """The first texts, those of like length together."""
    some: list[Features] = []
    tokens = 0
    for item in features:
        if tokens >= _TOKENS:
            break
        some.append(item)
        tokens += len(item.ids)
    some.sort(key=lambda item: len(item.ids))
    return [Batch(batch, batch["attention_mask"].bool()) for batch in batches_on(model, some)]
