"""What the terminal shows of a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from edgepack.search.front import Front


def front_view(front: Front, out: Path) -> RenderableType:
    """The packs, then where the page lies and what builds the picked one."""
    from edgepack.plan.budget_words import BUDGETS
    from edgepack.search.page import headline

    table = Table("pack", "shape", "precision", "points lost", "latency", "file", "budgets", box=None, pad_edge=False)
    for point in front.points:
        within = Text("keeps them", "green") if front.keeps_budgets(point) else Text("score lost not known", "yellow")
        budgets = Text("over " + ", ".join(BUDGETS[name][0] for name in point.over), "red") if point.over else within
        drop = "–" if point.score_drop is None else f"{point.score_drop:+.2f}"
        latency = f"{point.latency_ms.value:.1f} ms {point.latency_ms.origin}"
        name = f"{point.number} (picked)" if point.number == front.picked else str(point.number)
        table.add_row(name, point.student, point.precision, drop, latency, f"{point.file_mb.value:.1f} MB", budgets)
    lines = [Text(note, style="yellow") for note in front.notes]
    picked = next((point for point in front.points if point.number == front.picked), None)
    commands = [Text(f"build the picked pack again: {picked.command}")] if picked else []
    return Group(Text(headline(front), style="bold"), Text(), table, Text(), *lines, *commands, Text(f"page: {out / 'index.html'}"))
