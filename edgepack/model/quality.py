"""Judges every stage by the same function: metrics with bootstrap intervals, flipped decisions, calibration, and the worst classes.

The same functions judge the teacher, a model after each stage, an exported file here and the file on the target.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from edgepack.tasks.common.metrics import Answers, Metric
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.scores import Confusion, Flip, GroupScore, Quality, Score, points_lost
from edgepack.tasks.common.task import Features, Outputs, Task

_MOST_FLIPS, _MOST_CONFUSIONS, _MOST_CHARACTERS = 5, 8, 160  # what a report shows of single rows
_RESAMPLES = 1000
_RESAMPLES_AT_ONCE = 100


def judge_outputs(
    task: Task, outputs: Outputs, features: Sequence[Features], rows: Sequence[Row], labels: dict[str, int], teacher: Outputs | None
) -> Quality:
    """`labels` maps the data's labels to the model's ids; `teacher` holds the teacher's outputs for the same features, if known."""
    answers = Answers(task, outputs, features, rows, labels, teacher, task.decide(outputs, features, rows))
    first, others = _metrics_of(answers)
    second, *further = others or [None]
    theirs = None if teacher is None else task.decide(teacher, features, rows)
    return Quality(
        score=_scored(first) if first else None,
        second=_scored(second) if second else None,
        further=tuple(score for metric in further if (score := _scored(metric)) is not None),
        flip_share=None if theirs is None else flip_share(answers.decisions, theirs),
        calibration=task.calibration(answers),
        groups=_groups(answers, first or second),
        flips=() if theirs is None else tuple(islice(_flips(answers, theirs), _MOST_FLIPS)),
        confusions=_confusions(answers),
    )


@dataclass(frozen=True)
class PairedDrop:
    """Points that one model loses to another on the same rows, and in each bootstrap resample of these rows: [resamples]."""

    points: float
    resampled: np.ndarray


def paired_drop(
    task: Task, outputs: Outputs, expected: Outputs, features: Sequence[Features], rows: Sequence[Row], labels: dict[str, int]
) -> PairedDrop | None:
    """Points that `outputs` lose to `expected`, the outputs of the model that a file was made from. None: the rows define no metric.

    A resample weighs both models' rows alike (the paired bootstrap, Efron and Tibshirani 1993; Koehn 2004), so that rows which both
    answer alike add nothing to its spread.
    """
    ours, theirs = (
        _metrics_of(Answers(task, each, features, rows, labels, expected, task.decide(each, features, rows)))[0]
        for each in (outputs, expected)
    )
    if ours is None or theirs is None or len(ours.rows) != len(theirs.rows):
        return None

    def lost(weights: np.ndarray) -> np.ndarray:
        return points_lost(ours.name, ours.of(weights), theirs.of(weights))

    units = len(ours.rows)
    points = float(lost(np.ones((1, units)))[0])
    return None if np.isnan(points) else PairedDrop(points, np.concatenate([lost(weights) for weights in _resamples(units)]))


def _metrics_of(answers: Answers) -> tuple[Metric | None, list[Metric]]:
    """The metric that a drop is judged by, where these rows define it, and the others."""
    task = answers.task
    known = {metric.name: metric for metric in task.metrics(answers)}
    narrower = answers.teacher is not None and task.metric_of_narrower and task.metric not in known
    name = task.metric_of_gold if task.metric_of_gold in known else task.metric_of_narrower if narrower else task.metric
    return known.pop(name or task.metric, None), list(known.values())


def score_outputs(
    task: Task, outputs: Outputs, features: Sequence[Features], rows: Sequence[Row], labels: dict[str, int], teacher: Outputs
) -> Score | None:
    """The task's own metric alone. None where the rows do not define it."""
    answers = Answers(task, outputs, features, rows, labels, teacher, task.decide(outputs, features, rows))
    return _scored(task.metrics(answers)[0])


def score_decisions(task: Task, decisions: Sequence[Any], rows: Sequence[Row], labels: dict[str, int]) -> Score | None:
    """The task's own metric of decisions, a row each, wherever they come from."""
    return _scored(task.metrics(Answers(task, [], [], rows, labels, None, list(decisions)))[0])


