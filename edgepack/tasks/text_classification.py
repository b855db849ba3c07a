"""text-classification: a text, or a pair of texts, gets one of the labels that the model's config names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.tasks.common.calibration import calibrate, log_softmax
from edgepack.tasks.common.columns import parts_of, text_columns, text_row
from edgepack.tasks.common.encoding import encode_text
from edgepack.tasks.common.losses import IGNORED, divergence, known_mean, logits_of
from edgepack.tasks.common.metrics import Answers, ClassResult, Metric, by_row, class_result, macro_f1, mean_of
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Outputs, Task

if TYPE_CHECKING:
    import torch

    from edgepack.tasks.common.scores import Calibration


def _check_rows(source: str, splits: Mapping[str, Sequence[Row]]) -> None:
    """EdgepackError where a split that is learned from or judged by has a single class."""
    for split, rows in splits.items():
        classes = Counter(row.label for row in rows)
        if len(classes) == 1 and split != "dev":
            where = source if split == "all" else f"the {split} split of {source}"
            raise EdgepackError(
                f"{where} has one class only: {next(iter(classes))!r}", "give rows of at least two classes, or another --label-column"
            )


def _decide(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[int]:
    return [int(output.argmax()) for output in outputs]


def _metrics(answers: Answers) -> tuple[Metric, ...]:
    decided, true = np.array(answers.decisions), _true(answers)
    return by_row("accuracy", answers, mean_of(decided == true)), by_row("macro_f1", answers, macro_f1(decided, true))


def _class_results(answers: Answers) -> list[ClassResult]:
    """F1 by class, of those that the data has."""
    decided, true = np.array(answers.decisions), _true(answers)
    names = {index: name for name, index in answers.labels.items()}
    return [
        class_result(names[index], np.sum((true == index) & (decided == index)), np.sum(decided == index), np.sum(true == index))
        for index in np.unique(true).tolist()
    ]


def _calibration(answers: Answers) -> Calibration | None:
    return calibrate(log_softmax(answers.outputs), _true(answers), None if answers.teacher is None else log_softmax(answers.teacher))


def _true(answers: Answers) -> np.ndarray:
    return np.array([answers.labels[row.label or ""] for row in answers.rows])


def _hard_targets(features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> list[np.int64]:
    return [np.int64(IGNORED if (label := rows[item.row].label) is None else labels[label]) for item in features]


def _label_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], hard: torch.Tensor) -> torch.Tensor:
    """outputs: [rows, labels]; hard: [rows]."""
    return known_mean(outputs[:, None], hard[:, None])


def _soft_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], soft: torch.Tensor, temperature: float) -> torch.Tensor:
    return divergence(outputs, soft, temperature).mean()


TASK = Task(
    name="text-classification",
    auto_class="AutoModelForSequenceClassification",
    architectures=("ForSequenceClassification",),
    adapter_kind="SEQ_CLS",
    outputs=("logits",),  # [labels]
    per_token=False,
    metric="accuracy",
    example=(("text", "turn on the light"),),
    answer_field="label",
    columns=partial(text_columns, with_label=True),
    row=text_row,
    row_of_text=lambda text: Row("", text=text),
    texts=parts_of,
    encode=encode_text,
    decide=_decide,
    metrics=_metrics,
    forward=logits_of,
    soft_loss=_soft_loss,
    dense_head=True,
    check_rows=_check_rows,
    class_results=_class_results,
    calibration=_calibration,
    hard_targets=_hard_targets,
    label_loss=_label_loss,
    choices=lambda output: output.argmax(-1),
)
