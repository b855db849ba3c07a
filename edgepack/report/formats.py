"""Two packs of one model in two formats, side by side: which meets the budgets better, measured on the device or predicted for it."""

from collections.abc import Sequence

from edgepack.measure.measurement import Measurement
from edgepack.pack.manifest import Manifest
from edgepack.plan.budget_words import exceeded_in_words
from edgepack.plan.profile import Budget
from edgepack.report.figures import excesses, figures_of, headline_latency, score_of
from edgepack.report.records import Contender, Report


def compare(packs: Sequence[tuple[Manifest, Report]]) -> tuple[int, tuple[Contender, ...], str]:
    """The index of the better pack, all of them, and why. Fewest budgets exceeded, then the least excess, then the faster.

    Times and memory are the device's where it measured both packs, and its figures were steady. Elsewhere they are predicted for it:
    another machine's, or those of a busy one, do not tell which format is better, and are others the next time. Size and score are the
    same on every machine.
    """
    measurements = [report.measurements for _, report in packs]
    on_device = all(measurement is not None and measurement.is_the_device and measurement.is_steady for measurement in measurements)
    contenders = [_contender(manifest, report.measurements if on_device else None) for manifest, report in packs]
    best = min(range(len(contenders)), key=lambda index: rank(contenders[index]))
    packs_ranked = tuple(pack.model_copy(update={"shipped": index == best}) for index, pack in enumerate(contenders))
    other = min((pack for pack in packs_ranked if not pack.shipped), key=rank)
    return best, packs_ranked, reason(packs_ranked[best], other, packs[0][0].plan.budget)


def _contender(manifest: Manifest, measurement: Measurement | None) -> Contender:
    """measurement: on the device; None: predicted for it."""
    row = headline_latency(measurement, min(manifest.recipe.length, manifest.max_length)) if measurement else None
    figures = figures_of(manifest, measurement)
    values = {name: each.actual for name, each in figures.items()}
    score = score_of(manifest)
    return Contender(
        format=manifest.format,
        runtime=manifest.plan.runtime,
        precision=manifest.precision,
        pack_id=manifest.pack_id,
        score=score.value if score else None,
        median_ms=row.summary.p50 if row else None,
        over=excesses(manifest.plan.budget, figures, manifest.predictions),
        where=measurement.where if measurement else f"{manifest.profile.name} ({manifest.profile.cpu.part})",
        origin="measured" if measurement else "predicted",
        file_mb=round(manifest.file_mb, 3),
        score_drop=values["score_drop"],
        latency_ms=values["latency_ms"],
        load_ms=values["load_ms"],
        ram_mb=values["ram_mb"],
    )


def rank(pack: Contender) -> tuple[int, float, float]:
    """The lowest is the best: budgets exceeded, by how much, milliseconds."""
    return len(pack.over), max(pack.over.values(), default=0.0), _time_ms(pack)


def reason(best: Contender, other: Contender, budget: Budget) -> str:
    """Why the first pack is better than the second, in a sentence. budget: of both."""
    unknown = f"predicted for {best.where}, as no such device measured them while it did nothing else"
    where = f"measured on {best.where}" if best.origin == "measured" else unknown
    names = f"{best.format} was chosen over {other.format} (both {where}): "
    if len(best.over) != len(other.over):
        return f"{names}{best.format} exceeds {_listed(best, budget)}, and {other.format} exceeds {_listed(other, budget)}"
    if best.over:
        both = f"{_listed(best, budget)}; {other.format}: {_listed(other, budget)}"
        return f"{names}both exceed as many budgets, {best.format} by less: {both}"
    return f"{names}both meet every budget, and {best.format} takes {_time_ms(best):.3g} ms, {other.format} {_time_ms(other):.3g} ms"


def _time_ms(contender: Contender) -> float:
    """The median in ms where it was measured, else the prediction; infinity where neither is known."""
    known = contender.median_ms if contender.median_ms is not None else contender.latency_ms
    return float("inf") if known is None else known


def _listed(pack: Contender, budget: Budget) -> str:
    exceeded = [exceeded_in_words(name, getattr(pack, name), getattr(budget, name)) for name in pack.over]
    return " and ".join(exceeded) or "no budget"
