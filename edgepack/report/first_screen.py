"""What a report shows first, for readers who know no machine learning: four figures before and after, a verdict, and what to do next."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from edgepack.core.showing import without_folders
from edgepack.measure.measurement import Measurement
from edgepack.pack.manifest import Manifest
from edgepack.plan.budget_words import BUDGETS
from edgepack.plan.command import composed_command
from edgepack.plan.cost_model import predict
from edgepack.plan.precision import exported_precision
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile_files import profile_names
from edgepack.plan.runtime import runtime_facts
from edgepack.report.figures import adds_to_loss, figure, in_digits, measured_here, score_of
from edgepack.report.ladder import score_text, spoken
from edgepack.report.records import Check, Holds, Report, Tile, TileName, Verdict
from edgepack.tasks import task_named
from edgepack.tasks.common.scores import Score

TILES: Final[dict[TileName, tuple[str, str]]] = {
    "file_mb": ("File size", "MB"),
    "latency_ms": ("Time for one answer", "ms"),
    "ram_mb": ("Memory", "MB"),
    "score_drop": ("Quality lost", "points"),
}

_LEAST_CHANGE = 1.02
_OF_ANDROID = "nnapi"
BETTER: Final = {"file_mb": "smaller", "latency_ms": "faster", "ram_mb": "less"}
WORSE: Final = {"file_mb": "larger", "latency_ms": "slower", "ram_mb": "more"}
VERDICTS: Final[dict[Verdict, str]] = {"fits": "fits", "over budget": "over budget", "not measured": "not measured on the device"}
_UNKNOWN_THERE: Final = "not known to fit"  # the device measured it, and a limit is open all the same
_PURPOSES: Final[dict[Verdict, str]] = {  # what the next command is for
    "fits": "make a module for an app",
    "over budget": "build it again with these settings",
    "not measured": "measure it on the device itself",
}
_TO_KNOW_THE_SCORE: Final = "learn how much quality is lost"
_PLACEHOLDERS: Final = {  # of the next command, and what a user puts there
    "PACK": "PACK is the folder of this report",
    "MODEL": "MODEL is the model that this pack was built from",
    "DATA": "DATA is the folder of its texts",
    "PROFILE": "PROFILE is the file of your device profile",
    "PLATFORM": "PLATFORM is android, deb, jvm, linux, python or web",
    "ssh://user@device": "user@device is how you log in to the device",
    "adb://": "adb:// is the phone that is plugged in, with USB debugging on",
}
HOLDS: Final[dict[Holds, str]] = {
    "yes": "within the limit",
    "likely": "likely within the limit",
    "unlikely": "likely over the limit",
    "no": "over the limit",
    "unknown": "not known",
}


def tile_titles(task: str) -> dict[TileName, tuple[str, str]]:
    """What each figure is called, and its unit: a model that writes text is timed by the token."""
    decodes = task_named(task).decodes
    return TILES | ({"latency_ms": ("Time for one token", "ms")} if decodes else {})


def tiles_of(manifest: Manifest, measurement: Measurement | None, checks: Sequence[Check]) -> Iterator[Tile]:
    """The pack's figures beside those of the teacher as it came: in fp32, in the same runtime on the same device, predicted."""
    before, after = _teacher(manifest), manifest.predictions
    here = measured_here(manifest, measurement)
    known = {check.name: check for check in checks}
    for name in TILES:
        actual, origin, where = figure(name, manifest, measurement, here)
        check = known.get(name)
        tile = Tile(
            name=name,
            value=actual,
            origin=origin,
            where=where,
            error=manifest.predictions.error_of(name) if origin == "predicted" else None,
            before=None,
            before_origin=None,
            times=None,
            times_origin=None,
            what=_what(name, manifest),
            limit=check.limit if check else None,
            holds=check.holds if check else None,
        )
        yield tile.model_copy(update=_before(name, manifest, before, after))


def change_in_words(tile: Tile) -> str | None:
    """How often smaller, faster or less, or the other way; a change of less than 2 % is none. None where it is not known."""
    if tile.times is None:
        return None
    factor = max(tile.times, 1 / tile.times)
    if factor < _LEAST_CHANGE:
        return "the same as before"
    return f"{factor:.3g} times {BETTER[tile.name] if tile.times > 1 else WORSE[tile.name]}"


def limit_in_words(tile: Tile) -> str | None:
    """Whether the limit holds, as far as that is known."""
    if tile.holds is None or tile.limit is None:
        return None
    unit = TILES[tile.name][1]
    stated = f"{in_digits(tile.limit)} {'point' if (unit, tile.limit) == ('points', 1) else unit}"
    return f"not known; the limit is {stated}" if tile.holds == "unknown" else f"{HOLDS[tile.holds]} of {stated}"


def quality_in_words(before: Score, after: Score) -> str:
    """What a point is, and the score of the teacher and of the pack."""
    scale = "a point is 1 % of what it was before, and lower is better" if after.lower_is_better else "of 100"
    return f"{scale}; {spoken(after.metric)} {score_text(before.value)} before, {score_text(after.value)} after"


