"""What each budget is called where people read it, and its unit."""

from typing import Final

BUDGETS: Final = {
    "file_mb": ("file size", "MB"),
    "ram_mb": ("memory", "MB"),
    "latency_ms": ("latency", "ms"),
    "load_ms": ("load time", "ms"),
    "score_drop": ("score lost", "points"),
}
