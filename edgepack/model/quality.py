"""One ruler for every stage: the task's metric with a bootstrap interval, and the share of decisions that flipped.

The same functions judge the teacher, a model after each stage, an exported file here and the file on the target.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgepack.frozen import Frozen
from edgepack.model.data import Row
from edgepack.model.tasks import Features, Outputs, Task

_RESAMPLES = 1000


class Score(Frozen):
    """A metric with its 95 % bootstrap interval over rows (Efron 1979, percentile method). Accuracy and F1 lie in 0 to 1."""

    metric: str
    value: float
    low: float
    high: float
    rows: int

    def drop_from(self, teacher: "Score") -> float:
        """Points lost against the teacher, 0 to 100; for perplexity per cent gained. Negative where it is better."""
        if self.metric == "perplexity":
            return 100 * (self.value / teacher.value - 1)
        return 100 * (teacher.value - self.value)


def score_outputs(
    task: Task, outputs: Outputs, features: Sequence[Features], rows: Sequence[Row], labels: dict[str, int], teacher: Outputs
) -> Score:
    """`labels` maps the data's labels to the model's ids; `teacher` holds the teacher's outputs for the same features."""
    decisions = task.decide(outputs, features, rows)
    counts = np.asarray(_COUNTS[task.metric](decisions, outputs, rows, labels, teacher), dtype=float)
    metric = _METRICS[task.metric]
    draws = np.random.default_rng(0).integers(0, len(counts), size=(_RESAMPLES, len(counts)))
    resampled = [metric(counts[draw].sum(axis=0)) for draw in draws]
    low, high = np.percentile(resampled, [2.5, 97.5])
    value = metric(counts.sum(axis=0))
    return Score(metric=task.metric, value=round(value, 6), low=round(low, 6), high=round(high, 6), rows=len(counts))


def flip_share(task: Task, outputs: Outputs, teacher: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> float | None:
    """Share of decisions that differ from the teacher's: by row, or by word or token where a row has many."""
    ours, theirs = task.decide(outputs, features, rows), task.decide(teacher, features, rows)
    if ours[0] is None:
        return None
    if isinstance(ours[0], tuple):
        pairs = [pair for own, other in zip(ours, theirs, strict=True) for pair in zip(own, other, strict=True)]
    else:
        pairs = list(zip(ours, theirs, strict=True))
    return sum(own != other for own, other in pairs) / len(pairs)


def spans_of(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """Entities as (first word, past the last, type) in IOB2: every B- opens a span, so does an I- of another type."""
    found, start, kind = set(), 0, ""
    for index, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            found.add((start, index, kind))
            kind = ""
        if prefix == "B" or (prefix == "I" and not kind):
            start, kind = index, name
    return found


Counts = Callable[[list[Any], Outputs, Sequence[Row], dict[str, int], Outputs], Any]


def _count_right(decisions: list[Any], outputs: Outputs, rows: Sequence[Row], labels: dict[str, int], teacher: Outputs) -> Any:
    return [(decision == labels[row.label or ""], 1) for decision, row in zip(decisions, rows, strict=True)]


def _count_spans(decisions: list[Any], outputs: Outputs, rows: Sequence[Row], labels: dict[str, int], teacher: Outputs) -> Any:
    names = {index: name for name, index in labels.items()}
    counts = []
    for decision, row in zip(decisions, rows, strict=True):
        found, true = spans_of([names.get(tag, "O") for tag in decision]), spans_of(row.tags)
        counts.append((len(found & true), len(found), len(true)))
    return counts


def _count_answers(decisions: list[Any], outputs: Outputs, rows: Sequence[Row], labels: dict[str, int], teacher: Outputs) -> Any:
    return [
        (max((_word_f1(answer, true) for true, _ in row.answers), default=float(not answer)), 1)
        for answer, row in zip(decisions, rows, strict=True)
    ]


def _word_f1(answer: str, true: str) -> float:
    """SQuAD's F1: over words, less case, punctuation and articles (Rajpurkar 2016)."""
    ours, theirs = (
        re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(str.maketrans("", "", string.punctuation))).split() for text in (answer, true)
    )
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * common / (len(ours) + len(theirs))


def _count_cosine(decisions: list[Any], outputs: Outputs, rows: Sequence[Row], labels: dict[str, int], teacher: Outputs) -> Any:
    return [(float(own @ other / (np.linalg.norm(own) * np.linalg.norm(other))), 1) for own, other in zip(outputs, teacher, strict=True)]


def _count_likelihood(decisions: list[Any], outputs: Outputs, rows: Sequence[Row], labels: dict[str, int], teacher: Outputs) -> Any:
    return [(float(output[:, 0].sum()), len(output)) for output in outputs]


_COUNTS: dict[str, Counts] = {
    "accuracy": _count_right,
    "span_f1": _count_spans,
    "answer_f1": _count_answers,
    "cosine_to_teacher": _count_cosine,
    "perplexity": _count_likelihood,
}


def _mean(sums: np.ndarray) -> float:
    return float(sums[0] / sums[1])


_METRICS: dict[str, Callable[[np.ndarray], float]] = {
    "accuracy": _mean,
    "span_f1": lambda sums: float(2 * sums[0] / max(1.0, sums[1] + sums[2])),
    "answer_f1": _mean,
    "cosine_to_teacher": _mean,
    "perplexity": lambda sums: float(np.exp(sums[0] / sums[1])),
}
