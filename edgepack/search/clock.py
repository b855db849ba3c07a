"""How a search shares out its time: short trials first, and what the packs of the front will need is kept for them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

_SHORT_SHARE = 0.55  # of the time goes to short trials at most
_PACK_TIMES = 3.0  # what a pack takes beside its training, in times of what a trial takes beside its own; until packs were built
_FULL_TIMES = 1.5  # what a step of a full training takes in times of a short one's, for it looks at the dev split; until one was made


@dataclass(frozen=True)
class Spent:
    """What a trial took. work: of its training, texts times weights that multiply. initialization_s: of its student."""

    work: float
    training_s: float
    rest_s: float
    initialization_s: float = 0.0

    @property
    def seconds(self) -> float:
        return self.training_s + self.rest_s + self.initialization_s


@dataclass
class Clock:
    """minutes: until the front is written; None: no limit. trials: what they took. packs_rest_s: what packs took beside their students.

    full_times: what full trainings took, in times of what was expected by the trials' rate. teacher_s: what asking the teacher about all
    rows will take, before the first pack.
    """

    minutes: float | None
    started: float = field(default_factory=time.monotonic)
    trials: list[Spent] = field(default_factory=list)
    packs_rest_s: list[float] = field(default_factory=list)
    full_times: list[float] = field(default_factory=list)
    teacher_s: float = 0.0

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def short_s(self) -> float:
        """Seconds for short trials at most."""
        return float("inf") if self.minutes is None else self.minutes * 60 * _SHORT_SHARE

    @property
    def left_s(self) -> float:
        return float("inf") if self.minutes is None else self.minutes * 60 - self.spent_s

    @property
    def ends_at(self) -> float | None:
        """By time.monotonic(); None: never."""
        return None if self.minutes is None else self.started + self.minutes * 60

    def left(self) -> str:
        """For a line of progress; empty where there is no limit."""
        if self.minutes is None:
            return ""
        return f"; {max(0.0, self.left_s) / 60:.1f} of the search's {self.minutes:g} minutes are left"

    def training_s(self, work: float) -> float:
        """How long a short training of this work takes."""
        rates = [each.training_s / each.work for each in self.trials if each.work > 0]
        return work * median(rates) if rates else 0.0

    @property
    def rest_s(self) -> float:
        """What a trial takes beside its student."""
        return median([each.rest_s for each in self.trials]) if self.trials else 0.0

    @property
    def initialization_s(self) -> float:
        """What making a student takes, before it is trained."""
        return median([each.initialization_s for each in self.trials]) if self.trials else 0.0

    def packs_s(self, works: Sequence[float], packs: int) -> float:
        """What so many packs take, of students with this much work each."""
        times = median(self.full_times) if self.full_times else _FULL_TIMES
        rest_s = median(self.packs_rest_s) if self.packs_rest_s else _PACK_TIMES * self.rest_s
        once_s = self.teacher_s if packs and not self.packs_rest_s else 0.0
        students_s = times * sum(self.training_s(work) for work in works) + len(works) * self.initialization_s
        return students_s + packs * rest_s + once_s

    def took(self, work: float, training_s: float, initialization_s: float, seconds: float) -> None:
        """A pack took so many seconds, these of them for its student and a training of this work; 0 where the student was there already."""
        self.packs_rest_s.append(max(0.0, seconds - training_s - initialization_s))
        expected_s = self.training_s(work)
        if training_s > 0 and expected_s > 0:
            self.full_times.append(training_s / expected_s)

    def goes_on(self, trials: int, reserved_s: float) -> bool:
        """Whether there is time for so many more short trials, with `reserved_s` for what comes after them."""
        if self.minutes is None:
            return True
        if not self.trials:  # no trial has ended well: nothing says how long one takes
            return self.spent_s < self.short_s
        next_s = trials * median([each.seconds for each in self.trials[-8:]])
        return self.left_s > next_s + reserved_s and self.spent_s + next_s < self.short_s
