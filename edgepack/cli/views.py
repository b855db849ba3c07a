"""What the terminal shows: the same rows as the reports, as tables. Loaded only when something is printed for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from edgepack.measure.machines.boards import Removal, SetUp, TargetCheck
    from edgepack.measure.measurement import Measurement
    from edgepack.measure.statistics import Ratio
    from edgepack.pipeline.doctor import CacheState, Doctor, MachineState
    from edgepack.pipeline.verify import Verification
    from edgepack.plan.plan import Plan
    from edgepack.plan.profile_check import ProfileCheck
    from edgepack.report.comparison import ComparisonReport
    from edgepack.report.records import Report

_MOST_GROUPS = 12
_FITS = {"yes": "green", "likely": "green", "unlikely": "red", "no": "red"}
_COLOURS = {"fits": "green", "over budget": "red", "not measured": "yellow"}


def show(view: RenderableType) -> None:
    Console(highlight=False).print(view)


def plan_view(plan: Plan) -> RenderableType:
    then = plan.predictions
    head = f"{plan.task} for {plan.profile}: {plan.student.name()} in {plan.precision} on {plan.runtime}"
    what = f"a text of {then.length} tokens" if then.first_token_ms is None else f"one token after {then.length} others"
    note = f"Every figure here is predicted, none is measured. Latency is for {what}, on all cores; load is cold. {then.doubt()}"
    broken = [Text(f"over budget: {budget}", style="red") for budget in plan.broken]
    return Group(Text(head, style="bold"), Text(), *_steps(plan), _costs(plan), Text(note, style="dim"), *broken)


def _steps(plan: Plan) -> Iterator[RenderableType]:
    """Each step with its settings, and its why below."""
    for number, step in enumerate(plan.steps, 1):
        settings = step.model_dump(exclude={"verb", "why"}, exclude_defaults=True)
        shown = ", ".join(f"{key} {value}" for key, value in settings.items())
        yield Text.assemble((f"{number}. {step.verb.replace('_', ' ')}", "bold"), f"  {shown}")
        yield Padding(Text(step.why), (0, 0, 1, 3))


def _costs(plan: Plan) -> RenderableType:
    """The device's cost before and after, and whether it keeps to the budgets."""
    now, then, limits = plan.teacher_predictions, plan.predictions, plan.budget
    costs = Table("predicted", "as it is, fp32", "after the plan", "budget", "fits", box=None, pad_edge=False)
    costs.add_row("parameters", f"{now.params / 1e6:.1f} M", f"{then.params / 1e6:.1f} M", "", "")
    for name, unit in (("file_mb", "MB"), ("ram_mb", "MB"), ("latency_ms", "ms"), ("load_ms", "ms")):
        limit = getattr(limits, name)
        verdict = "" if limit is None else then.fits(name, limit)
        before, after = f"{getattr(now, name):.1f} {unit}", f"{getattr(then, name):.1f} {unit}"
        costs.add_row(name, before, after, "" if limit is None else f"{limit:g}", Text(verdict, _FITS.get(verdict, "")))
    return costs


def doctor_view(state: Doctor) -> RenderableType:
    packages = Table("package", "installed", "tested with", "fits", box=None, pad_edge=False)
    for package in state.packages:
        fits = Text("yes", "green") if package.fits else Text("no", "red")
        packages.add_row(package.name, package.installed or "missing", package.wanted, fits)
    extras = Table("extra", "there", "what it gives", box=None, pad_edge=False)
    for extra in state.extras:
        extras.add_row(extra.name, Text("yes", "green") if extra.is_there else Text("no", "yellow"), extra.gives)
        if not extra.is_there:
            extras.add_row("", "", Text(extra.install, style="dim"))
    head = Text(f"edgepack {state.edgepack}, Python {state.python}, {state.system}", style="bold")
    return Group(head, Text(), packages, Text(), extras, Text(), *_machine_lines(state.machine), *_cache_lines(state.cache))


