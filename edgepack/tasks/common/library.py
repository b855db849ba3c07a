"""How the library that a task's users run is asked: the reference for everything that a pack answers. Imports it when it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, float]  # what is compared of an answer: numbers by name


@dataclass(frozen=True)
class Library:
    """A call of a library on raw texts.

    package: what must be installed. applies: whether the library tells for a model's Source and the task's answers record.
    ask: figures for each call, of the model's folder, the calls (texts, as a pack takes them), that record and the longest text in
    tokens. figures: the same of a pack's own answer.
    """

    name: str
    package: str
    applies: Callable[[Any, Any], bool]
    ask: Callable[[Path, Sequence[tuple[str, ...]], Any, int], list[Figures]]
    figures: Callable[[Any], Figures]
