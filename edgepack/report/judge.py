"""judge(): whether the device's budgets hold, check by check, each with the origin of its number."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

from edgepack.core.showing import without_folders
from edgepack.measure.measurement import Measurement
from edgepack.pack.manifest import Manifest, StageRecord
from edgepack.plan.budget_words import BUDGETS, BudgetName
from edgepack.plan.saturation import saturates_u8s8
from edgepack.plan.steps import CutVocabulary, PruneWeights, Step
from edgepack.report.facts import facts_of
from edgepack.report.figures import figure, is_over, measured_here, verdict_on
from edgepack.report.first_screen import next_command, tiles_of, verdict_sentence
from edgepack.report.next_step import next_step
from edgepack.report.records import Check, Report, Verdict
from edgepack.report.training_doubts import doubts_of_training
from edgepack.tasks.common.metrics import METRIC_NOTES

_BESIDE_ASKED = 0.05  # bits
_UNCHANGED_DB = 60.0  # an error so far below the weights is none: a training put them on the grid


def judge(manifest: Manifest, measurement: Measurement | None) -> Report:
    """Measured figures judge the device only where they come from it. Elsewhere its latency, load and memory are predicted."""
    checks = tuple(_checks(manifest, measurement))
    verdict = _verdict(checks, measurement)
    return Report(
        model=without_folders(manifest.source.name),
        date=datetime.now(UTC).date().isoformat(),
        verdict=verdict,
        summary=verdict_sentence(verdict, checks, manifest.profile.name),
        headline=_headline(verdict, checks, manifest, measurement),
        doubts=tuple(doubts_of_training(manifest.recipe, manifest.ladder)),
        tiles=tuple(tiles_of(manifest, measurement, checks)),
        next_command=next_command(manifest, verdict, checks),
        pack_id=manifest.pack_id,
        profile=manifest.profile.name,
        device=f"{manifest.profile.summary} ({manifest.profile.cpu.part})",
        task=manifest.task,
        precision=manifest.precision,
        checks=checks,
        ladder=manifest.ladder,
        data_sha256=manifest.data.sha256 if manifest.data else None,
        steps=tuple(_shared(step) for step in manifest.plan.steps),
        predictions=manifest.predictions,
        measurements=measurement,
        environment={"versions": manifest.versions} | (measurement.environment if measurement else {}),
        files_mb={file.name: file.bytes / 1e6 for file in manifest.files},
        notes=tuple(_notes(manifest, measurement)),
        facts=facts_of(manifest),
        continuations=manifest.continuations,
    )


def _shared(step: Step) -> Step:
    """As a report names it, which may be passed on."""
    return step.model_copy(update={"corpus": without_folders(step.corpus)}) if isinstance(step, CutVocabulary) else step


def _checks(manifest: Manifest, measurement: Measurement | None) -> Iterator[Check]:
    here = measured_here(manifest, measurement)
    for name, limit in manifest.plan.budget.model_dump(exclude_none=True).items():
        actual, origin, where = known = figure(name, manifest, measurement, here)
        timed_there = measurement is not None and measurement.is_the_device and name in ("latency_ms", "load_ms")
        holds_here = actual is not None and actual <= limit
        proves_nothing = timed_there and holds_here and measurement is not None and measurement.proves_nothing
        if proves_nothing:
            where = f"{where}, in a quick run while other programs ran, which proves nothing"
        over = is_over(name, known, limit, manifest.predictions)
        step = next_step(manifest, name, actual, limit) if actual is not None and over else None
        yield Check(
            name=cast(BudgetName, name),
            limit=limit,
            actual=actual,
            ok=False if over else True if holds_here and not proves_nothing else None,
            origin=origin,
            where=where,
            here=here.get(name),
            margin=None if actual is None or not limit else round(1 - actual / limit, 4),
            next_step=step.sentence if step else None,
            next_flags=step.flags if step else None,
            holds="unknown" if proves_nothing else verdict_on(name, known, limit, manifest.predictions),
        )


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
            f" A part of {', '.join(BUDGETS[name][0] for name in partly)} is predicted." if partly else ""
        )
    if measurement is None:
        lead = f"No {device} measured it: no machine measured the pack."
    elif measurement.is_the_device:
        lead = f"The device itself measured it ({measurement.where}), but not every budget is known to hold."
    else:
        lead = f"No {device} measured it: the pack was measured on {measurement.where}."
    groups = {
        "Measured to fit": [check.name for check in checks if check.origin == "measured" and check.ok],
        "Predicted to fit": [check.name for check in checks if check.origin == "predicted" and check.holds == "yes"],
        "Likely to fit, but the prediction may be off by more": [check.name for check in checks if check.holds == "likely"],
        "Not known": [check.name for check in checks if check.ok is None and check.holds != "likely"],
    }
    parts = [f"{what}: {', '.join(BUDGETS[name][0] for name in names)}." for what, names in groups.items() if names]
    return " ".join([lead, *parts])


def _exceeded(check: Check) -> str:
    name, unit = BUDGETS[check.name]
    origin = {"no": check.origin, "unlikely": "predicted, but it may be off by more than that and fit"}.get(check.holds, check.origin)
    return f"{name} is {check.actual:g} {unit} ({origin}), over the budget of {check.limit:g} {unit}"


def _what_zeros_bring(ladder: tuple[StageRecord, ...]) -> str:
    coded = [row for row in ladder if row.coded_mb is not None]
    sizes = ", ".join(f"{row.coded_mb:.2f} MB after {row.stage}" for row in coded)
    return (
        "Zeroed weights make no runtime faster and the file no smaller. They only compress better: the layers' matrices in int8, "
        f"compressed to their entropy (of order 0, calculated), take {sizes}."
    )


def _what_a_grid_takes(manifest: Manifest) -> Iterator[str]:
    """Bits that were asked for and did not come; and magnitude pruning beside a coarse grid, on the same weights."""
    asked = manifest.plan.coding.bits if manifest.plan.coding else None
    for row in manifest.ladder:
        bits, signal_db = row.details.get("bits"), row.details.get("signal_db")
        if asked is not None and bits is not None and abs(float(bits) - asked) > _BESIDE_ASKED:
            yield f"The trained grid takes {bits} bits a weight, where {asked:g} were asked for. It is shipped as the training left it."
        if "half_zero_bits" in row.details and signal_db is not None and float(signal_db) < _UNCHANGED_DB:
            yield (
                f"The coarse grid takes {bits} bits a weight with an error {signal_db} dB below the weights. "
                f"Half of the weights at zero, and int8 for the others, would take {row.details['half_zero_bits']} bits with an error "
                f"{row.details['half_zero_signal_db']} dB below them: pruning single weights is no way to fewer bits (calculated)."
            )


def _what_few_values_cost(manifest: Manifest) -> Iterator[str]:
    """Of ternary and binary weights: what they take, and what they lost beside the model as it came."""
    weights = manifest.plan.coding.weights if manifest.plan.coding else None
    row = next((row for row in manifest.ladder if "few_values_share" in row.details), None)
    if weights is None or row is None:
        return
    lost = "" if row.score_drop is None else f" They and the training lost {row.score_drop:.2f} points beside the model as it came."
    fine = 1 - float(row.details["few_values_share"])
    rest = f" {fine:.1%} of them are as fine as int8 is: no training sees small matrices, nor what an export computes." if fine else ""
    yield f"The weights are {weights}, and the entropy of each is {row.details['bits']} bits.{rest}{lost}"


def _what_decoding_costs(manifest: Manifest, measurement: Measurement) -> str:
    """The storage's speed at which coded weights load as fast as plain ones, beside the speeds that are known."""
    coding = measurement.coding
    assert coding is not None
    fastest = coding.decoding[-1]
    storage = measurement.storage
    here = f", the one here reads {storage.read_mb_s:g}" if storage and storage.is_proved else ""
    return (
        f"Coded weights: {fastest.mb_s:g} MB/s are decoded on {fastest.threads} threads (measured), so they load faster from a storage "
        f"below {coding.break_even_mb_s:g} MB/s (decode speed x (1 - {coding.coded_mb:.1f} / {coding.decoded_mb:.1f})). The profile's "
        f"{manifest.profile.storage.kind} reads {manifest.profile.storage.read_mb_s:g} MB/s{here}"
    )


