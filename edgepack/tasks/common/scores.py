"""The records of a judgement: scores with their intervals, calibration, groups. How they are made stands elsewhere."""

from typing import Literal, TypeVar

import numpy as np

from edgepack.core.records import Frozen

Values = TypeVar("Values", float, np.ndarray)  # a metric's value, or one for each resample


class Bin(Frozen):
    """Decisions of like confidence: its mean, and the share of them that is right."""

    confidence: float
    accuracy: float
    rows: int


class TeacherBin(Frozen):
    """Rows of which the teacher was about equally sure. `teacher`: its mean confidence in its own decisions, right or wrong;
    the others are this model's: confidence in the true class, share right, share that differs from the teacher's decision."""

    teacher: float
    true_class: float
    accuracy: float
    flip_share: float
    rows: int


class Calibration(Frozen):
    """`unit` says what is counted: rows, words in tagging (those cut off have no confidence), tokens in generation.

    ece: expected calibration error (Guo 2017), by the decision's confidence in 15 bins of equal width. ace: adaptive
    calibration error (Nixon 2019), over all classes in 15 bins of equal mass; where classes are many most confidences are
    near 0, and it is small. true_class: mean probability of the true class. teacher_kl: mean divergence of this model's
    distribution from the teacher's, in nats. None: the outputs or the teacher at hand do not tell.
    """

    unit: str
    rows: int
    ece: float | None
    ace: float | None
    true_class: float | None
    teacher_kl: float | None
    reliability: tuple[Bin, ...] | None
    by_teacher: tuple[TeacherBin, ...] | None


class Score(Frozen):
    """A metric with its 95 % bootstrap interval over rows (Efron 1979, percentile method). Accuracy and F1 lie in 0 to 1."""

    metric: str
    value: float
    low: float
    high: float
    rows: int

    @property
    def lower_is_better(self) -> bool:
        """Whether a lower value of the metric is a better one."""
        return lower_is_better(self.metric)

    def drop_from(self, teacher: "Score") -> float:
        """Points lost against the teacher, 0 to 100; for perplexity and its like per cent gained. Negative where it is better."""
        return points_lost(self.metric, self.value, teacher.value)


def points_lost(metric: str, value: Values, teacher: Values) -> Values:
    """Points that values of a metric lose to the teacher's, one each: see `Score.drop_from`."""
    lost: Values = value / teacher - 1 if lower_is_better(metric) else teacher - value
    return lost * 100


def lower_is_better(metric: str) -> bool:
    """Whether the task that is judged by this metric says so."""
    from edgepack.tasks import all_tasks

    return any(task.lower_is_better for task in all_tasks() if task.metric == metric)


class GroupScore(Frozen):
    """One class, entity type or language of the test split; `rows`: how many of it there are."""

    kind: Literal["class", "entity type", "group"]
    name: str
    metric: str
    value: float
    rows: int


class Flip(Frozen):
    """A row of the test split that the teacher answers rightly and this model does not: its text, cut after 160 characters, and answers."""

    text: str
    truth: str
    teacher: str
    shipped: str


class Confusion(Frozen):
    """Rows of one class that were decided as another."""

    truth: str
    decided: str
    rows: int


class Quality(Frozen):
    """All that the test split tells of one model. None, or no groups: this task, these rows or a missing teacher cannot tell."""

    score: Score | None = None
    second: Score | None = None
    further: tuple[Score, ...] = ()  # of a task with more than two metrics
    flip_share: float | None = None  # decisions that differ from the teacher's: by row, or by word or token where a row has many
    calibration: Calibration | None = None
    groups: tuple[GroupScore, ...] = ()  # the worst first
    flips: tuple[Flip, ...] = ()  # the first ones of the split
    confusions: tuple[Confusion, ...] = ()  # the most frequent first


UNKNOWN = Quality()
