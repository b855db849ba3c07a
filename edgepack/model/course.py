"""How long a training lasts where no epochs are stated: as long as it comes nearer to the teacher, at rates that fall.

The learning rate warms up and falls in a straight line that would reach 0 at the most steps. Once the distance on the dev split has stopped
falling, it falls to 0 faster, so that a training that is over early gets its end as well. A rate that stays until then (warm-up, stable,
decay: Hu 2024, "MiniCPM") was measured beside it: the distance at the end was larger by a quarter (benchmarks/RESULTS.md, Defaults).
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

_EPOCHS = 8  # over the texts make the most steps,
_FEWEST_STEPS, _MOST_STEPS = 1500, 4000  # but within these, unless a single pass is more
_WARM_UP_STEPS = 60
_CHECKS = 30  # over the most steps
_PATIENCE, _PATIENCE_STEPS = 6, 144  # checks, and the steps that they span at least: over fewer a start that is slow looks like an end
_PROGRESS, _LEAST_PROGRESS = 0.02, 0.001  # of the distance within the patience: a share, and in the unit of the loss
_END = 0.3  # steps at rates that fall faster, as a share of those before them
RANGE = (1e-4, 3e-4, 1e-3)  # learning rates that a short test tries
RANGE_STEPS = 25
SHORT_RATE = 3e-4  # of a training that is too short for the test: over few steps it brings students nearer than 1e-4 does
# A higher rate is taken where it leaves less than this share of a lower one's distance: its lead is one of the first steps. Students of
# MiniLM that were trained to their end at 1e-4, and at the rate that had led after 25 steps, ended nearer by 1e-4 (RESULTS.md, Defaults).
_CLEARLY_NEARER = 0.4


@dataclass
class Course:
    """The state of such a training. distances: to the teacher on the dev split, at each check. falls_from: the step where rates begin to
    fall faster.

    climbing: the distance still fell when the most steps were over.
    """

    most: int
    distances: list[float] = field(default_factory=list)
    falls_from: int | None = None
    climbing: bool = False

    @property
    def check_steps(self) -> int:
        return max(10, math.ceil(self.most / _CHECKS))

    @property
    def last(self) -> int:
        """The step after which it ends."""
        if self.falls_from is None:
            return self.most
        return min(self.most, self.falls_from + max(self.check_steps, math.ceil(_END * self.falls_from)))

    def rate(self, step: int) -> float:
        """Of the learning rate, from 0 to 1."""
        warm = min(1.0, (step + 1) / min(_WARM_UP_STEPS, max(1, self.most // 10)))
        if self.falls_from is None or step < self.falls_from:
            return warm * (1 - step / self.most)
        return warm * (1 - self.falls_from / self.most) * max(0.0, 1 - (step - self.falls_from) / max(1, self.last - self.falls_from))

    def should_fall(self, step: int, distance: float | None) -> bool:
        """Whether the rates should fall faster from this step on, after a check there. distance: None without anything to check by."""
        if distance is not None:
            self.distances.append(distance)
        if self.falls_from is not None:
            return False
        return self._is_level or step >= self.most

    def fall(self, step: int) -> None:
        self.falls_from, self.climbing = step, bool(self.distances) and not self._is_level

    @property
    def _is_level(self) -> bool:
        patience = max(_PATIENCE, math.ceil(_PATIENCE_STEPS / self.check_steps))
        if len(self.distances) <= patience:
            return False
        before, since = min(self.distances[:-patience]), min(self.distances[-patience:])
        return before - since < max(_PROGRESS * before, _LEAST_PROGRESS)

    def state(self) -> dict[str, Any]:
        """For a checkpoint; see `restore`."""
        return asdict(self)

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def most_steps(texts: int, batch_rows: int, share: float = 1.0) -> int:
    """The longest that a training by need may last. share: of it, where a plan has several trainings."""
    a_pass = -(-texts // batch_rows)
    wanted = max(a_pass, min(_MOST_STEPS, max(_FEWEST_STEPS, _EPOCHS * a_pass)))
    return max(10, round(wanted * share))


def best_rate(distances: dict[float, float]) -> float:
    """The learning rate with the least distance after the same few steps; of two that are alike the lower one."""
    best = RANGE[0]
    for rate in RANGE[1:]:
        lower, higher = distances[best], distances[rate]
        if not math.isfinite(lower) or higher < _CLEARLY_NEARER * lower:
            best = rate
    return best