def verdict_sentence(verdict: Verdict, checks: Sequence[Check], device: str) -> str:
    """One sentence in plain words."""
    over = [check for check in checks if check.ok is False]
    unknown = [check for check in checks if check.ok is None]
    if verdict == "fits":
        return f"This model fits {device}: it keeps every limit, and {device} measured it."
    if over:
        names = _listed([_spoken_figure(check.name) for check in over])
        surely = "" if any(check.holds == "no" for check in over) else "probably "
        return f"This model {surely}does not fit {device}. Over the limit: {names}."
    if unknown or not checks:
        names = _listed([_spoken_figure(check.name) for check in unknown])
        return f"Nobody knows yet whether this model fits {device}" + (f". Not known: {names}." if names else ".")
    return f"This model probably fits {device}: every limit holds by prediction or by the file itself, but no {device} has measured it yet."


def next_command(manifest: Manifest, verdict: Verdict, checks: Sequence[Check]) -> str | None:
    """PACK stands for the pack's folder, MODEL and DATA for what it was built from, PROFILE for the file of a profile that is not shipped,
    PLATFORM for android, deb, jvm, linux, python or web.

    None where no command would help.
    """
    if verdict == "fits":
        return "edgepack ship PACK --for PLATFORM --out module"
    if verdict == "not measured" and _lacks_score(checks):
        is_scored = any(row.score for row in manifest.ladder)  # on other data than the build's, which has the teacher's score
        return "edgepack measure PACK --data DATA" if manifest.recipe.data and is_scored else _build_command(manifest, "--data DATA")
    if verdict == "not measured":
        return f"edgepack measure PACK --on {_address(manifest)}"
    flags = next((check.next_flags for check in checks if check.ok is False and check.next_flags), None)
    return None if flags is None else _build_command(manifest, flags)


def verdict_in_words(report: Report) -> str:
    """As the heading of a report has it."""
    there = report.measurements is not None and report.measurements.is_the_device
    return _UNKNOWN_THERE if report.verdict == "not measured" and there else VERDICTS[report.verdict]


def purpose_in_words(report: Report) -> str:
    """What the next command is for."""
    return _TO_KNOW_THE_SCORE if report.verdict == "not measured" and _lacks_score(report.checks) else _PURPOSES[report.verdict]


def placeholders_in_words(command: str) -> str:
    """What stands for what in such a command; empty where nothing does."""
    return "; ".join(words for placeholder, words in _PLACEHOLDERS.items() if placeholder in shlex.split(command))


def _lacks_score(checks: Sequence[Check]) -> bool:
    return any(check.name == "score_drop" and check.actual is None for check in checks)


def _build_command(manifest: Manifest, flags: str) -> str:
    recipe = manifest.recipe.model_copy(update={"model": "MODEL", "data": "DATA" if manifest.recipe.data else None})
    profile_file = None if manifest.profile.name in profile_names() else "PROFILE"
    return without_folders(composed_command(recipe, manifest.profile, profile_file, flags))


def _address(manifest: Manifest) -> str:
    """Of such a device: a browser's, a phone's, or a board's. A profile that lists Android's own accelerator is a phone's."""
    is_phone = manifest.profile.min_sdk is not None or _OF_ANDROID in manifest.profile.accelerators
    return runtime_facts(manifest.plan.runtime).measured_on or ("adb://" if is_phone else "ssh://user@device")


def _teacher(manifest: Manifest) -> Prediction:
    return predict(manifest.plan.teacher, exported_precision(), manifest.profile, manifest.plan.runtime, manifest.predictions.length)


def _before(name: TileName, manifest: Manifest, before: Prediction, after: Prediction) -> dict[str, object]:
    if name == "score_drop":
        return {}
    if name == "file_mb":
        whole = manifest.ladder[0].file_mb
        return {"before": whole, "before_origin": "measured", "times": _times(whole, manifest.file_mb), "times_origin": "measured"}
    then = getattr(before, name)
    return {"before": then, "before_origin": "predicted", "times": _times(then, getattr(after, name)), "times_origin": "predicted"}


def _times(before: float, after: float) -> float | None:
    return round(before / after, 2) if after else None


def _what(name: TileName, manifest: Manifest) -> str:
    cores, length = manifest.profile.cpu.cores, manifest.predictions.length
    if name == "file_mb":
        return "what an app downloads"
    if name == "latency_ms":
        unit = (
            f"a token is a word or a part of one; this one comes after {length} others"
            if manifest.predictions.first_token_ms is not None
            else f"a text of {length} tokens, which are words or parts of words"
        )
        return f"{unit}, {cores} cores; 9 of 10 answers take less"
    if name == "ram_mb":
        return "at its highest, without what the empty runtime takes"
    score, teacher, served = score_of(manifest), manifest.ladder[0].score, manifest.served
    if score is None:
        return "no test data was given: build with --data, and it is measured"
    if teacher is None:
        return f"{spoken(score.metric)} {score_text(score.value)}; the teacher has no score on this data, so what is lost is not known"
    more = ""
    if served and adds_to_loss(manifest):
        more = f" on token ids; raw texts lose {served.score.drop_from(served.token_score):.2f} points beside them, which is added"
    return quality_in_words(teacher, score) + more


def _spoken_figure(name: str) -> str:
    """As the tile of that figure is titled; load time has no tile."""
    return TILES[name][0].lower() if name in TILES else BUDGETS[name][0]


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
