"""What each budget is called where people read it, and its unit."""

from collections.abc import Mapping
from typing import Final, Literal, cast

BudgetName = Literal["file_mb", "ram_mb", "latency_ms", "load_ms", "score_drop"]

BUDGETS: Final[Mapping[str, tuple[str, str]]] = {
    "file_mb": ("file size", "MB"),
    "ram_mb": ("memory", "MB"),
    "latency_ms": ("latency", "ms"),
    "load_ms": ("load time", "ms"),
    "score_drop": ("score lost", "points"),
}


def exceeded_in_words(name: str, value: float, limit: float, what: str = "budget") -> str:
    """`latency (62.1 ms, 24% over the budget of 50)`. name: of the budget that `value` exceeds. No share of a limit of 0 says anything."""
    word, unit = BUDGETS[cast(BudgetName, name)]
    share = f"{value / limit - 1:.0%} over" if limit else "over"
    return f"{word} ({value:.4g} {unit}, {share} the {what} of {limit:g})"
