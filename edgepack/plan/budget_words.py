"""What each budget is called where people read it, and its unit."""

from collections.abc import Mapping
from typing import Final, Literal

BudgetName = Literal["file_mb", "ram_mb", "latency_ms", "load_ms", "score_drop"]

BUDGETS: Final[Mapping[str, tuple[str, str]]] = {
    "file_mb": ("file size", "MB"),
    "ram_mb": ("memory", "MB"),
    "latency_ms": ("latency", "ms"),
    "load_ms": ("load time", "ms"),
    "score_drop": ("score lost", "points"),
}
