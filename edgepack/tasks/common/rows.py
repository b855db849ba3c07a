"""What the data holds: a record as a file states it, and a row as a task reads it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """One record of a file: its values by the name of their column."""

    values: dict[str, Any]
    place: str  # file and line, for errors


@dataclass(frozen=True)
class Row:
    """One example; which fields are set depends on the task."""

    place: str
    text: str = ""
    text_pair: str | None = None
    label: str | None = None
    labels: tuple[str, ...] | None = None  # all that hold, of a text that may have several labels
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    context: str = ""
    answers: tuple[tuple[str, int], ...] = ()
    gold: float | None = None  # how alike people find text and text_pair
    group: str | None = None  # a language, a source: what scores are also shown by
