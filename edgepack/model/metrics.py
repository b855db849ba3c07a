"""What each task is judged by, as functions of row weights: one call gives a metric for the whole test split, for a thousand
bootstrap resamples of it, or for each of its languages. Knows nothing of intervals, stages or reports."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.tasks.rows import Row
from edgepack.tasks.tasks import Features, Outputs, Task

Statistic = Callable[[np.ndarray], np.ndarray]  # weights [draws, units] -> values [draws], NaN where a draw has none


@dataclass(frozen=True)
class Answers:
    """What one model made of the test rows. `labels` maps the data's labels to the model's ids; `decisions` one a row."""

    task: Task
    outputs: Outputs
    features: Sequence[Features]
    rows: Sequence[Row]
    labels: dict[str, int]
    teacher: Outputs | None
    decisions: list[Any]


@dataclass(frozen=True)
class Metric:
    """`rows`: for each unit that is weighed (a row, an embedded text, a pair of texts), the index of its row."""

    name: str
    rows: np.ndarray
    of: Statistic


@dataclass(frozen=True)
class ClassResult:
    """F1 of one class or entity type; `support`: how many there are in the data."""

    name: str
    f1: float
    support: int


def metrics_of(answers: Answers) -> tuple[Metric, ...]:
    """The task's own metric, which judges the drop, then a second one that sees what the first does not, where there is one."""
    match answers.task.name:
        case "text-classification":
            decided, true = _decided_and_true(answers)
            return _by_row("accuracy", answers, _ratio(_ones(decided == true))), _by_row("macro_f1", answers, _macro_f1(decided, true))
        case "token-classification":
            right = [
                (sum(tag == answers.labels[name] for tag, name in zip(decision, row.tags, strict=True)), len(row.tags))
                for decision, row in zip(answers.decisions, answers.rows, strict=True)
            ]
            return _by_row("span_f1", answers, _f1(_span_counts(answers))), _by_row("word_accuracy", answers, _ratio(right))
        case "question-answering":
            pairs = [_answer_scores(answer, row) for answer, row in zip(answers.decisions, answers.rows, strict=True)]
            f1, exact = np.array(pairs, dtype=float).T
            return _by_row("answer_f1", answers, _ratio(_ones(f1))), _by_row("exact_match", answers, _ratio(_ones(exact)))
        case "feature-extraction":
            return tuple(_embedding_metrics(answers))
    likelihood = _ratio([(float(output[:, 0].sum()), len(output)) for output in answers.outputs])
    return (Metric("perplexity", np.arange(len(answers.outputs)), lambda weights: np.exp(likelihood(weights))),)


def class_results(answers: Answers) -> list[ClassResult]:
    """F1 by class, or by entity type; of those that the data has. Empty for tasks without classes."""
    if answers.task.name == "text-classification":
        decided, true = _decided_and_true(answers)
        names = {index: name for name, index in answers.labels.items()}
        counts = {names[index]: (np.sum((true == index) & (decided == index)), np.sum(decided == index), np.sum(true == index))
                  for index in np.unique(true).tolist()}  # fmt: skip
    elif answers.task.name == "token-classification":
        found, true = _spans(answers)
        kinds = sorted({kind for spans in true for _, _, kind in spans})
        counts = {}
        for kind in kinds:
            own, given = ([{span for span in spans if span[2] == kind} for spans in side] for side in (found, true))
            hits = sum(len(ours & theirs) for ours, theirs in zip(own, given, strict=True))
            counts[kind] = (hits, sum(map(len, own)), sum(map(len, given)))
    else:
        return []
    return [ClassResult(name, float(2 * hits / (ours + theirs)), int(theirs)) for name, (hits, ours, theirs) in counts.items()]


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


def spearman(x: np.ndarray, y: np.ndarray) -> Statistic:
    """Spearman's rank correlation (1904): Pearson's of the ranks, ties at their mean rank. NaN where one side is constant.

    A resample needs no sorting: the mean rank of a value is the weight of all smaller ones and half of its own.
    """
    (x_order, x_starts, x_of), (y_order, y_starts, y_of) = _ties(x), _ties(y)

    def of(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1, keepdims=True)
        ranks = []
        for order, starts, place in ((x_order, x_starts, x_of), (y_order, y_starts, y_of)):
            tied = np.add.reduceat(weights[:, order], starts, axis=1)
            mean_rank = np.cumsum(tied, axis=1) - (tied - 1) / 2
            ranks.append(mean_rank[:, place] - (total + 1) / 2)
        both, own, other = (np.einsum("ij,ij,ij->i", weights, a, b) for a, b in (ranks, ranks[:1] * 2, ranks[1:] * 2))
        return both / np.sqrt(own * other)

    return of


