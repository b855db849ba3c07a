"""Whether a model's confidence can be believed: calibration errors, the confidence in the true class, and what became of the
rows that the teacher was sure or unsure of. Quantization is known to hurt the latter first (Proskurina 2024)."""

import numpy as np

from edgepack.model.metrics import Answers
from edgepack.tasks.scores import Bin, Calibration, TeacherBin
from edgepack.tasks.tasks import Features, Outputs

_WIDTH_BINS = 15  # as Guo 2017
_TEACHER_BINS = 10


def calibration_of(answers: Answers) -> Calibration | None:
    """None where the task has no probability of a truth: embeddings, and spans of text."""
    match answers.task.name:
        case "text-classification":
            true = np.array([answers.labels[row.label or ""] for row in answers.rows])
            return calibrate(_log_softmax(answers.outputs), true, None if answers.teacher is None else _log_softmax(answers.teacher))
        case "token-classification":
            chosen = [_first_tokens(item) for item in answers.features]
            pairs = zip(answers.features, chosen, strict=True)
            tags = [answers.rows[item.row].tags[word] for item, positions in pairs for word in positions]
            true = np.array([answers.labels[tag] for tag in tags])
            own, teacher = (None if side is None else _of_words(side, chosen) for side in (answers.outputs, answers.teacher))
            return calibrate(own, true, teacher, unit="words") if len(true) else None
        case "text-generation":  # of a vocabulary's distribution only the true token's likelihood is kept
            likelihoods = np.exp(-np.concatenate([output[:, 0] for output in answers.outputs]))
            return Calibration(
                unit="tokens", rows=len(likelihoods), true_class=_known(likelihoods.mean()),
                ece=None, ace=None, teacher_kl=None, reliability=None, by_teacher=None,
            )  # fmt: skip
    return None


def calibrate(log_probabilities: np.ndarray, true: np.ndarray, teacher: np.ndarray | None, unit: str = "rows") -> Calibration | None:
    """log_probabilities, teacher: [rows, classes], natural logarithms; true: [rows], class ids. None where not all are numbers."""
    if not np.isfinite(log_probabilities).all():
        return None
    probabilities = np.exp(log_probabilities)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    in_true = probabilities[np.arange(len(true)), true]
    return Calibration(
        unit=unit,
        rows=len(true),
        ece=_known(expected_calibration_error(confidence, right)),
        ace=_known(adaptive_calibration_error(probabilities, true)),
        true_class=_known(in_true.mean()),
        teacher_kl=None if teacher is None else _known((np.exp(teacher) * (teacher - log_probabilities)).sum(axis=1).mean()),
        reliability=tuple(
            Bin(confidence=_known(confidence[part].mean()), accuracy=_known(right[part].mean()), rows=len(part))
            for part in _by_width(confidence)
        ),
        by_teacher=None if teacher is None else _by_teacher(probabilities, true, np.exp(teacher)),
    )


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Guo, Pleiss, Sun and Weinberger 2017, equation 3: the bins' gaps between accuracy and confidence, weighted by rows."""
    gaps = [len(part) * abs(right[part].mean() - confidence[part].mean()) for part in _by_width(confidence)]
    return float(sum(gaps) / len(confidence))


def adaptive_calibration_error(probabilities: np.ndarray, true: np.ndarray) -> float:
    """Nixon et al. 2019, section 3.2: for each class its probabilities in bins of equally many rows, all gaps averaged.

    Rows of equal probability stay in the data's order.
    """
    order = np.argsort(probabilities, axis=0, kind="stable")
    hits = true[order] == np.arange(probabilities.shape[1])
    starts, sizes = _equal_parts(len(true), _WIDTH_BINS)
    gaps = np.add.reduceat(hits - np.take_along_axis(probabilities, order, axis=0), starts, axis=0) / sizes[:, None]
    return float(np.abs(gaps).mean())


def _by_width(confidence: np.ndarray) -> list[np.ndarray]:
    """Rows of each bin ((m - 1) / 15, m / 15] that has any, the lowest first."""
    numbers = np.clip(np.ceil(confidence * _WIDTH_BINS).astype(int) - 1, 0, _WIDTH_BINS - 1)
    return [part for number in range(_WIDTH_BINS) if len(part := np.flatnonzero(numbers == number))]


def _by_teacher(probabilities: np.ndarray, true: np.ndarray, teacher: np.ndarray) -> tuple[TeacherBin, ...]:
    sure = teacher.max(axis=1)
    ours, theirs = probabilities.argmax(axis=1), teacher.argmax(axis=1)
    in_true = probabilities[np.arange(len(true)), true]
    starts, sizes = _equal_parts(len(true), _TEACHER_BINS)
    order = np.argsort(sure, kind="stable")
    columns = np.stack([sure, in_true, ours == true, ours != theirs], axis=1)[order]
    means = np.add.reduceat(columns, starts, axis=0) / sizes[:, None]
    return tuple(
        TeacherBin(
            teacher=_known(mean[0]), true_class=_known(mean[1]), accuracy=_known(mean[2]), flip_share=_known(mean[3]), rows=int(size)
        )
        for mean, size in zip(means, sizes, strict=True)
    )


def _equal_parts(rows: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of at most `parts` runs starts, and how many rows it has: they differ by one at most."""
    starts = np.unique(np.arange(parts) * rows // parts)
    return starts, np.diff([*starts, rows])


def _first_tokens(item: Features) -> dict[int, int]:
    """The position of each word's first token: it is the one that decides."""
    found: dict[int, int] = {}
    for position, word in enumerate(item.words):
        if word is not None:
            found.setdefault(word, position)
    return found


def _of_words(outputs: Outputs, chosen: list[dict[int, int]]) -> np.ndarray:
    return _log_softmax(np.concatenate([output[list(at.values())] for output, at in zip(outputs, chosen, strict=True)]))


def _log_softmax(logits: Outputs | np.ndarray) -> np.ndarray:
    table = np.asarray(logits, dtype=float)
    table = table - table.max(axis=1, keepdims=True)
    return table - np.log(np.exp(table).sum(axis=1, keepdims=True))


def _known(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
