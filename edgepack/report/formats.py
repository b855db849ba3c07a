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
    contenders = [_contender(manifest, report.measurements) for manifest, report in packs if report.measurements]
    best = min(range(len(contenders)), key=lambda index: rank(contenders[index]))
    packs_ranked = tuple(pack.model_copy(update={"shipped": index == best}) for index, pack in enumerate(contenders))
    return best, packs_ranked, reason(packs_ranked[best], min((pack for pack in packs_ranked if not pack.shipped), key=rank))


def _contender(manifest: Manifest, measurement: Measurement) -> Contender:
    row = headline_latency(measurement, min(manifest.recipe.length, manifest.max_length))
    here = measured_here(manifest, measurement)
    last = manifest.ladder[-1]
    file_mb = round(manifest.file_mb, 3)
    values = here | {"file_mb": file_mb, "score_drop": last.score_drop}
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
        file_mb=file_mb,
        score_drop=last.score_drop,
        latency_ms=here["latency_ms"],
        load_ms=here["load_ms"],
        ram_mb=here["ram_mb"],
    )


def rank(pack: Contender) -> tuple[int, float, float]:
    """The lowest is the best: budgets exceeded, by how much, milliseconds."""
    return len(pack.over), max(pack.over.values(), default=0.0), pack.median_ms if pack.median_ms is not None else float("inf")


def reason(best: Contender, other: Contender) -> str:
    """Why the first pack is better than the second, in a sentence."""
    names = f"{best.format} over {other.format}, both measured on {best.where}: "
    if len(best.over) != len(other.over):
        return f"{names}it exceeds {_listed(best)}, {other.format} exceeds {_listed(other)}"
    if best.over:
        return f"{names}both exceed as many budgets, it by less ({_listed(best)}; {other.format} {_listed(other)})"
    return f"{names}both meet every budget, and it takes {best.median_ms:.3g} ms where {other.format} takes {other.median_ms:.3g}"


def _listed(pack: Contender) -> str:
    return ", ".join(f"{name} {times:.2f} times" for name, times in pack.over.items()) or "no budget"
