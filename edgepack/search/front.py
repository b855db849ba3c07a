"""Records of a finished search: the packs of its front, what was tried, and what it cost. front.json holds them."""

from math import inf, isfinite, isinf, nan
from typing import Any, Final, Literal, cast

from pydantic import Field

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.records import Frozen
from edgepack.plan.budget_words import BUDGETS, BudgetName, exceeded_in_words
from edgepack.plan.profile import Budget
from edgepack.search.candidates import COSTS, Factors
from edgepack.search.pareto import knee
from edgepack.search.space import DimensionRow

SCHEMA: Final = 1
FRONT_FILE, PAGE_FILE = "front.json", "index.html"
Kind = Literal["first", "sampler", "random", "sibling"]


class Figure(Frozen):
    """A figure with where it comes from."""

    value: float
    origin: Literal["measured", "predicted"]


class Tried(Frozen):
    """A short trial. score_drop: points lost on rows of the dev split; the costs are predicted, but for a file that was written."""

    number: int
    kind: Kind
    name: str  # of a first point; else empty
    settings: dict[str, Any]
    score_drop: float | None
    longer_drop: float | None = None  # after the second rung's training, where it came so far
    latency_ms: float
    file_mb: float
    ram_mb: float
    load_ms: float
    seconds: float
    failure: str | None = None
    steps: int = 0  # that it was trained for
    texts: int = 0  # different ones that it was trained on


class Point(Frozen):
    """A pack of the front. score: on the test split, with its 95 % interval. over: budgets that it exceeds, with how often."""

    number: int
    trial: int
    name: str
    student: str
    precision: str
    params: int
    metric: str | None
    score: float | None
    low: float | None
    high: float | None
    score_drop: float | None
    latency_ms: Figure
    file_mb: Figure
    ram_mb: Figure
    load_ms: Figure
    over: dict[str, float]
    pack_id: str
    settings: dict[str, Any]
    epochs: int | None  # that the user stated; None: as many steps as progress needed
    steps: int = 0  # that it was trained for
    texts: int = 0  # different ones that it was trained on
    recipe_file: str
    command: str
    is_dominated: bool = False

    @property
    def values(self) -> tuple[float, ...]:
        """What counts, each to be as low as possible. Nobody chooses a pack for a score that is not known: it loses more than any."""
        return (inf if self.score_drop is None else self.score_drop, *(getattr(self, name).value for name in COSTS))


class Progress(Frozen):
    """Hypervolume after so many trials, of the search and of the random ones among its trials."""

    search: tuple[float, ...]
    random: tuple[float, ...]


class Cost(Frozen):
    """What a search took on this machine. trained: trainings that were run; ruled_out: candidates that predictions refused."""

    minutes: float
    trials: int
    trained: int
    failed: int
    ruled_out: int


class Front(Frozen):
    """front.json."""

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    study: str
    model: str
    task: str
    profile: str
    profile_wish: str  # its name, or the path of the user's own file
    data: str
    date: str
    seed: int
    sampler: str
    budget: Budget
    teacher: dict[str, float]  # predicted, as it came, in fp32
    space: tuple[DimensionRow, ...]
    points: tuple[Point, ...]
    tried: tuple[Tried, ...]
    importance: dict[str, dict[str, float]]  # by value: share of its differences that each setting explains
    progress: Progress
    correlation: (
        float | None
    )  # of the ranks after short trainings and after full ones, or after those of the second rung where they are more
    factors: Factors
    cost: Cost
    picked: int | None = None
    picked_by: str | None = None
    notes: tuple[str, ...] = ()

    def keeps_budgets(self, point: Point) -> bool | None:
        """None: there is a budget for the score, and the pack's score is not known."""
        is_unknown = self.budget.score_drop is not None and point.score_drop is None
        return False if point.over else None if is_unknown else True


def pick(front: Front, wish: str) -> Front:
    """The front with one of its packs picked: `knee`, or the best score within limits such as `latency_ms=30,file_mb=15`.

    EdgepackError: a name that is no limit, or no pack within them; it says which limit the nearest pack breaks, and by how much.
    """
    if not front.points:
        raise EdgepackError("--pick: the front has no pack", "search longer, or raise a budget")
    if wish == "knee":
        choice = front.points[knee([point.values for point in front.points])]
    else:
        limits = _limits(wish)
        excess = {point.number: _excess(point, limits) for point in front.points}
        within = [point for point in front.points if not excess[point.number]]
        if not within:
            nearest = min(front.points, key=lambda point: max(excess[point.number].values()))
            broken = ", ".join(_in_words(name, _value(nearest, name), limits[name]) for name in excess[nearest.number])
            raise EdgepackError(
                f"--pick {wish}: no pack of the front is within it. The nearest is pack {nearest.number}: {broken}", "raise the limit"
            )
        choice = min(within, key=lambda point: (_value(point, "score_drop"), point.latency_ms.value))
    return front.model_copy(update={"picked": choice.number, "picked_by": wish})


def check_pick(wish: str | None) -> None:
    """EdgepackError where --pick cannot be read, before a search begins."""
    if wish not in (None, "knee"):
        _limits(wish or "")


def _limits(wish: str) -> dict[str, float]:
    limits: dict[str, float] = {}
    known = [*COSTS, "score_drop"]
    for part in wish.split(","):
        name, _, value = part.strip().partition("=")
        if name not in known:
            raise EdgepackError(f"--pick: unknown limit {name!r}", did_you_mean(name, [*known, "knee"]))
        try:
            limits[name] = float(value)
        except ValueError:
            limits[name] = nan
        if not isfinite(limits[name]):
            raise EdgepackError(f"--pick {part.strip()}: no number behind the name", f"write {name}=30, or knee")
    return limits


def _excess(point: Point, limits: dict[str, float]) -> dict[str, float]:
    """The limits that the pack is not known to keep, with how often it exceeds them; infinite where that is not known, or the limit 0."""
    values = {name: _value(point, name) for name in limits}
    return {name: value / limits[name] if limits[name] else inf for name, value in values.items() if value > limits[name]}


def _in_words(name: str, value: float, limit: float) -> str:
    if isinf(value):
        return f"{BUDGETS[cast(BudgetName, name)][0]} is not known"
    return exceeded_in_words(name, value, limit, "limit")


def _value(point: Point, name: str) -> float:
    drop = inf if point.score_drop is None else point.score_drop
    return drop if name == "score_drop" else getattr(point, name).value
