"""What a layer is called with and what it gives, and hooks that are gone when the work with them ends. Knows no family of models."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

Call = tuple[tuple[Any, ...], dict[str, Any]]  # the arguments of a layer


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """The hooks are removed when the block ends, however it ends."""
    hooks = list(handles)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def first_of(output: Any) -> Any:
    """What a layer gives to the next one, where it may give more."""
    return output[0] if isinstance(output, tuple) else output


def state_of(call: Call) -> torch.Tensor:
    """The hidden states that a layer is called with."""
    given, named = call
    state: torch.Tensor = given[0] if given else named["hidden_states"]
    return state


def with_state(call: Call, state: torch.Tensor) -> Call:
    """The same call with other hidden states."""
    given, named = call
    return ((state, *given[1:]), named) if given else (given, named | {"hidden_states": state})
