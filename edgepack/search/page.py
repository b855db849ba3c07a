"""The page of a front: what the device can hold, what each pack costs and scores, and what the search took."""

from typing import Any

from markupsafe import Markup

from edgepack.core.showing import command_without_folders, without_folders
from edgepack.plan.budget_words import BUDGETS
from edgepack.report.charts import Bar, Line, bars, lines
from edgepack.report.scatter import Dot, scatter
from edgepack.report.write import rendered
from edgepack.search.candidates import COSTS
from edgepack.search.front import Figure, Front, Point, Tried
from edgepack.tasks.common.scores import Score

_AXES = {"latency_ms": "latency in ms", "file_mb": "file in MB", "ram_mb": "memory in MB", "load_ms": "cold load in ms"}
_VALUES = {"score_drop": "the score", "latency_ms": "the latency", "file_mb": "the file's size"}
NAMES = {
    "student.layers": "layers of the student",
    "student.hidden": "width of the student",
    "prune_heads": "share of heads cut",
    "prune_ffn": "share of FFN neurons cut",
    "embedding_bits": "bits of the embeddings",
}


_DRAWN = 2.0  # times the largest loss of a pack, or the budget: a chart that held every short trial would squeeze the packs together


def page(front: Front) -> str:
    """One HTML page without scripts."""
    most = _most_lost(front)
    return rendered(
        "front.html.j2",
        front=front,
        model=without_folders(front.model) if front.model else None,
        headline=headline(front),
        origins=origins(front),
        corrections=[f"{BUDGETS[name][0]} by {factor:.2f}" for name in COSTS if (factor := getattr(front.factors, name)) != 1],
        charts=[_chart(front, name, most) for name in COSTS],
        beyond=sum(each.score_drop is not None and each.score_drop > most for each in front.tried),
        unscored=sum(point.score_drop is None for point in front.points),
        most_lost=f"{most:.3g}",
        importance=_importance(front),
        progress=_progress(front),
        names=NAMES,
        costs=list(COSTS),
        budgets=BUDGETS,
        settings=[_settings(point) for point in front.points],
        commands=[command_without_folders(point.command) for point in front.points],
    )


def headline(front: Front) -> str:
    """What came out, in a sentence or two."""
    within = [point for point in front.points if front.keeps_budgets(point)]
    if not within:
        return _without_one_that_fits(front)
    best = min(within, key=lambda point: point.values[0])
    quick = min(within, key=lambda point: point.latency_ms.value)
    first = f"{len(within)} of {len(front.points)} packs keep every budget of {front.profile}. "
    if best.score_drop is None:
        return f"{first}No score is known of them. Pack {quick.number} is the fastest: {_in_words(quick.latency_ms, 'ms')}."
    first += f"Pack {best.number} has the best score: {_lost(best)} at {_in_words(best.latency_ms, 'ms')} and {best.file_mb.value:.3g} MB."
    if quick is best:
        return first + " It is the fastest too."
    return first + f" Pack {quick.number} is the fastest: {_in_words(quick.latency_ms, 'ms')}, {_lost(quick)}."


def _without_one_that_fits(front: Front) -> str:
    if not front.points:
        return "No pack could be built."
    unknown, count = sum(front.keeps_budgets(point) is None for point in front.points), len(front.points)
    if unknown:
        return f"{unknown} of {count} packs may keep every budget of {front.profile}: how much of the score they lose is not known."
    if count == 1:
        return f"The only pack does not keep every budget of {front.profile}."
    return f"None of the {count} packs keeps every budget of {front.profile}."


def origins(front: Front) -> list[str]:
    """Where the packs' figures come from, but for files, which are measured always."""
    return sorted({getattr(point, name).origin for point in front.points for name in COSTS if name != "file_mb"})


def _in_words(figure: Figure, unit: str) -> str:
    return f"{figure.value:.3g} {unit} ({figure.origin})"


def _lost(point: Point) -> str:
    if point.score_drop is None:
        return "no score is known"
    if point.score_drop <= 0:
        return (
            "no point of the score is lost" if point.score_drop == 0 else f"{-point.score_drop:.2f} points more than the model as it came"
        )
    return f"{point.score_drop:.2f} points of the score are lost"


def _most_lost(front: Front) -> float:
    """Points of the score: a short trial that lost more is counted and not drawn."""
    packs = [point.score_drop for point in front.points if point.score_drop is not None]
    budget = [] if front.budget.score_drop is None else [front.budget.score_drop]
    tried = [each.score_drop for each in front.tried if each.score_drop is not None]
    return _DRAWN * max([0.0, *packs, *budget]) or max([0.0, *tried])


def _chart(front: Front, name: str, most: float) -> Markup:
    tried = [_small(each, name, drop) for each in front.tried if (drop := each.score_drop) is not None and drop <= most]
    packs = [_large(each, name, drop, front.picked == each.number) for each in front.points if (drop := each.score_drop) is not None]
    limits = (getattr(front.budget, name), front.budget.score_drop)
    title = f"Points of score lost against {_AXES[name]}: lower and further left is better"
    return scatter(title, [*tried, *packs], _AXES[name], "points lost", limits)


def _small(tried: Tried, name: str, drop: float) -> Dot:
    value = getattr(tried, name)
    return Dot(
        value,
        drop,
        "tried",
        f"short trial {tried.number + 1}: {drop:+.2f} points lost, {value:.3g}, {_length(tried)}",
    )


def _length(tried: Tried) -> str:
    return f"trained for {tried.steps} steps on {tried.texts} texts" if tried.steps else "not trained"


def _large(point: Point, name: str, drop: float, is_picked: bool) -> Dot:
    figure = getattr(point, name)
    low = high = None
    if point.score is not None and point.low is not None and point.high is not None:
        low, high = _whisker(Score(metric=point.metric or "", value=point.score, low=point.low, high=point.high, rows=0), drop)
    text = f"pack {point.number}: {drop:+.2f} points lost, {figure.value:.3g} {figure.origin}"
    kind = "picked" if is_picked else "over" if point.over else "part0"
    return Dot(figure.value, drop, kind, text, str(point.number), f"#pack-{point.number}", low, high)


def _whisker(score: Score, drop: float) -> tuple[float, float]:
    """The points lost at both ends of the score's interval. drop: at the score itself, which tells what the teacher scored."""
    value = score.value / (1 + drop / 100) if score.lower_is_better else score.value + drop / 100
    teacher = score.model_copy(update={"value": value})
    ends = [score.model_copy(update={"value": end}).drop_from(teacher) for end in (score.low, score.high)]
    return min(ends), max(ends)


def _importance(front: Front) -> list[Markup]:
    charts = []
    for name, shares in front.importance.items():
        if shares:
            rows = [Bar(NAMES.get(key, key), (share,), f"{share:.0%}") for key, share in sorted(shares.items(), key=lambda row: -row[1])]
            charts.append(bars(f"Share of the differences in {_VALUES[name]} that each setting explains (fANOVA)", rows))
    return charts


def _progress(front: Front) -> Markup | None:
    rows = {"search": front.progress.search, "drawn at random": front.progress.random}
    drawn = [
        Line(name, tuple((float(at), value) for at, value in enumerate(values, 1))) for name, values in rows.items() if len(values) > 1
    ]
    if not drawn:
        return None
    return lines("How much of what could be had the trials cover (hypervolume), after each trial", drawn, "trials", "share")


def _settings(point: Point) -> list[tuple[str, Any]]:
    return [(NAMES.get(key, key), "left out" if value is None else without_folders(value)) for key, value in point.settings.items()]
