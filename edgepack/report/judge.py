"""judge(): whether the device's budgets hold, check by check, each with the origin of its number."""

from collections.abc import Iterator
from typing import NamedTuple

from edgepack.measure.measurement import LatencyRow, Measurement, headline_length
from edgepack.pack.manifest import Manifest, StageRecord
from edgepack.plan.saturation import saturates_u8s8
from edgepack.plan.steps import PruneWeights
from edgepack.report.facts import facts_of
from edgepack.report.next_step import next_step
from edgepack.report.records import BUDGETS, Check, Holds, Origin, Report, Verdict
from edgepack.tasks.common.metrics import METRIC_NOTES


def judge(manifest: Manifest, measurement: Measurement | None) -> Report:
    """Measured figures judge the device only where they come from it. Elsewhere its latency, load and memory are predicted."""
    checks = tuple(_checks(manifest, measurement))
    verdict = _verdict(checks, measurement)
    return Report(
        verdict=verdict,
        headline=_headline(verdict, checks, manifest, measurement),
        pack_id=manifest.pack_id,
        profile=manifest.profile.name,
        device=f"{manifest.profile.summary} ({manifest.profile.cpu.part})",
        task=manifest.task,
        precision=manifest.precision,
        checks=checks,
        ladder=manifest.ladder,
        steps=manifest.plan.steps,
        predictions=manifest.predictions,
        measurements=measurement,
        environment={"versions": manifest.versions} | (measurement.environment if measurement else {}),
        files_mb={file.name: round(file.bytes / 1e6, 3) for file in manifest.files},
        notes=tuple(_notes(manifest, measurement)),
        facts=facts_of(manifest),
    )


def headline_latency(measurement: Measurement, length: int) -> LatencyRow | None:
    """The row that the latency budget means: its length, on all cores."""
    rows = [row for row in measurement.latency if row.length == length]
    return max(rows, key=lambda row: row.threads, default=None)


class _Figure(NamedTuple):
    actual: float | None
    origin: Origin | None
    where: str


def _checks(manifest: Manifest, measurement: Measurement | None) -> Iterator[Check]:
    here = measured_here(manifest, measurement)
    for name, limit in manifest.plan.budget.model_dump(exclude_none=True).items():
        actual, origin, where = _figure(name, manifest, measurement, here)
        timed_there = measurement is not None and measurement.is_the_device and name in ("latency_ms", "load_ms")
        holds_here = actual is not None and actual <= limit
        proves_nothing = timed_there and holds_here and measurement is not None and measurement.proves_nothing
        if proves_nothing:
            where = f"{where}, in a quick run while other programs ran, which proves nothing"
        yield Check(
            name=name,
            limit=limit,
            actual=actual,
            ok=None if actual is None or proves_nothing else holds_here,
            origin=origin,
            where=where,
            here=here.get(name),
            margin=None if actual is None or not limit else round(1 - actual / limit, 4),
            next_step=next_step(manifest, name, actual, limit) if actual is not None and actual > limit else None,
            holds="unknown"
            if proves_nothing
            else _holds(actual, limit, None if origin == "measured" else (manifest.predictions.mean_error or {}).get(name, 1.0)),
        )


def _figure(name: str, manifest: Manifest, measurement: Measurement | None, here: dict[str, float | None]) -> _Figure:
    """The figure that a budget is held against, and where it comes from."""
    if name == "file_mb":
        tokenizer_mb = sum(file.bytes for file in manifest.files if file.name == "tokenizer.json") / 1e6
        return _Figure(round(manifest.file_mb, 3), "measured", f"the model's files; tokenizer.json adds {tokenizer_mb:.2f} MB")
    if name == "score_drop":
        return _score_drop(manifest)
    if measurement is None or not measurement.is_the_device:
        return _Figure(getattr(manifest.predictions, name), "predicted", f"for {manifest.profile.cpu.part}")
    actual = here[name]
    if name == "load_ms" and actual is not None and manifest.profile.cpu.arch == "wasm32":
        return _Figure(_with_download(manifest, actual), "predicted", "a measured load, and the predicted time of the download")
    return _Figure(actual, "measured", measurement.where)


def _score_drop(manifest: Manifest) -> _Figure:
    """By raw text, where that is answered otherwise than token ids: it is what users get."""
    last, served = manifest.ladder[-1], manifest.served
    if served and served.differing and served.score_drop is not None:
        return _Figure(served.score_drop, "measured", "the shipped file, on raw texts of the test split")
    if last.score_drop is not None:
        return _Figure(last.score_drop, "measured", "the shipped file, on the test split")
    return _Figure(None, None, "the teacher has no score on this data" if last.score else "there is no test data")


