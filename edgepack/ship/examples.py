"""Texts to try a module with: the pack's own, out of its golden vectors."""

from edgepack.pack.examples import texts_of
from edgepack.pack.golden import read_golden
from edgepack.ship.shipment import Shipment
from edgepack.tasks import task_named

_MOST, _LONGEST = 5, 240  # texts, and characters of one


def example_texts(shipment: Shipment) -> tuple[tuple[str, str], ...]:
    """A text and, of tasks that read two, the second; else "". The task's own example where the golden vectors hold no text of the data."""
    asked = [text for _, text in task_named(shipment.manifest.task).example]
    pairs = [(texts[0], (*texts, "")[1]) for entry in read_golden(shipment.pack) if (texts := texts_of(entry))]
    shown = [pair for pair in dict.fromkeys(pairs) if all(len(text) <= _LONGEST for text in pair)]
    if len(asked) > 1:
        shown = [pair for pair in shown if pair[1]]
    return tuple(shown[:_MOST]) or ((asked[0], asked[1] if len(asked) > 1 else ""),)
