"""Texts to try a module with: the pack's own, out of its golden vectors."""

from typing import Any

from edgepack.pack.golden import read_golden
from edgepack.ship.shipment import Shipment
from edgepack.tasks import task_named

_MOST, _LONGEST = 5, 240  # texts, and characters of one


def example_texts(shipment: Shipment) -> tuple[tuple[str, str], ...]:
    """A text and, of tasks that read two, the second; else "". The task's own example where the golden vectors hold token ids alone."""
    asked = [text for _, text in task_named(shipment.manifest.task).example]
    pairs = [_texts(entry) for entry in read_golden(shipment.pack)]
    shown = [pair for pair in dict.fromkeys(pairs) if pair[0].strip() and all(len(text) <= _LONGEST for text in pair)]
    if len(asked) > 1:
        shown = [pair for pair in shown if pair[1]]
    return tuple(shown[:_MOST]) or ((asked[0], asked[1] if len(asked) > 1 else ""),)


def _texts(entry: dict[str, Any]) -> tuple[str, str]:
    """Fields of a golden vector come from data that anybody wrote: what is no text is left out."""
    words = entry.get("words")
    first = " ".join(map(str, words)) if isinstance(words, list) else entry.get("text")
    second = entry.get("text_pair")
    return first if isinstance(first, str) else "", second if isinstance(second, str) else ""
