"""What a model answers, by task. start and end are positions of characters (code points): text[start:end]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Label:
    name: str
    score: float  # probability, 0 to 1; of a model for regression its number


@dataclass(frozen=True)
class Labels:
    """cut: the text was longer than the model takes, and a part of it alone was read.

    chosen: the names of all labels that hold: the likeliest, or of a model that decides every label by itself those over their threshold.
    """

    label: str
    score: float
    scores: tuple[Label, ...]  # all of them, the highest first
    cut: bool
    chosen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entity:
    """score: mean probability of its tags."""

    kind: str
    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Entities:
    """cut: the text was longer than the model takes; nothing was looked for in the rest."""

    entities: tuple[Entity, ...]
    cut: bool


@dataclass(frozen=True)
class Answer:
    """A span of the context, empty where the model may say so and does.

    score: probability of its start times that of its end, over the whole context; of no answer, how probable it is beside the best span.
    """

    text: str
    start: int
    end: int
    score: float
    cut: bool  # never: a long context is read in several windows


@dataclass(frozen=True)
class Vector:
    """values: float32 [hidden]; model.similarity compares two. codes: of a model that is built with --vectors the same in fewer bits, int8
    [hidden] or uint8 [hidden / 8]; else None. model.index() searches in them.

    weights: of a model for sparse vectors (SPLADE) the same by token, without those that are 0, the largest first; else None.
    """

    values: Any
    cut: bool
    weights: dict[str, float] | None = None
    codes: Any = None


@dataclass(frozen=True)
class Piece:
    """Text that later tokens do not change; it may be of several tokens."""

    text: str


@dataclass(frozen=True)
class Generated:
    """ended_by: stop, max_tokens, positions (the model has no room left) or seconds."""

    text: str
    tokens: tuple[int, ...]
    prompt_tokens: int
    ended_by: str
