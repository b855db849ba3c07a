"""What report.json holds: checks of budgets, contenders, targets, and the report itself. Records alone; judge.py fills them."""

from typing import Final, Literal

from pydantic import Field

from edgepack.core.records import Frozen
from edgepack.measure.emulation import Emulation
from edgepack.measure.measurement import Measurement
from edgepack.measure.ops import OpProfile
from edgepack.pack.manifest import Continuation, StageRecord
from edgepack.plan.budget_words import BudgetName
from edgepack.plan.prediction import Prediction
from edgepack.plan.runtime import Format
from edgepack.plan.steps import Step
from edgepack.report.baseline import Baseline

SCHEMA: Final = 3
Verdict = Literal["fits", "over budget", "not measured"]
Origin = Literal["measured", "predicted"]
TileName = Literal["file_mb", "latency_ms", "ram_mb", "score_drop"]
Holds = Literal["yes", "no", "likely", "unlikely", "unknown"]


class Check(Frozen):
    """One budget. ok is None where nothing is known; origin is that of `actual`; `here` is what this machine measured.

    margin: share of the limit that is left, below 0 where it is exceeded; next_step: what to try then. holds: `likely` and `unlikely`
    where a prediction is nearer to the limit than such predictions were off (or where nobody has measured how far off they are).
    """

    name: BudgetName
    limit: float
    actual: float | None
    ok: bool | None
    origin: Origin | None
    where: str
    here: float | None
    margin: float | None = None
    next_step: str | None = None
    next_flags: str | None = None  # of `edgepack build`, for that step
    holds: Holds = "unknown"


class Tile(Frozen):
    """One figure of the first screen: the pack's, and before it the teacher's as it came, in fp32.

    error: the share by which such predictions were off on average; null where the figure was measured, or where nobody knows.
    times: how often the pack's figure goes into the teacher's. Both are then of one origin, `times_origin`: a measured time is never
    divided by a predicted one. what: how the figure is meant, in words.
    """

    name: TileName
    value: float | None
    origin: Origin | None
    where: str
    error: float | None
    before: float | None
    before_origin: Origin | None
    times: float | None
    times_origin: Origin | None
    what: str
    limit: float | None
    holds: Holds | None


class Contender(Frozen):
    """One format's pack. latency_ms: p90; median_ms: p50 of the same runs; over: budgets that it exceeds, with how often.

    Where a budget is 0, `over` has the figure itself.
    """

    format: Format
    runtime: str
    precision: str
    pack_id: str
    file_mb: float
    score: float | None
    score_drop: float | None
    latency_ms: float | None
    median_ms: float | None
    load_ms: float | None
    ram_mb: float | None
    over: dict[str, float]
    shipped: bool = False
    where: str
    origin: str = "measured"


class TargetRow(Frozen):
    """One target that was asked to measure the pack. latency_ms: p90, as the budget means; failure: why there are no figures."""

    target: str
    address: str
    where: str | None = None
    is_the_device: bool | None = None
    runtime: str | None = None
    length: int | None = None
    threads: int | None = None
    median_ms: float | None = None
    interval_ms: tuple[float, float] | None = None
    steady: bool | None = None
    latency_ms: float | None = None
    load_ms: float | None = None
    ram_mb: float | None = None
    golden_difference: float | None = None  # of the pack's answers there from those it was built with
    pushed_mb: float | None = None
    emulated: str | None = None  # what one tells that cannot be timed, in words: no time and no memory
    failure: str | None = None
    fix: str | None = None
    origin: Literal["measured", "emulated", "null"] | None = None


class Report(Frozen):
    """report.json. Schema 2 added `holds` to a check, schema 3 the first screen (model, date, doubts, tiles, next_command) and figures of
    coded weights. Older ones are still read: they say `unknown` there, and have no tiles.
    """

    schema_version: Literal[1, 2, 3] = Field(default=SCHEMA, alias="schema")
    model: str | None = None
    date: str | None = None  # the day that the report was written on, UTC, as 2026-11-26
    verdict: Verdict
    headline: str
    summary: str = ""  # the verdict in one plain sentence
    doubts: tuple[str, ...] = ()  # about the training, a sentence each
    tiles: tuple[Tile, ...] = ()
    next_command: str | None = None  # PACK stands for the pack's folder
    pack_id: str
    profile: str
    device: str
    task: str
    precision: str
    checks: tuple[Check, ...]
    ladder: tuple[StageRecord, ...]
    data_sha256: str | None = None  # of the data that the ladder's scores are of
    steps: tuple[Step, ...]
    predictions: Prediction
    measurements: Measurement | None
    environment: dict[str, object]
    files_mb: dict[str, float]
    notes: tuple[str, ...]
    facts: tuple[str, ...] = ()  # of the pack itself, for the first screen
    continuations: tuple[Continuation, ...] = ()  # of a decoder: what it wrote before and after
    ops: OpProfile | None = None  # where `edgepack measure --ops` looked
    formats: tuple[Contender, ...] = ()  # where both were built: this pack and the one that it was compared with
    formats_why: str | None = None
    targets: tuple[TargetRow, ...] = ()  # where `edgepack measure --on` asked several, or another machine than this
    other_measurements: tuple[Measurement, ...] = ()  # of the targets beside the one in `measurements`
    baseline: Baseline | None = None  # where `edgepack measure --baseline` compared it with an older report
    emulations: tuple[Emulation, ...] = ()  # of the targets that were emulated: none of them judges a budget

    @property
    def exit_code(self) -> int:
        """0: nothing is over budget. 2: over one, worse than the baseline allows, or more ran on the CPU than --max-fallback allows.

        1: a target that was asked could not measure, or a quick run beside other work was asked to be a gate.
        """
        if self.verdict == "over budget" or (self.baseline and self.baseline.worse) or (self.ops and self.ops.exceeds):
            return 2
        is_gate = self.baseline is not None or any(check.holds == "unknown" and check.actual is not None for check in self.checks)
        proves_nothing = is_gate and any(measurement.proves_nothing for measurement in self._all_measurements)
        return 1 if proves_nothing or any(row.failure for row in self.targets) else 0

    @property
    def _all_measurements(self) -> tuple[Measurement, ...]:
        return (*((self.measurements,) if self.measurements else ()), *self.other_measurements)
