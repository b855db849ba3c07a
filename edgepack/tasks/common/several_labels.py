"""A text that may have several labels, or none: every label is decided by itself, by the sigmoid of its logit and a threshold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown
from edgepack.tasks.common.columns import FLAG
from edgepack.tasks.common.losses import IGNORED
from edgepack.tasks.common.metrics import Answers, ClassResult, Metric, by_row, class_result, macro_f1_of_tables, micro_f1
from edgepack.tasks.common.rows import Record, Row
from edgepack.tasks.common.task import Features, Outputs

if TYPE_CHECKING:
    import torch

DEFAULT_THRESHOLD = 0.5
_NUMBER = re.compile(r"[0-9]{1,9}")
_STEPS = 99  # thresholds that are tried between 0 and 1 where the dev split's own scores are more


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """In float64, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, dtype=float)))


def logit(scores: np.ndarray) -> np.ndarray:
    """The inverse of the sigmoid, as far as float64 tells scores from 0 and 1."""
    inner = np.clip(np.asarray(scores, dtype=float), np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
    logits: np.ndarray = np.log(inner) - np.log1p(-inner)
    return logits


def decide(outputs: Outputs, thresholds: Sequence[float]) -> list[tuple[int, ...]]:
    """For each row 0 or 1 by label."""
    return [tuple((sigmoid(output) >= np.asarray(thresholds)).astype(int).tolist()) for output in outputs]


def thresholds_of(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> tuple[float, ...]:
    """For each label the threshold of the best F1 (Lipton 2014) on these rows, 0.5 where they have none of it."""
    scores = np.stack([sigmoid(output) for output in outputs])
    truth = truth_of([rows[item.row] for item in features], labels, scores.shape[1])
    return tuple(_best(scores[:, label], truth[:, label]) for label in range(scores.shape[1]))


def _best(scores: np.ndarray, truth: np.ndarray) -> float:
    if not truth.any():
        return DEFAULT_THRESHOLD
    tried = np.unique(np.append(np.linspace(0.01, 0.99, _STEPS), DEFAULT_THRESHOLD))
    decided = scores[:, None] >= tried
    f1 = 2 * (decided & truth[:, None]).sum(axis=0) / np.maximum(1, decided.sum(axis=0) + truth.sum())
    best = tried[f1 >= f1.max() - 1e-12]
    return round(float(best[np.abs(best - DEFAULT_THRESHOLD).argmin()]), 4)


def truth_of(rows: Sequence[Row], labels: Mapping[str, int], count: int) -> np.ndarray:
    """[rows, labels] of bool."""
    table = np.zeros((len(rows), count), dtype=bool)
    for index, row in enumerate(rows):
        table[index, [labels[name] for name in row.labels or ()]] = True
    return table


def metrics(answers: Answers) -> tuple[Metric, ...]:
    """Micro F1 and macro F1 over all labels of all rows."""
    decided, truth = _tables(answers)
    counts = np.stack([(decided & truth).sum(axis=1), decided.sum(axis=1), truth.sum(axis=1)], axis=1)
    by_label = macro_f1_of_tables(decided.astype(float), truth.astype(float))
    return by_row("micro_f1", answers, micro_f1(counts)), by_row("macro_f1", answers, by_label)


def class_results(answers: Answers) -> list[ClassResult]:
    """F1 of each label that the test rows have."""
    decided, truth = _tables(answers)
    both = decided & truth
    names = {index: name for name, index in answers.labels.items()}
    return [
        class_result(names[at], both[:, at].sum(), decided[:, at].sum(), truth[:, at].sum()) for at in sorted(names) if truth[:, at].any()
    ]


def _tables(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    decided = np.array(answers.decisions, dtype=bool)
    return decided, truth_of(answers.rows, answers.labels, decided.shape[1])


def hard_targets(features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int], count: int) -> list[np.ndarray]:
    """[labels] of 0 and 1 for each row; of a row whose labels are not known IGNORED."""
    unknown = np.full(count, IGNORED, dtype=np.int64)
    feature_rows = [rows[item.row] for item in features]
    return [unknown if row.labels is None else truth_of([row], labels, count)[0].astype(np.int64) for row in feature_rows]


def label_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], hard: torch.Tensor) -> torch.Tensor:
    """Binary cross entropy, the mean over labels of rows whose labels are known. outputs, hard: [rows, labels]."""
    from torch.nn import functional

    known = (hard != IGNORED).to(outputs.dtype)
    losses = functional.binary_cross_entropy_with_logits(outputs.float(), hard.clamp(min=0).float(), reduction="none")
    return (losses * known).sum(dim=1).div(known.sum(dim=1).clamp(min=1)).mean()


def soft_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """Binary cross entropy to the teacher's softened sigmoids, less the teacher's own entropy, times T squared."""
    from torch.nn import functional

    target = (soft.float() / temperature).sigmoid()
    loss = functional.binary_cross_entropy_with_logits(outputs.float() / temperature, target)
    return temperature**2 * (loss - functional.binary_cross_entropy(target, target))


SEPARATORS = ("|", ";", ",")


def columns_of_flags(first: Record, records: list[Record], labels: Sequence[str]) -> dict[str, str]:
    """Columns that are called as labels and hold 0 and 1 alone: a table with a column a label."""
    named = [name for name in first.values if name in labels]
    wrong = next((name for name in named for record in records if _flag(record.values.get(name)) is None), None)
    return {} if wrong or not named else {f"{FLAG}{labels.index(name)}": name for name in named}


def labels_from(value: Any, known: Sequence[str], place: str) -> tuple[str, ...]:
    """Labels of one row: a list of names or numbers, a list of 0 and 1 for all labels, or a text with names between | ; or commas."""
    if isinstance(value, str):
        separator = next((mark for mark in SEPARATORS if mark in value and value.strip() not in known), None)
        parts = [part.strip() for part in value.split(separator)] if separator else [value.strip()]
        value = [part for part in parts if part]
    if not isinstance(value, (list, tuple, np.ndarray)):
        value = [value]
    flags = [_flag(each) for each in value]
    if len(value) == len(known) > 1 and None not in flags and not all(isinstance(each, str) for each in value):
        return tuple(name for name, flag in zip(known, flags, strict=True) if flag)
    names = tuple(str(each) for each in value)
    names = tuple(known[int(name)] if name not in known and _NUMBER.fullmatch(name) and int(name) < len(known) else name for name in names)
    wrong = next((name for name in names if name not in known), None)
    if wrong is not None:
        raise EdgepackError(f"{place}: label {shown(wrong)} is not one of the model's", f"write these, separated by |: {', '.join(known)}")
    return tuple(sorted(set(names), key=known.index))


def flags_from(value: Mapping[str, Any], known: Sequence[str]) -> tuple[str, ...]:
    """The labels whose columns of 0 and 1 hold a 1, in the model's order."""
    flagged = {int(key.removeprefix(FLAG)) for key, held in value.items() if key.startswith(FLAG) and _flag(held)}
    return tuple(known[index] for index in sorted(flagged))


def _flag(value: Any) -> bool | None:
    """A cell of 0 and 1 as bool; None for anything else."""
    if isinstance(value, str):
        value = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "true": 1, "false": 0}.get(value.strip().lower())
    return None if value is None or isinstance(value, (list, dict, tuple)) or value not in (0, 1) else bool(value)