def _machine_lines(machine: MachineState) -> Iterator[RenderableType]:
    memory = "" if machine.memory_mb is None else f", {machine.memory_mb:,.0f} MB of memory"
    yield Text(f"machine: {machine.cpu or 'unknown CPU'} ({machine.arch}), {machine.cores} cores to use{memory}")
    yield Text(f"  instruction sets that edgepack asks for: {', '.join(machine.isa) or 'none'}")
    if machine.emulated_by:
        yield Text(f"  emulated by {machine.emulated_by}: no time measured here is a device's", style="yellow")
    if machine.is_quiet is None:
        yield Text("  this system does not say whether other work takes the cores", style="yellow")
        return
    taken = f"other processes take {machine.others:.0%} of the cores, other guests {machine.stolen:.0%}"
    if machine.is_quiet:
        yield Text(f"  quiet: {taken}", style="green")
    else:
        yield Text(f"  busy: {taken}; `measure` waits until that ends, because its figures would not repeat", style="yellow")


def _cache_lines(cache: CacheState) -> Iterator[RenderableType]:
    if cache.exists:
        yield Text(f"cache: {cache.folder}, {cache.stages} finished stages, {cache.mb:,.0f} MB; it can be deleted at any time")
    else:
        yield Text(f"cache: {cache.folder}, which the first build makes")


def profile_check_view(checked: ProfileCheck) -> RenderableType:
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


def report_view(report: Report, out: str) -> RenderableType:
    verdict = Text(f"{report.verdict}: ", style=f"bold {_COLOURS[report.verdict]}") + Text(report.headline, style="not bold default")
    beside = (*_targets(report), *_baseline(report), *_formats(report))
    quality = (_ladder(report), *_attempts(report), *_confidence(report), *_weakest(report))
    return Group(verdict, Text(), _checks(report), Text(), *beside, *quality, *_latency(report), Text(), Text(f"report: {out}/report.html"))


def verification_view(found: Verification) -> RenderableType:
    return Text(
        f"pack {found.pack_id} is whole: {found.files} files by hash, {found.golden_texts} golden texts answered by {found.runtime} "
        f"within {found.largest_difference:g} (limit {found.tolerance:g}), token ids equal for {found.token_ids_equal}"
    )


def check_view(found: TargetCheck) -> RenderableType:
    verdict = Text("can run it" if found.can_run else "cannot run it", style="bold green" if found.can_run else "bold red")
    what = f": {found.target}" + (f", pack {found.pack_id}" if found.pack_id else ", any pack")
    table = Table("", "", "", box=None, pad_edge=False, show_header=False)
    for one in found.findings:
        mark = Text("–", "yellow") if one.ok is None else Text("yes", "green") if one.ok else Text("no", "red")
        table.add_row(one.what, mark, one.found)
        if one.fix and one.ok is not True:
            table.add_row("", "", Text(f"fix: {one.fix}", style="dim"))
    return Group(verdict + Text(what, style="not bold default"), table)


def setup_view(found: SetUp) -> RenderableType:
    if not found.done:
        return Text(f"nothing was done on {found.target}: this was --dry-run")
    told = ", ".join(f"{name} {version}" for name, version in (found.packages or {}).items() if version)
    return Text(f"{found.target} is set up: {found.folder} holds Python {found.python} with {told}")


def removal_view(found: Removal) -> RenderableType:
    gone = f"removed {found.removed} of {found.target}, {found.freed_mb:g} MB"
    return Text(gone if found.removed else f"edgepack keeps nothing on {found.target}")


def comparison_view(report: ComparisonReport, out: Path | None) -> RenderableType:
    from edgepack.report.comparison import NAMES

    parts: list[RenderableType] = [Text(line, style="bold") for line in report.headlines]
    for found in report.targets:
        table = Table("figure", "tokens", "threads", "pack", "median", "ratio", "95 %", "claim", box=None, pad_edge=False)
        for row in found.rows:
            known = ("1", "", "") if row.ratio is None else _ratio_cells(row.ratio)
            unit = "MB" if row.what == "ram_mb" else "ms"
            median = f"{row.summary.p50:.4g} {unit}"
            length = "–" if row.length is None else str(row.length)
            table.add_row(NAMES[row.what], length, str(row.threads), report.packs[row.pack].name, median, *known)
        parts += [Text(), Text(f"measured on {found.where}", style="bold"), table, *(Text(doubt, style="yellow") for doubt in found.doubts)]
    parts += [Text(f"{one.target}: {one.failure}\n  fix: {one.fix}", style="red") for one in report.failed]
    return Group(*parts, *([Text(), Text(f"page: {out}/comparison.html")] if out else []))


