"""One pack on several targets: what each measured or emulated, and which failed and why."""

from collections.abc import Sequence
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.core.showing import message_without_folders
from edgepack.measure.emulation import Emulation
from edgepack.measure.machines.machine import Pushed
from edgepack.measure.machines.targets import LOCAL, Target
from edgepack.measure.measurement import Measurement, headline_length
from edgepack.measure.ops import OpProfile
from edgepack.pack.manifest import Manifest
from edgepack.plan.runtime import facts_in_python
from edgepack.report.figures import headline_latency, measured_here
from edgepack.report.judge import judge
from edgepack.report.records import Report, TargetRow


class Outcome(Frozen):
    """What came of one target: a measurement, an emulation, or a failure with its way out.

    golden_difference: None where it was not asked for.
    """

    target: Target
    measurement: Measurement | None = None
    emulation: Emulation | None = None
    ops: OpProfile | None = None
    golden_difference: float | None = None
    pushed: Pushed | None = None
    failure: str | None = None
    fix: str | None = None


def judge_targets(manifest: Manifest, outcomes: Sequence[Outcome], pack: Path) -> Report:
    """The device judges, where one of the targets is the device; else the first that was measured. The report holds all of them.

    An emulated target judges nothing. pack: its folder, which a failure in the report names without those above it. EdgepackError: every
    target failed, so there is nothing to report.
    """
    measured = [(outcome, outcome.measurement) for outcome in outcomes if outcome.measurement]
    emulations = tuple(outcome.emulation for outcome in outcomes if outcome.emulation)
    if not measured and not emulations:
        raise _nothing_measured(outcomes)
    judging = next((pair for pair in measured if pair[1].is_the_device), measured[0] if measured else None)
    outcome, measurement = judging or (None, None)
    only_here = [outcome.target for outcome in outcomes] == [LOCAL]
    update = {
        "ops": outcome.ops if outcome else None,
        "targets": () if only_here else tuple(_row(manifest, outcome, pack) for outcome in outcomes),
        "other_measurements": tuple(other for _, other in measured if other is not measurement),
        "emulations": emulations,
    }
    return judge(manifest, measurement).model_copy(update=update)


def _nothing_measured(outcomes: Sequence[Outcome]) -> EdgepackError:
    fix = outcomes[0].fix or "correct what the message above names"
    if len(outcomes) == 1:
        return EdgepackError(outcomes[0].failure or f"{outcomes[0].target.name} could not measure the pack", fix)
    failures = "; ".join(f"{outcome.target.name}: {outcome.failure}" for outcome in outcomes)
    return EdgepackError(f"no target could measure the pack. {failures}", fix)


def _row(manifest: Manifest, outcome: Outcome, pack: Path) -> TargetRow:
    target, measurement = outcome.target, outcome.measurement
    if outcome.emulation:
        return _emulated_row(manifest, target, outcome.emulation)
    if measurement is None:
        failure, fix = (message_without_folders(text or "", (pack, *target.files)) or None for text in (outcome.failure, outcome.fix))
        return TargetRow(target=target.name, address=target.address, failure=failure, fix=fix)
    here = measured_here(manifest, measurement)
    runtime = measurement.environment["runtime"]
    row = headline_latency(measurement, headline_length(manifest))
    return TargetRow(
        target=target.name,
        address=target.address,
        where=measurement.where,
        is_the_device=measurement.is_the_device,
        runtime=f"{runtime['name']} {runtime['version']}",
        length=row.length if row else None,
        threads=row.threads if row else None,
        median_ms=row.summary.p50 if row else None,
        interval_ms=row.summary.interval if row else None,
        steady=row.summary.steady if row else None,
        golden_difference=outcome.golden_difference,
        pushed_mb=outcome.pushed.mb if outcome.pushed else None,
        latency_ms=here["latency_ms"],
        load_ms=here["load_ms"],
        ram_mb=here["ram_mb"],
        origin="measured",
    )


def _emulated_row(manifest: Manifest, target: Target, emulation: Emulation) -> TargetRow:
    """The row fails where the runtime crashes, and where the pack gives other answers than when it was built."""
    failure, fix = (emulation.crash.problem, emulation.crash.fix) if emulation.crash else (None, None)
    if emulation.golden and not emulation.golden.within:
        saturation = emulation.saturation if emulation.saturation and emulation.saturation.found else None
        runtime = manifest.plan.runtime
        stand_in = f", where another runtime replaced {runtime}" if facts_in_python(runtime).package not in manifest.versions else ""
        why = ", because int8 sums saturate on it" if saturation else stand_in
        decided = emulation.golden.decided_otherwise
        failure = (
            f"the pack gives other answers on an emulated {emulation.cpu} than when it was built{why}: outputs differ by "
            f"{emulation.golden.largest_difference:.3g} (limit {emulation.golden.tolerance:g})"
            + ("" if decided is None else f", and {decided} of {emulation.golden.texts} texts get another decision")
        )
        fix = saturation.way_out if saturation else "check whether a real CPU of this kind answers so too, and build with its profile"
    return TargetRow(
        target=target.name,
        address=target.address,
        where=emulation.where,
        is_the_device=False,
        runtime=f"{emulation.runtime['name']} {emulation.runtime['version']}",
        golden_difference=emulation.golden.largest_difference if emulation.golden else None,
        emulated=emulation.in_words(),
        failure=failure,
        fix=fix,
        origin=emulation.origin,
    )
