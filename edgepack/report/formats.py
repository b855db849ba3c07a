"""Two packs of one model in two formats, side by side: which meets the budgets better, by what was measured on one machine."""

from collections.abc import Sequence

from edgepack.measure.measurement import Measurement
from edgepack.pack.manifest import Manifest
from edgepack.report.judge import headline_latency, measured_here
from edgepack.report.records import Contender, Report


def compare(packs: Sequence[tuple[Manifest, Report]]) -> tuple[int, tuple[Contender, ...], str]:
    """The index of the better pack, all of them, and why. Fewest budgets exceeded, then the least excess, then the faster.

    All times and memory are those of the machine that measured both, which need not be the device: the origin of the file's
    size and of the score is the same for every machine.
    """
    found = [_contender(manifest, report, report.measurements) for manifest, report in packs]
    best = min(range(len(found)), key=lambda index: rank(found[index]))
    told = tuple(one.model_copy(update={"shipped": index == best}) for index, one in enumerate(found))
    return best, told, reason(told[best], min((one for one in told if not one.shipped), key=rank))


def _contender(manifest: Manifest, report: Report, measurement: Measurement) -> Contender:
    row = headline_latency(measurement, min(manifest.recipe.length, manifest.max_length))
    here = measured_here(manifest, measurement)
    last = manifest.ladder[-1]
    values = here | {"file_mb": round(manifest.file_mb, 3), "score_drop": last.score_drop}
    over = {
        name: round(value / limit, 3) if limit else value
        for name, limit in manifest.plan.budget.model_dump(exclude_none=True).items()
        if (value := values.get(name)) is not None and value > limit
    }
    return Contender(
        format=manifest.format,
        runtime=manifest.plan.runtime,
        precision=manifest.precision,
        pack_id=manifest.pack_id,
        score=last.score.value if last.score else None,
        median_ms=row.summary.p50 if row else None,
        over=over,
        where=measurement.where,
        **values,
    )


def rank(one: Contender) -> tuple[int, float, float]:
    """The lowest is the best: budgets exceeded, by how much, milliseconds."""
    return len(one.over), max(one.over.values(), default=0.0), one.median_ms if one.median_ms is not None else float("inf")


def reason(best: Contender, other: Contender) -> str:
    """Why the one is better than the other, in a sentence."""
    names = f"{best.format} over {other.format}, both measured on {best.where}: "
    if len(best.over) != len(other.over):
        return f"{names}it exceeds {_listed(best)}, {other.format} exceeds {_listed(other)}"
    if best.over:
        return f"{names}both exceed as many budgets, it by less ({_listed(best)}; {other.format} {_listed(other)})"
    return f"{names}both meet every budget, and it takes {best.median_ms:.3g} ms where {other.format} takes {other.median_ms:.3g}"


def _listed(one: Contender) -> str:
    return ", ".join(f"{name} {times:.2f} times" for name, times in one.over.items()) or "no budget"
