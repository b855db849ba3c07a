"""Joins what a search knows into the record that the page shows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from edgepack.search.candidates import COSTS
from edgepack.search.front import Cost, Front, Point, Progress, Tried
from edgepack.search.pareto import hypervolume, rank_correlation
from edgepack.search.rows import Row
from edgepack.search.space import rows_of
from edgepack.search.tries import Tries

_VALUES = ("score_drop", "latency_ms", "file_mb")


def story(tries: Tries, key: str, points: tuple[Point, ...], notes: Sequence[str], full: Mapping[int, float]) -> Front:
    """The front with all that was tried. full: what the packs lost, by trial, those too that are not on the front."""
    base, whole = tries.maker.space.base, tries.maker.teacher_prediction()
    return Front(
        study=key,
        model=base.model,
        task=tries.bench.materials.whole.task.name,
        profile=tries.bench.profile.name,
        profile_wish=tries.wish.profile_file or tries.bench.profile.name,
        data=base.data or "",
        date=datetime.now(UTC).date().isoformat(),
        seed=base.seed,
        sampler=tries.wish.sampler,
        budget=tries.maker.budget,
        teacher={name: round(getattr(whole, name), 3) for name in COSTS} | {"params": whole.params},
        space=rows_of(tries.maker.space),
        points=points,
        tried=tuple(_tried(row, tries) for row in tries.rows),
        importance={name: tries.study.importances(index) for index, name in enumerate(_VALUES)},
        progress=_progress(tries),
        correlation=_correlation(tries, full),
        factors=tries.maker.factors,
        cost=Cost(
            minutes=round(tries.clock.spent_s / 60, 2),
            trials=tries.count,
            trained=tries.count + len(tries.longer),
            failed=tries.count - sum(row.kind != "sibling" for row in tries.good),
            ruled_out=tries.ruled_out,
        ),
        notes=tuple(notes),
    )


def _tried(row: Row, tries: Tries) -> Tried:
    longer = tries.longer.get(row.number)
    return Tried(
        number=row.number,
        kind=row.kind,
        name=row.name,
        settings=row.settings,
        score_drop=row.outcome.score_drop,
        longer_drop=longer.score_drop if longer else None,
        seconds=row.outcome.seconds,
        failure=row.outcome.failure,
        steps=row.outcome.steps,
        texts=row.outcome.texts,
        **{name: round(value, 3) for name, value in row.costs.items()},
    )


def _progress(tries: Tries) -> Progress:
    """Hypervolume as a share of all that could be, after each trial: of the guided ones, and of those that were drawn evenly."""
    guided = [row.values for row in tries.good if row.kind in ("first", "sampler")]
    random = [row.values for row in tries.good if row.kind == "random"]
    return Progress(search=_volumes(guided, tries.reference), random=_volumes(random, tries.reference))


def _volumes(points: Sequence[tuple[float, ...]], reference: tuple[float, ...]) -> tuple[float, ...]:
    scaled = [tuple(max(0.0, value) / worst for value, worst in zip(point, reference, strict=True)) for point in points]
    ones = (1.0,) * len(reference)
    return tuple(round(hypervolume(scaled[: count + 1], ones), 5) for count in range(len(scaled)))


def _correlation(tries: Tries, full: Mapping[int, float]) -> float | None:
    """Of short trials with full trainings, or with those of the second rung where more trials came that far."""
    longer = {number: outcome.score_drop for number, outcome in tries.longer.items() if outcome.score_drop is not None}
    then = full if len(full) >= len(longer) else longer
    pairs = [(row.outcome.score_drop, then[row.number]) for row in tries.rows if row.outcome.score_drop is not None and row.number in then]
    value = rank_correlation([short for short, _ in pairs], [long for _, long in pairs])
    return None if value is None else round(value, 3)
