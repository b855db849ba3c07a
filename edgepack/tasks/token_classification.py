"""token-classification: each word gets a tag in IOB2; entities are the spans that tags open and go on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.tasks.common.calibration import calibrate, log_softmax
from edgepack.tasks.common.columns import fixed_columns, parts_of
from edgepack.tasks.common.encoding import type_ids
from edgepack.tasks.common.losses import IGNORED, divergence, known_mean, logits_of, real_tokens, rows_mean
from edgepack.tasks.common.metrics import Answers, ClassResult, Metric, by_row, class_result, micro_f1, ratio
from edgepack.tasks.common.rows import Record, Row
from edgepack.tasks.common.task import Features, Outputs, Task

if TYPE_CHECKING:
    import torch

    from edgepack.tasks.common.scores import Calibration

Span = tuple[int, int, str]  # first word, past the last, type


def _columns(first: Record, records: list[Record], wished: Mapping[str, str | None]) -> dict[str, str]:
    aliases = {"words": ("words", "tokens"), "tags": ("tags", "ner_tags", "labels")}
    return fixed_columns(first, records, aliases, "token-classification", "give CoNLL files")


def _row(place: str, value: Mapping[str, Any], group: str | None) -> Row:
    return Row(place, words=tuple(value["words"]), tags=tuple(str(tag) for tag in value["tags"]), group=group)


def _unlabelled_row(row: Row) -> Row | None:
    """A text is split into words at white space."""
    words = tuple(row.text.split())
    return Row(row.place, words=words) if words else None


def _encode(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    words = [list(row.words) for row in rows]
    encoded = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length, padding=False)
    return [
        Features(ids, types, index, words=tuple(encoded.word_ids(index)))
        for index, (ids, types) in enumerate(zip(encoded["input_ids"], type_ids(encoded), strict=True))
    ]


def _decide(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[tuple[int, ...]]:
    """The tag of a word is that of its first token; words cut off get -1."""
    decisions = []
    for output, item in zip(outputs, features, strict=True):
        tags = [-1] * len(rows[item.row].words)
        best = output.argmax(axis=-1).tolist()
        for position in reversed(range(len(item.words))):
            word = item.words[position]
            if word is not None:
                tags[word] = best[position]
        decisions.append(tuple(tags))
    return decisions


def spans_of(tags: Sequence[str]) -> set[Span]:
    """Entities as (first word, past the last, type) in IOB2: every B- opens a span, so does an I- of another type."""
    spans, start, kind = set(), 0, ""
    for index, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            spans.add((start, index, kind))
            kind = ""
        if prefix == "B" or (prefix == "I" and not kind):
            start, kind = index, name
    return spans


def _metrics(answers: Answers) -> tuple[Metric, ...]:
    right = [
        (sum(tag == answers.labels[name] for tag, name in zip(decision, row.tags, strict=True)), len(row.tags))
        for decision, row in zip(answers.decisions, answers.rows, strict=True)
    ]
    counts = [(len(decided & true), len(decided), len(true)) for decided, true in zip(*_spans(answers), strict=True)]
    return by_row("span_f1", answers, micro_f1(counts)), by_row("word_accuracy", answers, ratio(right))


def _class_results(answers: Answers) -> list[ClassResult]:
    """F1 by entity type, of those that the data has."""
    sides = _spans(answers)
    results = []
    for kind in sorted({kind for spans in sides[1] for _, _, kind in spans}):
        decided, true = ([{span for span in spans if span[2] == kind} for spans in side] for side in sides)
        right = sum(len(ours & theirs) for ours, theirs in zip(decided, true, strict=True))
        results.append(class_result(kind, right, sum(map(len, decided)), sum(map(len, true))))
    return results


def _spans(answers: Answers) -> tuple[list[set[Span]], list[set[Span]]]:
    """By row: those that were decided for, and those of the data."""
    names = {index: name for name, index in answers.labels.items()}
    decided = [spans_of([names.get(tag, "O") for tag in decision]) for decision in answers.decisions]
    return decided, [spans_of(row.tags) for row in answers.rows]


def _calibration(answers: Answers) -> Calibration | None:
    """Of words; None where the data has none that the model sees."""
    chosen = [_first_tokens(item) for item in answers.features]
    pairs = zip(answers.features, chosen, strict=True)
    tags = [answers.rows[item.row].tags[word] for item, positions in pairs for word in positions]
    true = np.array([answers.labels[tag] for tag in tags])
    teacher = None if answers.teacher is None else _of_words(answers.teacher, chosen)
    return calibrate(_of_words(answers.outputs, chosen), true, teacher, unit="words") if len(true) else None


def _first_tokens(item: Features) -> dict[int, int]:
    """The position of each word's first token: it is the one that decides."""
    positions: dict[int, int] = {}
    for position, word in enumerate(item.words):
        if word is not None:
            positions.setdefault(word, position)
    return positions


