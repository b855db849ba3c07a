"""What the planner weighs: one mixture of student, precision and file with its prediction, and the budgets that it breaks. Pure."""

from edgepack.core.records import Frozen
from edgepack.plan.coding import Coding
from edgepack.plan.precision import precision_names
from edgepack.plan.prediction import Prediction, nearly_within
from edgepack.plan.profile import Budget, PrecisionName
from edgepack.plan.shape import ModelShape

_UNITS = {"file_mb": "MB of files", "ram_mb": "MB of memory", "latency_ms": "ms of latency", "load_ms": "ms to load"}


class BrokenBudget(Frozen):
    """A budget that the prediction exceeds; both figures are in the budget's unit."""

    name: str
    limit: float
    predicted: float

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def is_near(self) -> bool:
        """Whether the excess is far less than such predictions are off, so that it decides nothing."""
        return nearly_within(self.name, self.predicted, self.limit)

    def __str__(self) -> str:
        return f"{self.predicted:g} {_UNITS[self.name]} (budget {self.limit:g})"


class RunnerUp(Frozen):
    """Another student of the same size, with its prediction."""

    student: ModelShape
    latency_ms: float


class Choice(Frozen):
    """What the plan has chosen, with its prediction and the budgets that still break. pruned: the teacher's shape after pruning.

    cuts_vocabulary: the planner cuts it, and nobody asked for that.
    """

    prune_heads: float
    pruned: ModelShape
    student: ModelShape
    precision: PrecisionName
    prepack: bool
    embedding_bits: int = 8
    cuts_vocabulary: bool = False
    coding: Coding | None = None
    prediction: Prediction
    broken: tuple[BrokenBudget, ...]
    runner_up: RunnerUp | None = None  # the next best shape of the size that the user asked for

    @property
    def overshoot(self) -> float:
        return max((budget.predicted / budget.limit for budget in self.broken), default=0.0)

    @property
    def described(self) -> str:
        """Its student, its precision, and the means that make its file smaller, in words."""
        means = [f"embeddings in {self.embedding_bits} bits"] if self.embedding_bits != 8 else []
        means += ["a cut vocabulary"] if self.cuts_vocabulary else []
        means += ["coded weights"] if self.coding else []
        plain = f"{self.student.name()} in {self.precision}"
        return f"{plain} with {' and '.join(means)}" if means else plain

    @property
    def is_plain(self) -> bool:
        """Whether the file is as the precision alone makes it."""
        return self.coding is None and self.embedding_bits == 8 and not self.cuts_vocabulary


def broken_budgets(prediction: Prediction, budget: Budget) -> tuple[BrokenBudget, ...]:
    """The limits that a prediction exceeds; score_drop is known only after training and is judged in the report."""
    limits = {name: limit for name, limit in budget.model_dump(exclude_none=True).items() if name != "score_drop"}
    return tuple(
        BrokenBudget(name=name, limit=limit, predicted=getattr(prediction, name))
        for name, limit in limits.items()
        if getattr(prediction, name) > limit
    )


def in_words(broken: tuple[BrokenBudget, ...]) -> str:
    """The budgets with their predictions and limits, joined by `and`."""
    return " and ".join(map(str, broken))


def last_need(considered: list[Choice]) -> str:
    """What the last of these choices would need beyond its budgets, in words."""
    return in_words(considered[-1].broken) if considered else "more than the budgets allow"


def wider_need(choice: Choice, considered: list[Choice]) -> str | None:
    """A sentence: what the next wider precision would need beyond its budgets; None where none was considered."""
    names = precision_names()
    wider = [tried for tried in considered if names.index(tried.precision) < names.index(choice.precision) and tried.is_plain]
    return f"{wider[-1].precision} would need {last_need(wider)}." if wider else None