def _notes(manifest: Manifest, measurement: Measurement | None) -> Iterator[str]:
    for row in manifest.ladder:
        if row.details:
            yield f"{row.stage}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.details.items())
    scores = {score.metric for row in manifest.ladder for score in (row.score, row.second, *row.further) if score}
    yield from (note for metric, note in METRIC_NOTES.items() if metric in scores)
    if manifest.ladder[-1].score and not any(row.score for row in manifest.ladder[:-1]):
        yield "Only the shipped file has a score on this data. It is compared neither with the teacher nor with an earlier stage."
    yield from (f"The plan itself predicts {broken}." for broken in manifest.plan.broken)
    if measurement is None or not measurement.is_the_device:
        yield f"Predicted figures: {manifest.predictions.doubt()}"
    yield from _what_a_grid_takes(manifest)
    yield from _what_few_values_cost(manifest)
    if any(isinstance(step, PruneWeights) for step in manifest.plan.steps):
        yield _what_zeros_bring(manifest.ladder)
    if measurement is not None:
        if measurement.coding:
            yield _what_decoding_costs(manifest, measurement)
        if measurement.first_start:
            first = measurement.first_start
            yield (
                f"Weight cache: the first start took {first.session_ms:.0f} ms and left {first.disk_mb:.1f} MB beside the pack, "
                f"measured on {measurement.where}. Every load in this report used that cache."
            )
        yield from measurement.doubts
        machine = measurement.environment["machine"]
        if saturates_u8s8(machine["arch"], machine["isa"] or ()) and manifest.plan.exact_products:
            yield (
                "This machine's fast int8 products saturate, and the device's do not. Scores and golden vectors were computed with "
                "exact products, and latency was measured with the fast ones."
            )
