"""What a search is asked for, beside the recipe and the profile."""

from math import inf
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.measure.machines.targets import Target
from edgepack.measure.measurement import QUICK, Effort
from edgepack.search.front import check_pick
from edgepack.search.study import SamplerName

DEFAULT_TRIALS = 32


class SearchWish(Frozen):
    """trials: short trainings at most; None: as many as the time allows. minutes: until the front is written; None: no limit.

    generation: trials that are drawn together; with as many workers they run together. ray: the address of a Ray cluster whose
    machines run the trials. shared_training: trials are parts of one model that is trained once. packs: of the front. space: the
    TOML file that narrows what varies. target: what measures the packs; None: nothing does, and their figures are predicted.
    pick: see front.pick. profile_file: where the profile is no shipped one, the path of its file, for the recipes of the front.
    """

    trials: int | None = None
    minutes: float | None = None
    sampler: SamplerName = "tpe"
    generation: int = 4
    workers: int = 1
    ray: str | None = None
    shared_training: bool = False
    packs: int = 8
    space: Path | None = None
    target: Target | None = None
    effort: Effort = QUICK
    pick: str | None = None
    profile_file: str | None = None

    def checked(self) -> "SearchWish":
        """With a number of trials where neither that nor a time is given. EdgepackError: a number that makes no sense."""
        for name, value in {"--trials": self.trials, "--minutes": self.minutes, "--packs": self.packs, "--workers": self.workers}.items():
            _check(name, value, value)
        if self.generation < 1:
            raise EdgepackError(f"--generation {self.generation}: a generation has at least one trial", "give 1 or more")
        check_pick(self.pick)
        return self if self.trials or self.minutes else self.model_copy(update={"trials": DEFAULT_TRIALS})


def minutes_of(hours: float | None) -> float | None:
    """EdgepackError: a number of hours that makes no sense, by the flag that states it."""
    minutes = None if hours is None else hours * 60
    _check("--hours", hours, minutes)
    return minutes


def _check(flag: str, stated: float | None, counted: float | None) -> None:
    if stated is not None and counted is not None and not 0 < counted < inf:
        raise EdgepackError(f"{flag} {stated:g} is no limit that a search can keep", f"give {flag} a number above 0, or leave it out")