def _of_words(outputs: Outputs, chosen: list[dict[int, int]]) -> np.ndarray:
    return log_softmax(np.concatenate([output[list(at.values())] for output, at in zip(outputs, chosen, strict=True)]))


def _hard_targets(features: Sequence[Features], rows: Sequence[Row], labels: Mapping[str, int]) -> list[np.ndarray]:
    return [_first_token_tags(item, rows[item.row], labels) for item in features]


def _first_token_tags(item: Features, row: Row, labels: Mapping[str, int]) -> np.ndarray:
    tags = np.full(len(item.ids), IGNORED, dtype=np.int64)
    if row.tags:
        for word, position in _first_tokens(item).items():
            tags[position] = labels[row.tags[word]]
    return tags


def _label_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], hard: torch.Tensor) -> torch.Tensor:
    """outputs: [rows, tokens, labels]; hard: [rows, tokens]."""
    return known_mean(outputs, hard)


def _soft_loss(outputs: torch.Tensor, batch: dict[str, torch.Tensor], soft: torch.Tensor, temperature: float) -> torch.Tensor:
    """Over the tags of each real token."""
    return rows_mean(divergence(outputs, soft, temperature), real_tokens(batch))


def _aligned(outputs: Outputs, features: Sequence[Features], others: Sequence[Features], new_id: Mapping[int, int]) -> Outputs:
    """Tags follow the words."""
    return [_by_word(output, item, other) for output, item, other in zip(outputs, features, others, strict=True)]


def _by_word(output: np.ndarray, item: Features, other: Features) -> np.ndarray:
    """The output of a word's first token goes to all its new tokens; zeros for a word that was cut off before."""
    if item.words == other.words:
        return output
    first = {word: position for position, word in reversed(list(enumerate(item.words)))}
    nothing = np.zeros_like(output[0])
    return np.stack([output[first[word]] if word in first else nothing for word in other.words])


TASK = Task(
    name="token-classification",
    auto_class="AutoModelForTokenClassification",
    architectures=("ForTokenClassification",),
    adapter_kind="TOKEN_CLS",
    outputs=("logits",),  # [tokens, labels]
    per_token=True,
    metric="span_f1",
    example=(("text", "Ada Lovelace lived in London."),),
    answer_field="entities",
    columns=_columns,
    row=_row,
    row_of_text=lambda text: _unlabelled_row(Row("", text=text)),
    texts=parts_of,
    encode=_encode,
    decide=_decide,
    metrics=_metrics,
    forward=logits_of,
    soft_loss=_soft_loss,
    reads_conll=True,
    class_kind="entity type",
    unlabelled_row=_unlabelled_row,
    shown=lambda row: {"words": row.words},
    class_results=_class_results,
    calibration=_calibration,
    hard_targets=_hard_targets,
    label_loss=_label_loss,
    aligned=_aligned,
    choices=lambda output: output.argmax(-1),
)