def _ties(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order that sorts; where each run of equal values starts in it; for each value the run that it is in."""
    order = np.argsort(values, kind="stable")
    _, starts, place = np.unique(values, return_index=True, return_inverse=True)
    starts = np.searchsorted(values[order], values[starts])
    return order, starts, place


def _by_row(name: str, answers: Answers, statistic: Statistic) -> Metric:
    return Metric(name, np.arange(len(answers.rows)), statistic)


def _ones(values: np.ndarray) -> np.ndarray:
    return np.stack([values.astype(float), np.ones(len(values))], axis=1)


def _ratio(counts: Any) -> Statistic:
    table = np.asarray(counts, dtype=float)

    def of(weights: np.ndarray) -> np.ndarray:
        above, below = (weights @ table).T
        return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)

    return of


def _f1(counts: Any) -> Statistic:
    """counts [units, 3]: right, found, true; F1 over all of them (micro)."""
    table = np.asarray(counts, dtype=float)

    def of(weights: np.ndarray) -> np.ndarray:
        right, found, true = (weights @ table).T
        return 2 * right / np.maximum(1.0, found + true)

    return of


def _decided_and_true(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    return np.array(answers.decisions), np.array([answers.labels[row.label or ""] for row in answers.rows])


def _macro_f1(decided: np.ndarray, true: np.ndarray) -> Statistic:
    """The mean of the classes' F1, over classes that the rows have or that were decided for (as Sokolova and Lapalme 2009)."""
    classes = np.union1d(decided, true)
    is_decided, is_true = ((values[:, None] == classes).astype(float) for values in (decided, true))
    right, either = is_decided * is_true, is_decided + is_true

    def of(weights: np.ndarray) -> np.ndarray:
        seen = weights @ either
        scores = np.divide(2 * (weights @ right), seen, out=np.zeros_like(seen), where=seen > 0)
        return scores.sum(axis=1) / np.maximum(1, (seen > 0).sum(axis=1))

    return of


def _spans(answers: Answers) -> tuple[list[set], list[set]]:
    names = {index: name for name, index in answers.labels.items()}
    found = [spans_of([names.get(tag, "O") for tag in decision]) for decision in answers.decisions]
    return found, [spans_of(row.tags) for row in answers.rows]


def _span_counts(answers: Answers) -> list[tuple[int, int, int]]:
    return [(len(found & true), len(found), len(true)) for found, true in zip(*_spans(answers), strict=True)]


def _answer_scores(answer: str, row: Row) -> tuple[float, float]:
    """SQuAD's F1 and exact match, the best over the row's answers (Rajpurkar 2016); a row without answers wants none."""
    scores = [_answer_score(answer, true) for true, _ in row.answers] or [(float(not answer), float(not answer))]
    return max(f1 for f1, _ in scores), max(exact for _, exact in scores)


def _answer_score(answer: str, true: str) -> tuple[float, float]:
    """Over words, less case, punctuation and articles."""
    ours, theirs = (
        re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(str.maketrans("", "", string.punctuation))).split() for text in (answer, true)
    )
    common = sum((Counter(ours) & Counter(theirs)).values())
    exact = float(ours == theirs)
    return (2 * common / (len(ours) + len(theirs)) if ours and theirs else exact), exact


def _embedding_metrics(answers: Answers):
    """Cosine to the teacher's embedding of the same text; then how pairs are ranked by their cosine: as the data's own scores
    rank them (Reimers and Gurevych 2019), or, without such, as the teacher ranks neighbours in one fixed shuffle of the texts.
    """
    rows = np.array([item.row for item in answers.features])
    own = _unit_length(answers.outputs)
    teacher = None if answers.teacher is None else _unit_length(answers.teacher)
    if teacher is not None and own.shape == teacher.shape:  # a narrower student's embeddings live in a space of their own
        yield Metric("cosine_to_teacher", rows, _ratio(_ones((own * teacher).sum(axis=1))))
    _, first, texts = np.unique(rows, return_index=True, return_counts=True)  # the two texts of a pair are neighbours
    first = np.array([at for at in first[texts == 2] if answers.rows[rows[at]].gold is not None], dtype=int)
    if len(first) >= 3:
        truth = np.array([answers.rows[row].gold for row in rows[first]])
        yield Metric("spearman", rows[first], spearman((own[first] * own[first + 1]).sum(axis=1), truth))
    if teacher is not None and len(own) >= 3 and (len(first) < 3 or own.shape != teacher.shape):
        first = np.random.default_rng(0).permutation(len(own))
        second = np.roll(first, 1)
        ours, theirs = ((side[first] * side[second]).sum(axis=1) for side in (own, teacher))
        yield Metric("spearman_to_teacher", rows[first], spearman(ours, theirs))


def _unit_length(outputs: Outputs) -> np.ndarray:
    vectors = np.stack(outputs).astype(float)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
