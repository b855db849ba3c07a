"""A trial as the study holds it: what was asked, what came out, and what it costs by the newest predictions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgepack.search.candidates import COSTS, Candidate, Factors
from edgepack.search.front import Kind
from edgepack.search.study import Finished, Study
from edgepack.search.trials import Outcome

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

WORST_DROP = 25.0  # points lost at which a model is worth nothing, for the hypervolume


@dataclass(frozen=True)
class Asked:
    """A trial that is to run. ruled_out: candidates that were drawn for it before, and refused by their predictions."""

    number: int
    kind: Kind
    name: str
    trial: "BaseTrial"
    candidate: Candidate
    ruled_out: int


@dataclass(frozen=True)
class Row:
    """A finished trial. costs: predicted, and corrected by what a target measured; but file_mb where a file was written.

    values: points lost, latency and file, each to be as low as possible.
    """

    number: int
    kind: Kind
    name: str
    settings: dict[str, Any]
    outcome: Outcome
    costs: dict[str, float]
    values: tuple[float, ...]
    ruled_out: int


def record(study: Study, asked: Asked, outcome: Outcome) -> dict[str, float]:
    """Writes the trial into the study, with the costs as they are predicted without corrections, and returns those."""
    predicted = asked.candidate.plan.predictions
    costs = {name: getattr(predicted, name) for name in COSTS}
    if outcome.file_mb is not None:
        costs["file_mb"] = outcome.file_mb
    drop = outcome.score_drop
    values = None if outcome.failure is not None or drop is None else (drop, costs["latency_ms"], costs["file_mb"])
    notes = {
        "kind": asked.kind,
        "name": asked.name,
        "settings": asked.candidate.settings,
        "outcome": outcome.as_json(),
        "costs": costs,
        "ruled_out": asked.ruled_out,
    }
    study.record(asked.number, asked.trial, values, notes)
    return costs


def rows_of_study(study: Study, factors: Factors) -> list[Row]:
    """All trials that have ended, by their numbers."""
    return [_row(trial, factors) for trial in study.finished()]


def _row(trial: Finished, factors: Factors) -> Row:
    notes = trial.notes
    outcome = Outcome.read(notes["outcome"], "the study")
    costs = {name: value * _factor(name, factors, outcome) for name, value in notes["costs"].items()}
    drop = WORST_DROP if trial.values is None else trial.values[0]
    values = (drop, costs["latency_ms"], costs["file_mb"])
    return Row(trial.number, notes["kind"], notes["name"], notes["settings"], outcome, costs, values, notes["ruled_out"])


def _factor(name: str, factors: Factors, outcome: Outcome) -> float:
    is_written = name == "file_mb" and outcome.file_mb is not None
    return 1.0 if is_written else float(getattr(factors, name))