def _ratio_cells(found: Ratio) -> tuple[str, str, str]:
    return f"{found.value:.2f}", f"{found.low:.2f}–{found.high:.2f}", found.claim or "none"


def _checks(report: Report) -> RenderableType:
    table = Table("budget", "limit", "actual", "margin", "holds", "origin", box=None, pad_edge=False)
    for check in report.checks:
        holds = Text("unknown", "yellow") if check.ok is None else Text("yes", "green") if check.ok else Text("no", "red")
        actual = "–" if check.actual is None else f"{check.actual:.4g}"
        margin = "–" if check.margin is None else f"{check.margin:+.0%}"
        table.add_row(check.name, f"{check.limit:g}", actual, margin, holds, f"{check.origin or ''} {check.where}")
    return Group(table, *(Text(f"{check.name}: {check.next_step}", style="yellow") for check in report.checks if check.next_step))


def _formats(report: Report) -> Iterator[RenderableType]:
    """Both formats side by side, where both were built."""
    if not report.formats:
        return
    table = Table("format", "precision", "MB", "score", "p90 ms", "load ms", "peak MB", "exceeds", box=None, pad_edge=False)
    for one in report.formats:
        known = ["–" if value is None else f"{value:.4g}" for value in (one.score, one.latency_ms, one.load_ms, one.ram_mb)]
        table.add_row(one.format, one.precision, f"{one.file_mb:.1f}", *known, ", ".join(one.over) or "no budget")
    yield from (table, Text(report.formats_why or ""), Text())


def _targets(report: Report) -> Iterator[RenderableType]:
    """Each target that was asked, side by side; a failed one with its reason below."""
    if not report.targets:
        return
    table = Table("target", "p50 ms", "p90 ms", "load ms", "peak MB", "measured on", box=None, pad_edge=False)
    for row in report.targets:
        known = ["–" if value is None else f"{value:.4g}" for value in (row.median_ms, row.latency_ms, row.load_ms, row.ram_mb)]
        table.add_row(row.target, *known, Text("failed", "red") if row.failure else row.where)
    yield table
    yield from (Text(f"{row.target}: {row.emulated}") for row in report.targets if row.emulated)
    yield from (Text(f"{one.target}: {one.instructions_why}", "yellow") for one in report.emulations if one.instructions_why)
    yield from (Text(f"{row.target}: {row.failure}\n  fix: {row.fix}", style="red") for row in report.targets if row.failure)
    yield Text()


def _baseline(report: Report) -> Iterator[RenderableType]:
    """What became worse than the baseline allows, and otherwise that nothing did."""
    if report.baseline is None:
        return
    found = report.baseline
    limit = f"limit {1 + found.most:g} times, baseline {found.file}"
    if not found.worse:
        yield Text(f"no worse than the baseline in {len(found.rows)} figures ({limit})", style="green")
    for row in found.worse:
        place = "".join(f", {value} {unit}" for value, unit in ((row.length, "tokens"), (row.threads, "threads")) if value is not None)
        interval = "" if row.low is None else f", {row.low:.2f} to {row.high:.2f}"
        yield Text(f"worse: {row.what}{place}: {row.now:g} after {row.before:g}, {row.ratio:.2f} times{interval} ({limit})", style="red")
    yield Text()


def _ladder(report: Report) -> RenderableType:
    metric = next((row.score.metric for row in report.ladder if row.score), "score").replace("_", " ")
    table = Table("stage", metric, "95 %", "lost", "flipped", "params", "MB", "s", box=None, pad_edge=False)
    for row in report.ladder:
        score = row.score
        table.add_row(
            row.stage,
            f"{score.value:.4f}" if score else "–",
            f"{score.low:.3f}–{score.high:.3f}" if score else "–",
            "–" if row.score_drop is None else f"{row.score_drop:+.2f}",
            "–" if row.flip_share is None else f"{row.flip_share:.2%}",
            f"{row.params / 1e6:.2f} M",
            f"{row.file_mb:.1f}",
            f"{row.seconds:.0f}",
        )
    return table


