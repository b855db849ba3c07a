"""Rows of questions: their columns, and answers that stand where the data says."""

from collections.abc import Mapping
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown
from edgepack.tasks.common.columns import fixed_columns
from edgepack.tasks.common.rows import Record, Row


def question_columns(first: Record, records: list[Record], wished: Mapping[str, str | None]) -> dict[str, str]:
    """They have SQuAD's names, whatever the user wishes."""
    aliases = {name: (name,) for name in ("question", "context", "answers")}
    return fixed_columns(first, records, aliases, "question-answering", "give SQuAD json")


def question_row(place: str, value: Mapping[str, Any], group: str | None) -> Row:
    """EdgepackError: an answer that does not stand in its context at the place that is stated, which a model would learn wrongly."""
    context, answers = value["context"], _answers(place, value["answers"])
    for text, start in answers:
        there = context[start : start + len(text)]
        if there != text:
            raise EdgepackError(
                f"{place}: the answer {shown(text)} does not stand at {start} of its context, where {shown(there)} does",
                "correct answer_start: it counts characters from 0, not bytes",
            )
    return Row(place, text=value["question"], context=context, answers=answers, group=group)


def _answers(place: str, value: Any) -> tuple[tuple[str, int], ...]:
    try:
        if isinstance(value, dict):  # the hub's layout of SQuAD
            pairs = tuple(zip(value["text"], value["answer_start"], strict=True))
        else:
            pairs = tuple((text, start) for text, start in value)
        if all(isinstance(text, str) and isinstance(start, int) for text, start in pairs):
            return pairs
    except (KeyError, TypeError, ValueError):
        pass
    fix = "give as many texts as answer_start, or SQuAD's own json"
    raise EdgepackError(f"{place}: its answers are no texts with their places: {shown(value)}", fix)
