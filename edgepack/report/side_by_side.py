"""One pack on several targets, side by side: what each measured, and which of them failed and why."""

from collections.abc import Sequence

from edgepack.errors import EdgepackError
from edgepack.frozen import Frozen
from edgepack.measure.machine import Pushed
from edgepack.measure.measurement import Measurement, headline_length
from edgepack.measure.ops import OpProfile
from edgepack.measure.targets import LOCAL, Target
from edgepack.pack import Manifest
from edgepack.report.judge import Report, TargetRow, headline_latency, judge, measured_here


class Outcome(Frozen):
    """What came of one target: a measurement, or a failure with its way out. golden_difference: None where it was not asked for."""

    target: Target
    measurement: Measurement | None = None
    ops: OpProfile | None = None
    golden_difference: float | None = None
    pushed: Pushed | None = None
    failure: str | None = None
    fix: str | None = None


def judge_targets(manifest: Manifest, outcomes: Sequence[Outcome]) -> Report:
    """The device judges where one of the targets is it, else the first that was measured; all stand in the report.

    EdgepackError where every target failed: there is nothing to report then.
    """
    measured = [one for one in outcomes if one.measurement]
    if not measured and len(outcomes) == 1:
        raise EdgepackError(outcomes[0].failure, outcomes[0].fix)
    if not measured:
        told = "; ".join(f"{one.target.name}: {one.failure}" for one in outcomes)
        raise EdgepackError(f"no target could measure the pack. {told}", outcomes[0].fix or "mend what is said above")
    first = next((one for one in measured if one.measurement.is_the_device), measured[0])
    only_here = [one.target for one in outcomes] == [LOCAL]
    update = {
        "ops": first.ops,
        "targets": () if only_here else tuple(_row(manifest, one) for one in outcomes),
        "other_measurements": tuple(one.measurement for one in measured if one is not first),
    }
    return judge(manifest, first.measurement).model_copy(update=update)


def _row(manifest: Manifest, outcome: Outcome) -> TargetRow:
    target, measurement = outcome.target, outcome.measurement
    if measurement is None:
        return TargetRow(target=target.name, address=target.address, failure=outcome.failure, fix=outcome.fix)
    found = measured_here(manifest, measurement)
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
        origin="measured",
        **found,
    )