def _attempts(report: Report) -> Iterator[RenderableType]:
    """What was tried to quantize, where the first recipe was not enough."""
    for row in report.ladder:
        for one in row.attempts if len(row.attempts) > 1 or (row.attempts and row.attempts[-1].passed is False) else ():
            yield Text(f"{one.recipe}: {one.verdict()}", style="green" if one.passed else "red")


def _confidence(report: Report) -> Iterator[RenderableType]:
    """The second metric and calibration, then the true class by the teacher's confidence: each within 80 columns."""
    if not any(row.second or row.calibration for row in report.ladder):
        return
    metric = next((row.second.metric for row in report.ladder if row.second), "second").replace("_", " ")
    table = Table("stage", metric, "95 %", "ECE", "ACE", "true class", "KL", box=None, pad_edge=False)
    for row in report.ladder:
        second, found = row.second, row.calibration
        known = [None] * 4 if found is None else [found.ece, found.ace, found.true_class, found.teacher_kl]
        scores = [f"{second.value:.4f}", f"{second.low:.3f}–{second.high:.3f}"] if second else ["–", "–"]
        table.add_row(row.stage, *scores, *("–" if one is None else f"{one:.3f}" for one in known))
    yield from (Text(), table)
    binned = [row for row in report.ladder if row.calibration and row.calibration.by_teacher]
    if binned:
        columns = [f"{one.teacher:.2f}" for one in binned[0].calibration.by_teacher]
        bins = Table("confidence", *columns, box=None, pad_edge=False, padding=(0, 1))
        for row in binned:
            bins.add_row(row.stage, *(f"{one.true_class:.2f}" for one in row.calibration.by_teacher))
        yield from (Text(), Text("mean confidence in the true class, by the teacher's own confidence", style="bold"), bins)


def _weakest(report: Report) -> Iterator[RenderableType]:
    from edgepack.report.ladder import weakest

    found = weakest(report.ladder)
    if not found:
        return
    shown = found[:_MOST_GROUPS] if found[0].kind == "group" else found[:1]
    yield Text()
    for one in shown:
        teacher = "" if one.teacher is None else f", teacher {one.teacher:.4f}"
        kind = "" if one.kind == "group" else f"weakest {one.kind}: "
        yield Text(f"{kind}{one.name} {one.metric} {one.shipped:.4f} of {one.rows} rows{teacher}")
    if len(shown) < len(found) and found[0].kind == "group":
        yield Text(f"and {len(found) - len(shown)} groups that do better, in the report", style="dim")


def _latency(report: Report) -> Iterator[RenderableType]:
    if report.measurements is None:
        return
    yield Text()
    yield Text(f"measured on {report.measurements.where}", style="bold")
    if report.measurements.first_token:
        yield from _decoding(report.measurements)
        return
    table = Table("tokens", "threads", "p50 ms", "p90 ms", "runs", box=None, pad_edge=False)
    for row in report.measurements.latency:
        table.add_row(str(row.length), str(row.threads), f"{row.summary.p50:.2f}", f"{row.summary.p90:.2f}", str(row.summary.n))
    yield table


def _decoding(measured: Measurement) -> Iterator[RenderableType]:
    """Tokens a second by context, the wait for the first token by prompt, memory by context."""
    speed = Table("one token behind", "threads", "tokens/s", "p50 ms", "p90 ms", "peak MB", box=None, pad_edge=False)
    peaks = {(row.length, row.threads): row.peak_mb for row in measured.memory}
    for row in measured.latency:
        peak = peaks.get((row.length, row.threads))
        times = (f"{1e3 / row.summary.p50:.1f}", f"{row.summary.p50:.2f}", f"{row.summary.p90:.2f}")
        speed.add_row(str(row.length), str(row.threads), *times, "–" if peak is None else f"{peak:.1f}")
    first = Table("first token of", "threads", "p50 ms", "p90 ms", "runs", box=None, pad_edge=False)
    for row in measured.first_token:
        first.add_row(str(row.length), str(row.threads), f"{row.summary.p50:.1f}", f"{row.summary.p90:.1f}", str(row.summary.n))
    yield from (speed, Text(), first)
