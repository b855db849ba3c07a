"""question-answering: the answer to a question is a span of its context (SQuAD, Rajpurkar 2016)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, model_validator

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.core.showing import shown
from edgepack.tasks.common.answer_spans import (
    LONGEST_ANSWER,
    answer_scores,
    best_spans,
    best_threshold,
    decide,
    decide_or_none,
    margins_of,
)
from edgepack.tasks.common.columns import parts_of
from edgepack.tasks.common.encoding import type_ids
from edgepack.tasks.common.library import Call, Figures, Library
from edgepack.tasks.common.losses import IGNORED, divergence, known_mean, real_tokens
from edgepack.tasks.common.metrics import Answers, Metric, by_row, mean_of
from edgepack.tasks.common.question_rows import question_columns, question_row
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Outputs, Task

if TYPE_CHECKING:
    import torch
    from torch import nn


class SpanAnswers(Frozen):
    """stride: tokens that two windows of a long context share. longest: tokens of an answer.

    no_answer: whether there may be none (SQuAD 2): the answer is empty where the first token's start and end logits, the least over
    all windows, are above the best span's by more than the threshold, which is found on the dev split.
    """

    stride: int = 64
    longest: int = LONGEST_ANSWER
    no_answer: bool = False
    threshold: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _threshold_says_when_there_is_none(self) -> Self:
        if self.no_answer and self.threshold is None:
            raise EdgepackError("the pack may give no answer, and states no threshold for it", "build the pack again")
        return self


_DEFAULT = SpanAnswers()


def _check_lengths(tokenizer: Any, rows: Sequence[Row], max_length: int) -> None:
    """EdgepackError names a question that leaves no room for a window of its context, which has more tokens than it shares with the next.

    A question has no more tokens than bytes, so few are counted.
    """
    special, stride = tokenizer.num_special_tokens_to_add(pair=True), _stride(max_length)
    for row in rows:
        if len(row.text.encode()) < max_length - special - stride:
            continue
        count = _tokens_in(tokenizer, row.text)
        room = max_length - special - count
        if room > stride or _tokens_in(tokenizer, row.context) <= room:
            continue
        least = next(length for length in itertools.count(max_length + 1) if length - special - count > _stride(length))
        raise EdgepackError(
            f"{row.place + ': ' if row.place else ''}the question {shown(row.text)} has {count} tokens, which leaves no room for its "
            f"context: a window has {max_length} tokens, {special} of them the tokenizer's own, and shares {stride} with the next",
            f"shorten the question, drop the row, or use --max-length {least} or more, if the model has positions for it",
        )


def _tokens_in(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _stride(max_length: int) -> int:
    return min(_DEFAULT.stride, max_length // 4)


def _encode(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    """A question with its context; a context too long for the model becomes several overlapping windows.

    EdgepackError names a row whose question leaves no room for that.
    """
    _check_lengths(tokenizer, rows, max_length)
    encoded = tokenizer(
        [row.text for row in rows],
        [row.context for row in rows],
        truncation="only_second",
        max_length=max_length,
        stride=_stride(max_length),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=False,
    )
    windows = []
    for index, (ids, types) in enumerate(zip(encoded["input_ids"], type_ids(encoded), strict=True)):
        sequence = encoded.sequence_ids(index)
        offsets = tuple(span if part == 1 else None for span, part in zip(encoded["offset_mapping"][index], sequence, strict=True))
        windows.append(Features(ids, types, encoded["overflow_to_sample_mapping"][index], offsets=offsets))
    return windows


def _tuned(task: Task, outputs: Outputs, features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> Task:
    """Where rows of the dev split have no answer: the task that may give none, by the threshold that is best there."""
    if all(row.answers for row in rows):
        return task
    return _restored(task, SpanAnswers(no_answer=True, threshold=best_threshold(outputs, features, rows)))


def _restored(task: Task, answers: SpanAnswers | None, labels: Sequence[str] = ()) -> Task:
    """The task as a record of answers states it."""
    if answers is None or answers.threshold is None:
        return task
    return replace(task, decide=partial(decide_or_none, threshold=answers.threshold), answers=lambda source, recipe: answers)


def _metrics(answers: Answers) -> tuple[Metric, ...]:
    pairs = [answer_scores(answer, row) for answer, row in zip(answers.decisions, answers.rows, strict=True)]
    f1, exact = np.array(pairs, dtype=float).T
    return by_row("answer_f1", answers, mean_of(f1)), by_row("exact_match", answers, mean_of(exact))


def _forward(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """[rows, tokens, 2]: start and end logits."""
    import torch

    answers = model(**batch)
    return torch.stack([answers.start_logits, answers.end_logits], dim=-1)


def _over_tokens(outputs: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """[rows, 2, tokens], with next to no probability where there is padding."""
    return outputs.float().masked_fill(~real_tokens(batch)[..., None], -1e9).transpose(1, 2)


def _hard_targets(features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> list[np.ndarray]:
    return [_answer_positions(item, rows[item.row]) for item in features]


def _answer_positions(item: Features, row: Row) -> np.ndarray:
    """First and last token of the first answer that lies whole in this window; IGNORED twice where none does, and the first token
    twice where the row has none."""
    for text, opening in row.answers:
        closing = opening + len(text)
        held = [(at, span) for at, span in enumerate(item.offsets) if span and span[0] < closing and span[1] > opening]
        if held and held[0][1][0] <= opening and held[-1][1][1] >= closing:
            return np.array([held[0][0], held[-1][0]])
    if not row.answers and item.offsets[0] is None:
        return np.array([0, 0])  # the first token stands for no answer
    return np.array([IGNORED, IGNORED])


def _label_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], hard: torch.Tensor) -> torch.Tensor:
    """outputs: [rows, tokens, 2]; hard: [rows, 2], the places of start and end."""
    return known_mean(_over_tokens(outputs, batch), hard)


def _soft_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """Over the real tokens, for start and for end."""
    return divergence(_over_tokens(outputs, batch), _over_tokens(soft, batch), temperature).mean()


def _aligned(outputs: Outputs, features: Sequence[Features], others: Sequence[Features], new_id: Mapping[int, int]) -> Outputs:
    """A start belongs to the character where its token starts, an end to the one where it ends; elsewhere the row's lowest."""
    if [(item.row, item.offsets) for item in features] == [(item.row, item.offsets) for item in others]:
        return outputs
    places: dict[tuple[int, int, int], float] = {}
    lowest: dict[int, float] = {}
    for output, item in zip(outputs, features, strict=True):
        lowest[item.row] = min(lowest.get(item.row, np.inf), float(output.min()))
        for values, span in zip(output, item.offsets, strict=True):
            if span is None:
                continue
            for end in (0, 1):
                key = (item.row, end, span[end])
                places[key] = max(places.get(key, -np.inf), float(values[end]))
    return [
        np.array(
            [[places.get((other.row, end, span[end]), low) if span else low for end in (0, 1)] for span in other.offsets], dtype=np.float32
        )
        for other in others
        for low in (lowest[other.row],)
    ]


