"""The study of a search: optuna's, in a SQLite file. It holds finished trials only, so that whoever is killed repeats none of them.

What a trial tries follows from the seed, the trial's number and the trials of earlier generations alone. So a search that was stopped
and goes on, and one with more workers, try the same candidates.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgepack.core.errors import EdgepackError

if TYPE_CHECKING:
    import optuna

SamplerName = Literal["tpe", "nsga2", "random"]
_STARTUP = 10  # trials that are drawn evenly before a sampler learns from them
_ATTEMPTS = 400  # draws for one trial: a prediction costs nothing


@dataclass(frozen=True)
class Finished:
    """A trial that has ended. values: to be as low as possible; None where it failed."""

    number: int
    params: dict[str, Any]
    values: tuple[float, ...] | None
    notes: dict[str, Any]


@dataclass
class Study:
    """Trials in the order of their numbers. sampler: what draws those that are not first points."""

    inner: "optuna.Study"
    directions: int
    sampler: SamplerName
    seed: int
    generation: int

    def finished(self) -> list[Finished]:
        trials = sorted(self.inner.get_trials(deepcopy=False), key=lambda trial: trial.user_attrs["number"])
        return [
            Finished(
                trial.user_attrs["number"],
                dict(trial.params),
                tuple(trial.values) if trial.values is not None else None,
                dict(trial.user_attrs["notes"]),
            )
            for trial in trials
        ]

    def next_number(self) -> int:
        """The number of the trial that comes next: the first that no finished trial has."""
        numbers = {trial.user_attrs["number"] for trial in self.inner.get_trials(deepcopy=False)}
        return next(number for number in range(len(numbers) + 1) if number not in numbers)

    def record(self, number: int, asked: "optuna.trial.BaseTrial", values: Sequence[float] | None, notes: dict[str, Any]) -> None:
        """Writes a finished trial, whole or not at all."""
        from optuna.trial import TrialState, create_trial

        attributes = {"number": number, "notes": notes}
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        self.inner.add_trial(
            create_trial(
                state=state, values=None if values is None else list(values), params=asked.params, distributions=asked.distributions,
                user_attrs=attributes, system_attrs=_sampler_notes(asked),
            )
        )  # fmt: skip

    def ask(self, number: int, suggest: Callable[["optuna.Trial"], Any], kind: SamplerName | None = None) -> Iterator["optuna.Trial"]:
        """Draws for this trial, one after the other, each another: the caller takes the first that is allowed."""
        import optuna

        known = [trial for trial in self.inner.get_trials(deepcopy=False) if trial.user_attrs["number"] < self.first_of_generation(number)]
        known.sort(key=lambda trial: trial.user_attrs["number"])
        memory = optuna.create_study(directions=["minimize"] * self.directions)
        memory.add_trials(known)
        for attempt in range(_ATTEMPTS):
            digest = sha256(f"{self.seed} {number} {attempt}".encode()).digest()
            # A sampler that keeps drawing what is refused has nothing left to say: the later half is drawn evenly.
            name = kind or (self.sampler if attempt < _ATTEMPTS // 2 else "random")
            memory.sampler = _sampler(name, int.from_bytes(digest[:4], "big"))
            trial = memory.ask()
            suggest(trial)
            yield trial

    def note(self, name: str, content: dict[str, Any]) -> None:
        """Keeps what belongs to no single trial."""
        self.inner.set_user_attr(name, content)

    def noted(self, name: str) -> dict[str, Any]:
        """What was noted under this name; empty where nothing was."""
        return dict(self.inner.user_attrs.get(name, {}))

    def first_of_generation(self, number: int) -> int:
        """The first number of a trial's generation."""
        return number // self.generation * self.generation

    def importances(self, of: int) -> dict[str, float]:
        """How much of the differences in a value each parameter explains (fANOVA, Hutter 2014). Empty: too few trials."""
        import optuna
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        complete = [trial for trial in self.inner.get_trials(deepcopy=False) if trial.values is not None]
        complete.sort(key=lambda trial: trial.user_attrs["number"])
        names = {name for trial in complete for name in trial.params}
        names = {name for name in names if all(name in trial.params for trial in complete)}
        if len(complete) < _STARTUP or not names or len({trial.values[of] for trial in complete}) < 2:
            return {}
        with quiet_optuna():
            evaluator = FanovaImportanceEvaluator(seed=0)
            memory = optuna.create_study(directions=["minimize"] * self.directions)
            memory.add_trials(complete)
            return get_param_importances(memory, evaluator=evaluator, params=sorted(names), target=lambda trial: trial.values[of])


def check_optuna() -> None:
    """EdgepackError: optuna, or what it needs to say which settings mattered, is not installed."""
    for name in ("optuna", "sklearn"):
        try:
            import_module(name)
        except ImportError:
            raise EdgepackError(f"a search needs {name}, which is not installed", "pip install 'edgepack[search]'") from None


def open_study(path: Path, directions: int, sampler: SamplerName, seed: int, generation: int) -> Study:
    """The study in the file, new or with the trials that an earlier run has finished."""
    import optuna
    from sqlalchemy import URL

    path.parent.mkdir(parents=True, exist_ok=True)
    storage = URL.create("sqlite", database=str(path)).render_as_string()  # in a URL, ?, # and % of a path are no part of it
    with quiet_optuna():
        inner = optuna.create_study(storage=storage, study_name="search", load_if_exists=True, directions=["minimize"] * directions)
    return Study(inner, directions, sampler, seed, generation)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Without optuna's lines about each trial, and without its notices of what may change one day."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _sampler_notes(asked: "optuna.trial.BaseTrial") -> dict[str, Any]:
    """What the sampler keeps with a trial, as the generation that NSGA-II drew it for. A point that no sampler drew has none."""
    import optuna

    return asked.storage.get_trial_system_attrs(asked._trial_id) if isinstance(asked, optuna.Trial) else {}


def _sampler(name: SamplerName, seed: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

    match name:
        case "tpe":
            return TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True, group=True, constant_liar=False)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=_STARTUP)
        case "random":
            return RandomSampler(seed=seed)