def _holds(actual: float | None, limit: float, error: float | None) -> Holds:
    """error: the share by which such predictions were off; None where the figure was measured."""
    if actual is None:
        return "unknown"
    if error is not None and abs(limit - actual) <= error * actual:
        return "likely" if actual <= limit else "unlikely"
    return "yes" if actual <= limit else "no"


def measured_here(manifest: Manifest, measurement: Measurement | None) -> dict[str, float | None]:
    if measurement is None:
        return {}
    length = headline_length(manifest)
    latency = headline_latency(measurement, length)
    cold = next(row for row in measurement.load if row.cold)
    return {
        "latency_ms": latency.summary.p90 if latency else None,
        "load_ms": sorted(cold.session_ms)[len(cold.session_ms) // 2],
        "ram_mb": max((row.peak_mb for row in measurement.memory if row.length == length and row.peak_mb is not None), default=None),
    }


def _with_download(manifest: Manifest, load_ms: float) -> float:
    """A browser's cold load was measured on loopback: at the profile's own speed the files take this longer."""
    return round(load_ms + manifest.file_mb / manifest.profile.storage.read_mb_s * 1e3, 1)


def _verdict(checks: tuple[Check, ...], measurement: Measurement | None) -> Verdict:
    if any(check.ok is False for check in checks):
        return "over budget"
    if measurement is None or not measurement.is_the_device or any(check.ok is None for check in checks):
        return "not measured"
    return "fits"


def _headline(verdict: Verdict, checks: tuple[Check, ...], manifest: Manifest, measurement: Measurement | None) -> str:
    device = manifest.profile.name
    if verdict == "over budget":
        over = "; ".join(_exceeded(check) for check in checks if check.ok is False)
        return f"On {device}: {over}."
    if verdict == "fits":
        partly = [check.name for check in checks if check.origin == "predicted"]
        return f"Every budget of {device} holds, measured on the device." + (
            f" A part of {', '.join(partly)} is predicted." if partly else ""
        )
    where = "no machine measured the pack" if measurement is None else f"the pack was measured on {measurement.where}"
    groups = {
        "Measured to fit": [check.name for check in checks if check.origin == "measured"],
        "Predicted to fit": [check.name for check in checks if check.origin == "predicted" and check.holds == "yes"],
        "Likely to fit, but too near to the limit to be sure": [check.name for check in checks if check.holds == "likely"],
        "Not known": [check.name for check in checks if check.ok is None],
    }
    parts = [f"{what}: {', '.join(names)}." for what, names in groups.items() if names]
    return " ".join([f"No {device} measured it: {where}.", *parts])


def _exceeded(check: Check) -> str:
    name, unit = BUDGETS[check.name]
    origin = {"no": check.origin, "unlikely": "predicted, but so near to the limit that it may fit"}.get(check.holds, check.origin)
    return f"{name} ({check.name}) is {check.actual:g} {unit} ({origin}), over the budget of {check.limit:g} {unit}"


def _what_zeros_bring(ladder: tuple[StageRecord, ...]) -> str:
    coded = [row for row in ladder if row.coded_mb is not None]
    sizes = ", ".join(f"{row.coded_mb:.2f} MB after {row.stage}" for row in coded)
    return (
        "Zeroed weights make no runtime faster and the file no smaller. They only compress better: the layers' matrices in int8, "
        f"compressed to their entropy (of order 0, calculated), take {sizes}."
    )


def _notes(manifest: Manifest, measurement: Measurement | None) -> Iterator[str]:
    for row in manifest.ladder:
        if row.details:
            yield f"{row.stage}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.details.items())
    scores = {score.metric for row in manifest.ladder for score in (row.score, row.second) if score}
    yield from (note for metric, note in METRIC_NOTES.items() if metric in scores)
    yield from (f"The plan itself predicts {broken}." for broken in manifest.plan.broken)
    if measurement is None or not measurement.is_the_device:
        yield f"Predicted figures: {manifest.predictions.doubt()}"
    if any(isinstance(step, PruneWeights) for step in manifest.plan.steps):
        yield _what_zeros_bring(manifest.ladder)
    if measurement is not None:
        if measurement.first_start:
            first = measurement.first_start
            yield (
                f"Weight cache: the first start took {first.session_ms:.0f} ms and left {first.disk_mb:.1f} MB beside the pack, "
                f"measured on {measurement.where}. Every load in this report used that cache."
            )
        yield from measurement.doubts
        machine = measurement.environment["machine"]
        if saturates_u8s8(machine["arch"], machine["isa"]) and manifest.plan.exact_products:
            yield (
                "This machine's fast int8 products saturate, and the device's do not. Scores and golden vectors were computed with "
                "exact products, and latency was measured with the fast ones."
            )
