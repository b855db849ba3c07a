"""Tags of words by a model's outputs, and how good they are: entities, words and probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgepack.tasks.common.calibration import calibrate, log_softmax
from edgepack.tasks.common.metrics import Answers, ClassResult, Metric, by_row, class_result, micro_f1, ratio
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.scores import Calibration
from edgepack.tasks.common.tag_schemes import Scheme, Span, spans_of
from edgepack.tasks.common.task import Features, Outputs


@dataclass(frozen=True)
class Tags:
    """The model's labels, and their scheme. No labels: those of the data."""

    scheme: Scheme
    labels: tuple[str, ...] = ()


IOB2 = Tags("iob2")


def decide(outputs: Outputs, features: Sequence[Features], rows: Sequence[Row]) -> list[tuple[int, ...]]:
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


def metrics(answers: Answers, model: Tags = IOB2) -> tuple[Metric, ...]:
    right = [
        (sum(tag == answers.labels[name] for tag, name in zip(decision, row.tags, strict=True)), len(row.tags))
        for decision, row in zip(answers.decisions, answers.rows, strict=True)
    ]
    counts = [(len(decided & expected), len(decided), len(expected)) for decided, expected in zip(*_spans(answers, model), strict=True)]
    return by_row("span_f1", answers, micro_f1(counts)), by_row("word_accuracy", answers, ratio(right))


def class_results(answers: Answers, model: Tags = IOB2) -> list[ClassResult]:
    """F1 by entity type, of those that the data has."""
    sides = _spans(answers, model)
    results = []
    for kind in sorted({kind for spans in sides[1] for _, _, kind in spans}):
        decided, expected = ([{span for span in spans if span[2] == kind} for spans in side] for side in sides)
        right = sum(len(ours & theirs) for ours, theirs in zip(decided, expected, strict=True))
        results.append(class_result(kind, right, sum(map(len, decided)), sum(map(len, expected))))
    return results


def _spans(answers: Answers, model: Tags) -> tuple[list[set[Span]], list[set[Span]]]:
    """By row: those that were decided for, and those of the data."""
    names, scheme = dict(enumerate(model.labels)) or {index: name for name, index in answers.labels.items()}, model.scheme
    decided = [spans_of([names.get(tag, "O") for tag in decision], scheme) for decision in answers.decisions]
    return decided, [spans_of([names[answers.labels[tag]] for tag in row.tags], scheme) for row in answers.rows]


def calibration(answers: Answers) -> Calibration | None:
    """Of words; None where the data has none that the model sees."""
    positions_of = [first_tokens(item) for item in answers.features]
    pairs = zip(answers.features, positions_of, strict=True)
    tags = [answers.rows[item.row].tags[word] for item, positions in pairs for word in positions]
    truth = np.array([answers.labels[tag] for tag in tags])
    teacher = None if answers.teacher is None else _of_words(answers.teacher, positions_of)
    return calibrate(_of_words(answers.outputs, positions_of), truth, teacher, unit="words") if len(truth) else None


def first_tokens(item: Features) -> dict[int, int]:
    """The position of each word's first token: it is the one that decides."""
    positions: dict[int, int] = {}
    for position, word in enumerate(item.words):
        if word is not None:
            positions.setdefault(word, position)
    return positions


def _of_words(outputs: Outputs, places: list[dict[int, int]]) -> np.ndarray:
    return log_softmax(np.concatenate([output[list(at.values())] for output, at in zip(outputs, places, strict=True)]))
