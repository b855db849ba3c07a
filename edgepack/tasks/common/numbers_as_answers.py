"""Regression: a text gets numbers, one for each output; Spearman's correlation judges the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.tasks.common.columns import SIMILARITY_NAMES, as_number, text_columns
from edgepack.tasks.common.metrics import Answers, Metric, Statistic, by_row, spearman
from edgepack.tasks.common.rows import Record, Row
from edgepack.tasks.common.task import Features, Outputs

if TYPE_CHECKING:
    import torch


def columns(first: Record, records: list[Record], wished: Mapping[str, str | None]) -> dict[str, str]:
    """The column of the label holds the number."""
    numbers = [name for name in first.values if all(_may_be_a_number(record.values.get(name)) for record in records)]
    named = [name for name in first.values if name.lower() in SIMILARITY_NAMES]  # a row with a wrong number there is told by its place
    if not wished.get("label") and (named or len(numbers) == 1):
        wished = {**wished, "label": next((name for name in named if name in numbers), [*named, *numbers][0])}
    column_of = text_columns(first, records, wished, with_label=True)
    column = column_of.pop("label")
    wrong = next((record for record in records if as_number(record.values.get(column)) is None), None)
    if wrong is not None:
        raise EdgepackError(
            f"{wrong.place}: {wrong.values.get(column)!r} in column {column!r} is not a number, and the model answers by numbers",
            "give numbers with a point, or name another --label-column",
        )
    return column_of | {"gold": column}


def _may_be_a_number(value: Any) -> bool:
    """With a comma it is none, and an error that says so is better than one about another column."""
    return as_number(str(value).replace(",", ".")) is not None


def decide(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[None]:
    """None for every row: a number is not a decision."""
    return [None] * len(outputs)


def metrics(answers: Answers) -> tuple[Metric, ...]:
    """Spearman's and Pearson's correlation of the model's numbers with the data's."""
    ours = np.array([float(np.ravel(output)[0]) for output in answers.outputs])
    truth = np.array([np.nan if row.gold is None else row.gold for row in answers.rows])
    return by_row("spearman", answers, spearman(ours, truth)), by_row("pearson", answers, pearson(ours, truth))


def pearson(x: np.ndarray, y: np.ndarray) -> Statistic:
    """Pearson's correlation of weighted units. NaN where one side is constant."""

    def of(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1, keepdims=True)
        a, b = (values - weights @ values[:, None] / total for values in (x, y))
        both, first, second = ((weights * c * d).sum(axis=1) for c, d in ((a, b), (a, a), (b, b)))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where((first > 0) & (second > 0), both / np.sqrt(first * second), np.nan)

    return of


def hard_targets(features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> list[Any]:
    """NaN where the number is not known."""
    return [np.float32(np.nan if rows[item.row].gold is None else rows[item.row].gold) for item in features]


def label_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], hard: torch.Tensor) -> torch.Tensor:
    """Squared error, the mean over rows whose number is known. outputs: [rows, 1]; hard: [rows]."""
    known = ~hard.isnan()
    return ((outputs[:, 0].float() - hard.nan_to_num().float()).square() * known).sum() / known.sum().clamp(min=1)


def soft_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """Squared error to the teacher's numbers; they have no temperature."""
    return (outputs.float() - soft.float()).square().mean()
