"""Spans of a context as answers: which one is best, where there is none, and how an answer is scored."""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Outputs

_STARTS_TRIED = 20  # the likeliest
LONGEST_ANSWER = 30  # tokens, where a pack states nothing else


def decide(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[str]:
    return [text for _, text in best_spans(outputs, features, rows)]


def decide_or_none(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row], threshold: float) -> list[str]:
    """Empty where no answer is more probable than the best one by more than the threshold."""
    margins = margins_of(outputs, features, rows)
    return ["" if margin > threshold else text for margin, text in zip(margins, decide(outputs, features, rows), strict=True)]


def margins_of(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> np.ndarray:
    """[rows] how far the logits of no answer are above those of the best: the least of all windows, as SQuAD 2's own script has it."""
    none = np.full(len(rows), np.inf)
    for output, item in zip(outputs, features, strict=True):
        none[item.row] = min(none[item.row], float(output[0, 0]) + float(output[0, 1]))
    margins: np.ndarray = none - np.array([score for score, _ in best_spans(outputs, features, rows)])
    return margins


def best_spans(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[tuple[float, str]]:
    """The span with the highest sum of start and end logits over all windows of a row (Devlin 2019), and that sum."""
    best: list[tuple[float, str]] = [(-np.inf, "")] * len(rows)
    for output, item in zip(outputs, features, strict=True):
        inside = np.array([span is not None for span in item.offsets])
        start = np.where(inside, output[:, 0], -np.inf)
        end = np.where(inside, output[:, 1], -np.inf)
        for first in np.argsort(-start)[:_STARTS_TRIED]:
            last = first + int(end[first : first + LONGEST_ANSWER].argmax())
            score = float(start[first]) + float(end[last])
            opening, closing = item.offsets[first], item.offsets[last]
            if opening and closing and score > best[item.row][0]:
                best[item.row] = (score, rows[item.row].context[opening[0] : closing[1]])
    return best


def best_threshold(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> float:
    """The margin with the highest F1, half way to the next row's: all rows up to it are answered, all others are not.

    A row without a span, as of an empty context, has no answer whatever the threshold, so it is left out: its margin is infinite.
    """
    margins, spans = margins_of(outputs, features, rows), decide(outputs, features, rows)
    gains = np.array([answer_scores(text, row)[0] - float(not row.answers) for text, row in zip(spans, rows, strict=True)])
    order = np.argsort(margins, kind="stable")
    order = order[np.isfinite(margins[order])]
    if not len(order):
        return 0.0  # as SQuAD 2's own script begins
    totals = np.concatenate([[0.0], np.cumsum(gains[order])])  # of the first n rows answered, against none of them
    edges = margins[order]
    between = [edges[0] - 1, *((edges[:-1] + edges[1:]) / 2), edges[-1] + 1]
    can_split = np.array([True, *(edges[1:] > edges[:-1]), True])
    return round(float(between[int(np.where(can_split, totals, -np.inf).argmax())]), 4)


def answer_scores(answer: str, row: Row) -> tuple[float, float]:
    """SQuAD's F1 and exact match, the best over the row's answers (Rajpurkar 2016); a row without answers wants none."""
    scores = [_answer_score(answer, reference) for reference, _ in row.answers] or [(float(not answer), float(not answer))]
    return max(f1 for f1, _ in scores), max(exact for _, exact in scores)


def _answer_score(answer: str, reference: str) -> tuple[float, float]:
    """Over words, less case, punctuation and articles."""
    ours, theirs = (
        re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(str.maketrans("", "", string.punctuation))).split()
        for text in (answer, reference)
    )
    common = sum((Counter(ours) & Counter(theirs)).values())
    exact = float(ours == theirs)
    return (2 * common / (len(ours) + len(theirs)) if ours and theirs else exact), exact