def flip_share(ours: Sequence[Any], theirs: Sequence[Any]) -> float | None:
    """Share of decisions that differ: by row, or by word or token where a row has many. None where nothing is decided."""
    if ours[0] is None:
        return None
    if isinstance(ours[0], tuple):
        pairs = [pair for mine, other in zip(ours, theirs, strict=True) for pair in zip(mine, other, strict=True)]
    else:
        pairs = list(zip(ours, theirs, strict=True))
    return sum(mine != other for mine, other in pairs) / len(pairs) if pairs else None


def _flips(answers: Answers, theirs: Sequence[Any]) -> Iterator[Flip]:
    """Rows that the teacher answers rightly and the model does not, where the task can put its decisions into words."""
    task = answers.task
    if task.in_words is None or task.truth_in_words is None:
        return
    names = {index: name for name, index in answers.labels.items()}
    for row, ours, other in zip(answers.rows, answers.decisions, theirs, strict=True):
        if ours == other:
            continue
        truth, teacher = task.truth_in_words(row), task.in_words(other, row, names)
        if teacher == truth:
            text = " | ".join(part for part in (row.text, row.text_pair) if part)
            yield Flip(text=text[:_MOST_CHARACTERS], truth=truth, teacher=teacher, shipped=task.in_words(ours, row, names))


def _confusions(answers: Answers) -> tuple[Confusion, ...]:
    """Of tasks that decide for one class a row."""
    task = answers.task
    if task.in_words is None or task.truth_in_words is None or not isinstance(answers.decisions[0], int):
        return ()
    names = {index: name for name, index in answers.labels.items()}
    pairs = ((task.truth_in_words(row), task.in_words(ours, row, names)) for row, ours in zip(answers.rows, answers.decisions, strict=True))
    counts = Counter((truth, decided) for truth, decided in pairs if truth and truth != decided)
    most = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:_MOST_CONFUSIONS]
    return tuple(Confusion(truth=truth, decided=decided, rows=count) for (truth, decided), count in most)


def _scored(metric: Metric) -> Score | None:
    """None where the rows do not define the metric: a rank correlation of equal values, for instance."""
    units = len(metric.rows)
    value = float(metric.of(np.ones((1, units)))[0])
    if np.isnan(value):
        return None
    resampled = np.concatenate([metric.of(weights) for weights in _resamples(units)])
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return Score(metric=metric.name, value=round(value, 6), low=round(float(low), 6), high=round(float(high), 6), rows=units)


def _resamples(units: int) -> Iterator[np.ndarray]:
    """How often each unit is drawn in each resample: [draws, units], a part of the resamples at a time."""
    random = np.random.default_rng(0)
    for _ in range(_RESAMPLES // _RESAMPLES_AT_ONCE):
        draws = random.integers(0, units, size=(_RESAMPLES_AT_ONCE, units)) + np.arange(_RESAMPLES_AT_ONCE)[:, None] * units
        yield np.bincount(draws.ravel(), minlength=_RESAMPLES_AT_ONCE * units).reshape(_RESAMPLES_AT_ONCE, units).astype(float)


def _groups(answers: Answers, metric: Metric | None) -> tuple[GroupScore, ...]:
    """By the data's own groups (languages, say) with the task's metric; else by class with its F1."""
    names = [] if answers.task.joins_rows else [row.group for row in answers.rows]
    if metric is not None and any(name is not None for name in names):
        of_unit = np.array([names[row] or "" for row in metric.rows])
        kinds = sorted(set(of_unit) - {""})
        masks = np.array([of_unit == kind for kind in kinds], dtype=float)
        values = zip(kinds, metric.of(masks), masks.sum(axis=1), strict=True)
        groups = [_group("group", str(kind), metric.name, value, rows) for kind, value, rows in values if not np.isnan(value)]
    else:
        results = answers.task.class_results(answers)
        groups = [_group(answers.task.class_kind, result.name, "f1", result.f1, result.support) for result in results]
    return tuple(sorted(groups, key=lambda group: (group.value, group.name)))


def _group(kind: str, name: str, metric: str, value: float, rows: float) -> GroupScore:
    return GroupScore(kind=kind, name=name, metric=metric, value=round(float(value), 6), rows=int(rows))
