"""Figures of a pack: what is known of each budget's figure, where it comes from, and how readers see a figure."""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, Final, NamedTuple

from edgepack.measure.measurement import LatencyRow, Measurement, headline_length
from edgepack.pack.manifest import Manifest
from edgepack.plan.budget_words import BUDGETS
from edgepack.plan.prediction import Prediction, nearly_within
from edgepack.plan.profile import Budget
from edgepack.report.records import Holds, Origin
from edgepack.tasks.common.scores import Score

_OF_MACHINES: Final = {  # a fact that a target tells of its machine: as readers call it, and its unit
    "arch": ("architecture", ""),
    "cpu": ("CPU", ""),
    "cpu_part": ("CPU part", ""),
    "isa": ("instructions", ""),
    "clock_mhz": ("clock", "MHz"),
    "temperature_c": ("temperature", "°C"),
    "memory_mb": ("memory", "MB"),
    "memory_free_mb": ("free memory", "MB"),
    "os": ("system", ""),
    "python": ("Python", ""),
    "java": ("Java", ""),
}


class Figure(NamedTuple):
    """where: the machine or the data, in words."""

    actual: float | None
    origin: Origin | None
    where: str


def figure(name: str, manifest: Manifest, measurement: Measurement | None, here: dict[str, float | None]) -> Figure:
    """The figure that a budget is held against, and where it comes from."""
    if name == "file_mb":
        tokenizer_mb = sum(file.bytes for file in manifest.files if file.name == "tokenizer.json") / 1e6
        return Figure(round(manifest.file_mb, 3), "measured", f"the model's files; tokenizer.json adds {tokenizer_mb:.2f} MB")
    if name == "score_drop":
        return _score_drop(manifest)
    if measurement is None or not measurement.is_the_device:
        return Figure(getattr(manifest.predictions, name), "predicted", f"for {manifest.profile.cpu.part}")
    actual = here[name]
    if name == "load_ms" and actual is not None and manifest.profile.cpu.arch == "wasm32":
        return Figure(_with_download(manifest, actual), "predicted", "a measured load, and the predicted time of the download")
    return Figure(actual, "measured", measurement.where)


def figures_of(manifest: Manifest, measurement: Measurement | None) -> dict[str, Figure]:
    """What each budget is held against, wherever a pack's figures are shown."""
    here = measured_here(manifest, measurement)
    return {name: figure(name, manifest, measurement, here) for name in BUDGETS}


def score_of(manifest: Manifest) -> Score | None:
    """The score beside the points lost: by raw text, where that judges the budget by itself."""
    last, served = manifest.ladder[-1].score, manifest.served
    judges = served is not None and served.differing and served.score_drop is not None and not adds_to_loss(manifest)
    return served.score if served and judges else last


def adds_to_loss(manifest: Manifest) -> bool:
    """Whether raw texts are answered otherwise, but too few of them were asked to tell a score of their own."""
    last, served = manifest.ladder[-1], manifest.served
    if not served or not served.differing or not last.score or last.score_drop is None:
        return False
    return served.score_drop is not None and served.score.rows < last.score.rows


def verdict_on(name: str, figure: Figure, limit: float, predictions: Prediction) -> Holds:
    """Whether a budget's limit holds by a figure, with the error of such predictions where it is one of `predictions`."""
    known = predictions.error_of(name)
    return holds(name, figure.actual, limit, None if figure.origin == "measured" else inf if known is None else known)


def is_over(name: str, figure: Figure, limit: float, predictions: Prediction) -> bool:
    """Whether a figure counts as over its limit: not where it is predicted, and over by far less than such predictions are off."""
    return figure.actual is not None and figure.actual > limit and verdict_on(name, figure, limit, predictions) != "likely"


def excesses(budget: Budget, figures: Mapping[str, Figure], predictions: Prediction) -> dict[str, float]:
    """The budgets that figures are over, as a report judges them, with how often; the figure itself where the limit is 0."""
    limits = budget.model_dump(exclude_none=True)
    over = [name for name in limits if is_over(name, figures[name], limits[name], predictions)]
    values = {name: value for name in over if (value := figures[name].actual) is not None}
    return {name: round(value / limits[name], 3) if limits[name] else value for name, value in values.items()}


def _score_drop(manifest: Manifest) -> Figure:
    """By raw text, where that is answered otherwise than token ids: it is what users get.

    A few raw texts tell no score of their own, but what they lose beside the same texts as token ids: that is added.
    """
    last, served = manifest.ladder[-1], manifest.served
    if served and served.differing and served.score_drop is not None:
        if last.score_drop is not None and adds_to_loss(manifest):
            drop = round(last.score_drop + served.score.drop_from(served.token_score), 3)
            return Figure(drop, "measured", "the shipped file, on the test split, and what raw texts lose beside it")
        return Figure(served.score_drop, "measured", "the shipped file, on raw texts of the test split")
    if last.score_drop is not None:
        return Figure(last.score_drop, "measured", "the shipped file, on the test split")
    return Figure(None, None, "the teacher has no score on this data" if last.score else "there is no test data")


def headline_latency(measurement: Measurement, length: int) -> LatencyRow | None:
    """The row that the latency budget means: its length, on all cores."""
    rows = [row for row in measurement.latency if row.length == length]
    return max(rows, key=lambda row: row.threads, default=None)


def measured_here(manifest: Manifest, measurement: Measurement | None) -> dict[str, float | None]:
    """Latency (p90, ms), cold load (median, ms) and peak memory (MB) of a measurement; empty without one."""
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


def holds(name: str, actual: float | None, limit: float, error: float | None) -> Holds:
    """error: the share by which such predictions were off, infinite where nobody knows; None where the figure was measured."""
    if actual is None:
        return "unknown"
    if error is not None and (error == inf or abs(limit - actual) <= error * actual):
        return "likely" if nearly_within(name, actual, limit) else "unlikely"
    return "yes" if actual <= limit else "no"


def in_digits(value: float | None, digits: int = 3) -> str:
    """A figure for readers: whole from 100 on, so never 2.05e+03. What is not known is shown as a dash, never as 0."""
    if value is None:
        return "–"
    return f"{value:.{digits}g}" if abs(value) < 100 else f"{value:.0f}"


def machine_facts(machine: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of each fact that is known, as readers know them."""
    for key, value in machine.items():
        name, unit = _OF_MACHINES.get(key, (key.replace("_", " "), ""))
        shown = (
            ", ".join(map(str, value)) if isinstance(value, list | tuple) else in_digits(value) if isinstance(value, float) else str(value)
        )
        if value is not None and shown:
            yield name, f"{shown} {unit}".rstrip()


def size_in_words(mb: float) -> str:
    """Of a file that may be far smaller than 1 MB: never 0 MB."""
    if mb >= 1:
        return f"{in_digits(mb)} MB"
    return f"{in_digits(mb * 1e3)} kB" if mb >= 1e-3 else f"{mb * 1e6:.0f} bytes"
