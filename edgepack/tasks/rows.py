"""What the data holds: one example, whatever its task."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One example; which fields are set depends on the task."""

    place: str
    text: str = ""
    text_pair: str | None = None
    label: str | None = None
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    context: str = ""
    answers: tuple[tuple[str, int], ...] = ()
    gold: float | None = None  # how alike people find text and text_pair
    group: str | None = None  # a language, a source: what scores are also shown by
