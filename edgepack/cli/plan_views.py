"""What the terminal shows of a plan and of a profile's check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from edgepack.plan.budget_words import BUDGETS

if TYPE_CHECKING:
    from edgepack.plan.explain import Alternative
    from edgepack.plan.plan import Plan
    from edgepack.plan.profile_check import ProfileCheck

_FITS = {"yes": "green", "likely": "green", "unlikely": "red", "no": "red"}


def plan_view(plan: Plan) -> RenderableType:
    """The steps with their reasons, then the predicted cost before and after, then the budgets that break."""
    then = plan.predictions
    head = f"{plan.task} for {plan.profile}: {plan.student.name()} in {plan.precision} on {plan.runtime}"
    what = f"a text of {then.length} tokens" if then.first_token_ms is None else f"one token after {then.length} others"
    note = f"Every figure here is predicted, none is measured. Latency is for {what}, on all cores; load is cold. {then.doubt()}"
    broken = [Text(f"over budget: {budget}", style="red") for budget in plan.broken]
    return Group(Text(head, style="bold"), Text(), *_steps(plan), _costs(plan), Text(note, style="dim"), *broken)


def alternatives_view(plan: Plan, rows: list[Alternative]) -> RenderableType:
    """The plan's nearest neighbours, each with one thing changed."""
    then = plan.predictions
    table = Table("changed", "flags", "MB", "ms", "load ms", "why not", box=None, pad_edge=False)
    table.add_row(Text("the plan", "bold"), "", f"{then.file_mb:.1f}", f"{then.latency_ms:.1f}", f"{then.load_ms:.0f}", "")
    for row in rows:
        cells = ["–"] * 3
        if row.prediction is not None:
            cells = [f"{row.prediction.file_mb:.1f}", f"{row.prediction.latency_ms:.1f}", f"{row.prediction.load_ms:.0f}"]
        fits = row.prediction is not None and not row.broken
        table.add_row(row.change, row.flags, *cells, Text(row.verdict, "green" if fits else "red"))
    return Group(Text(), Text("The nearest alternatives (predicted; none has a score before it is trained)", style="bold"), table)


def _steps(plan: Plan) -> Iterator[RenderableType]:
    """Each step with its settings, and its why below."""
    for number, step in enumerate((*plan.steps, *(last for last in (plan.coding, plan.vectors) if last)), 1):
        settings = step.model_dump(exclude={"verb", "why"}, exclude_defaults=True)
        shown = ", ".join(f"{key} {value}" for key, value in settings.items())
        yield Text(f"{number}. {step.verb.replace('_', ' ')}", style="bold")
        yield Padding(Text(shown, style="dim"), (0, 0, 0, 3))
        yield Padding(Text(step.why), (0, 0, 1, 3))


def _costs(plan: Plan) -> RenderableType:
    """The device's cost before and after, and whether it keeps to the budgets."""
    now, then, limits = plan.teacher_predictions, plan.predictions, plan.budget
    costs = Table("predicted", "as it is, fp32", "after the plan", "budget", "fits", box=None, pad_edge=False)
    costs.add_row("parameters", f"{now.params / 1e6:.1f} M", f"{then.params / 1e6:.1f} M", "", "")
    for name in ("file_mb", "ram_mb", "latency_ms", "load_ms"):
        word, unit = BUDGETS[name]
        limit = getattr(limits, name)
        verdict = "" if limit is None else then.fits(name, limit)
        before, after = f"{getattr(now, name):.1f} {unit}", f"{getattr(then, name):.1f} {unit}"
        costs.add_row(word, before, after, "" if limit is None else f"{limit:g} {unit}", Text(verdict, _FITS.get(verdict, "")))
    return costs


def profile_check_view(checked: ProfileCheck) -> RenderableType:
    """A plan for each runtime and precision of the profile, unusual values, and a verdict."""
    table = Table("runtime", "precision", "plan", "MB", "ms", box=None, pad_edge=False)
    reasons: list[RenderableType] = []
    for tried in checked.plans:
        cells = ["–" if value is None else f"{value:.1f}" for value in (tried.file_mb, tried.latency_ms)]
        table.add_row(tried.runtime, tried.precision, Text("yes", "green") if tried.ok else Text("no", "red"), *cells)
        if not tried.ok:
            reasons.append(Text(f"{tried.runtime}, {tried.precision}: {tried.problem}\n  fix: {tried.fix}", style="red"))
    verdict = Text("can be used", style="bold green") if checked.ok else Text("cannot be used as it is", style="bold red")
    unusual = [Text(f"unusual: {line}", style="yellow") for line in checked.unusual]
    models = dict.fromkeys(tried.model for tried in checked.plans)
    used = " and ".join(f"{model} ({', '.join(dict.fromkeys(p.precision for p in checked.plans if p.model == model))})" for model in models)
    note = f"MB and ms (p90) are predicted, not measured, for {used}."
    return Group(Text(f"{checked.name}: ") + verdict, Text(), table, Text(note, style="dim"), *unusual, *reasons)
