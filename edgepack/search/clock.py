"""How a search shares out its time: short trials first, and what the packs of the front will need is kept for them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

_SHORT_SHARE = 0.55  # of the time goes to short trials at most
_PACK_TIMES = 3.0  # what a pack takes beside its training, in times of what a trial takes beside its own


@dataclass
class Clock:
    """minutes: until the front is written; None: no limit. short: (texts that a trial trained on, its seconds)."""

    minutes: float | None
    started: float = field(default_factory=time.monotonic)
    short: list[tuple[float, float]] = field(default_factory=list)

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

    def took(self, work: float, seconds: float) -> None:
        """A trial's work (texts times weights that multiply) and its seconds."""
        self.short.append((work, seconds))

    def training_s(self, work: float) -> float:
        """How long a training of this work takes."""
        rates = [(seconds - self.overhead_s) / done for done, seconds in self.short if done > 0 and seconds > self.overhead_s]
        return work * median(rates) if rates else 0.0

    @property
    def overhead_s(self) -> float:
        """What the quickest trial took: export, rounding, judging."""
        return min((seconds for _, seconds in self.short), default=0.0)

    def packs_s(self, works: Sequence[float], packs: int) -> float:
        """What so many packs take, of students with this much work each."""
        return sum(self.training_s(work) for work in works) + packs * _PACK_TIMES * self.overhead_s

    def goes_on(self, trials: int, reserved_s: float) -> bool:
        """Whether there is time for so many more short trials, with `reserved_s` for what comes after them."""
        if self.minutes is None:
            return True
        if not self.short:  # no trial has ended well: nothing says how long one takes
            return self.spent_s < self.short_s
        next_s = trials * max(seconds for _, seconds in self.short[-8:])
        return self.left_s > next_s + reserved_s and self.spent_s + next_s < self.short_s
