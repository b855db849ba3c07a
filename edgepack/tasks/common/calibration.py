"""Whether a model's confidence can be believed: calibration errors, the confidence in the true class, and what became of the
rows that the teacher was sure or unsure of. Quantization is known to hurt the latter first (Proskurina 2024)."""

from collections.abc import Sequence

import numpy as np

from edgepack.tasks.common.scores import Bin, Calibration, TeacherBin

_WIDTH_BINS = 15  # as Guo 2017
_TEACHER_BINS = 10


def calibrate(log_probabilities: np.ndarray, truth: np.ndarray, teacher: np.ndarray | None, unit: str = "rows") -> Calibration | None:
    """log_probabilities, teacher: [rows, classes], natural logarithms; truth: [rows], class ids. None where not all are numbers."""
    if not np.isfinite(log_probabilities).all():
        return None
    probabilities = np.exp(log_probabilities)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    in_true = probabilities[np.arange(len(truth)), truth]
    return Calibration(
        unit=unit,
        rows=len(truth),
        ece=known(expected_calibration_error(confidence, right)),
        ace=known(adaptive_calibration_error(probabilities, truth)),
        true_class=known(in_true.mean()),
        teacher_kl=None if teacher is None else known((np.exp(teacher) * (teacher - log_probabilities)).sum(axis=1).mean()),
        reliability=tuple(
            Bin(confidence=rounded(confidence[part].mean()), accuracy=rounded(right[part].mean()), rows=len(part))
            for part in _by_width(confidence)
        ),
        by_teacher=None if teacher is None else _by_teacher(probabilities, truth, np.exp(teacher)),
    )


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Guo, Pleiss, Sun and Weinberger 2017, equation 3: the bins' gaps between accuracy and confidence, weighted by rows."""
    gaps = [len(part) * abs(right[part].mean() - confidence[part].mean()) for part in _by_width(confidence)]
    return float(sum(gaps) / len(confidence))


def adaptive_calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Nixon et al. 2019, section 3.2: for each class its probabilities in bins of equally many rows, all gaps averaged.

    Rows of equal probability stay in the data's order.
    """
    order = np.argsort(probabilities, axis=0, kind="stable")
    hits = truth[order] == np.arange(probabilities.shape[1])
    starts, sizes = _equal_parts(len(truth), _WIDTH_BINS)
    gaps = np.add.reduceat(hits - np.take_along_axis(probabilities, order, axis=0), starts, axis=0) / sizes[:, None]
    return float(np.abs(gaps).mean())


def _by_width(confidence: np.ndarray) -> list[np.ndarray]:
    """Rows of each bin ((m - 1) / 15, m / 15] that has any, the lowest first."""
    numbers = np.clip(np.ceil(confidence * _WIDTH_BINS).astype(int) - 1, 0, _WIDTH_BINS - 1)
    return [part for number in range(_WIDTH_BINS) if len(part := np.flatnonzero(numbers == number))]


def _by_teacher(probabilities: np.ndarray, truth: np.ndarray, teacher: np.ndarray) -> tuple[TeacherBin, ...]:
    sure = teacher.max(axis=1)
    ours, theirs = probabilities.argmax(axis=1), teacher.argmax(axis=1)
    in_true = probabilities[np.arange(len(truth)), truth]
    starts, sizes = _equal_parts(len(truth), _TEACHER_BINS)
    order = np.argsort(sure, kind="stable")
    columns = np.stack([sure, in_true, ours == truth, ours != theirs], axis=1)[order]
    means = np.add.reduceat(columns, starts, axis=0) / sizes[:, None]
    figures = [tuple(rounded(value) for value in mean) for mean in means]
    return tuple(
        TeacherBin(teacher=teacher_mean, true_class=true_class, accuracy=accuracy, flip_share=flipped, rows=int(size))
        for (teacher_mean, true_class, accuracy, flipped), size in zip(figures, sizes, strict=True)
    )


def _equal_parts(rows: int, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each of at most `parts` runs starts, and how many rows it has: they differ by one at most."""
    starts = np.unique(np.arange(parts) * rows // parts)
    return starts, np.diff([*starts, rows])


def log_softmax(logits: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Natural logarithms of probabilities, [rows, classes], in float64."""
    table = np.asarray(logits, dtype=float)
    table = table - table.max(axis=1, keepdims=True)
    logs: np.ndarray = table - np.log(np.exp(table).sum(axis=1, keepdims=True))
    return logs


def known(value: float) -> float | None:
    """A figure of a record: six digits, and None where it is not a number."""
    return rounded(value) if np.isfinite(value) else None


def rounded(value: float) -> float:
    """The value with six digits behind the point, as records keep it."""
    return round(float(value), 6)