def _served(model: Any, row: Row, labels: Mapping[str, int]) -> str:
    text: str = model(row.text, row.context).text
    return text


def _ask_model(folder: Path, calls: Sequence[Call], answers: SpanAnswers, longest: int) -> list[Figures]:
    """transformers 5 has no pipeline for it: its tokenizer's windows, its model's logits, and the best span as its examples find it."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForQuestionAnswering.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    figures = []
    for question, context in calls:
        row = Row("", text=question, context=context)
        windows = _encode(tokenizer, [row], longest)
        outputs = []
        for item in windows:
            encoded = {"input_ids": torch.tensor([item.ids]), "attention_mask": torch.ones(1, len(item.ids), dtype=torch.long)}
            if "token_type_ids" in tokenizer.model_input_names:
                encoded["token_type_ids"] = torch.tensor([item.type_ids])
            with torch.inference_mode():
                logits = model(**encoded)
            outputs.append(torch.stack([logits.start_logits[0], logits.end_logits[0]], dim=-1).numpy())
        figures.append(_figures_of_windows(outputs, windows, row))
    return figures


def _figures_of_windows(outputs: Outputs, windows: Sequence[Features], row: Row) -> Figures:
    """How probable the best span is over the whole context, and no answer beside it."""
    inside = [np.array([span is not None for span in item.offsets]) for item in windows]
    sums = [
        np.logaddexp.reduce(np.concatenate([output[mask, side].astype(float) for output, mask in zip(outputs, inside, strict=True)]))
        for side in (0, 1)
    ]
    ((best, text),) = best_spans(outputs, windows, [row])
    (margin,) = margins_of(outputs, windows, [row])
    return {f"the answer {text!r}": float(np.exp(best - sum(sums))), _NO_ANSWER: float(1 / (1 + np.exp(-margin)))}


_NO_ANSWER = "no answer"
_ALWAYS_NONE = -1e30  # a threshold under which there is none, whatever the text


_MODEL = Library(
    name="transformers' model",
    package="transformers",
    applies=lambda source, answers: True,
    ask=_ask_model,
    figures=lambda answer: {f"the answer {answer.text!r}" if answer.end else _NO_ANSWER: answer.score},
    call=lambda row: (row.text or "what is it?", row.context) if row.context.strip() else None,
    long_call=("what comes after a word?", " ".join(["one word after another"] * 200)),
    records=lambda answers: (
        answers.model_copy(update={"no_answer": False}),
        answers.model_copy(update={"no_answer": True, "threshold": _ALWAYS_NONE}),
    ),
)


TASK = Task(
    name="question-answering",
    auto_class="AutoModelForQuestionAnswering",
    architectures=("ForQuestionAnswering",),
    adapter_kind="QUESTION_ANS",
    outputs=("start_logits", "end_logits"),  # [tokens, 2]
    per_token=True,
    metric="answer_f1",
    example=(("question", "Who wrote it?"), ("context", "The first program was written by Ada Lovelace.")),
    answer_field="text",
    answer_record=SpanAnswers,
    answers=lambda source, recipe: SpanAnswers(),
    tuned=_tuned,
    restored=_restored,
    columns=question_columns,
    row=question_row,
    row_of_text=lambda text: Row("", text="what is it?", context=text) if text.strip() else None,
    texts=parts_of,
    encode=_encode,
    check_lengths=_check_lengths,
    served=_served,
    decide=decide,
    metrics=_metrics,
    forward=_forward,
    soft_loss=_soft_loss,
    head_outputs=2,
    unlabelled_row=None,
    hard_targets=_hard_targets,
    label_loss=_label_loss,
    aligned=_aligned,
    choices=lambda output: output.argmax(0),
    library=_MODEL,
    in_words=lambda decision, row, names: decision or "no answer",
    truth_in_words=lambda row: row.answers[0][0] if row.answers else "no answer",
    java_method="answer",
    answer_class="Answer",
    in_browsers=True,
    finds_places=True,
    text_labels=("Your question", "The text to look in"),
)
