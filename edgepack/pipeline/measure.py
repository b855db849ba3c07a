"""measure_pack(): measures a finished pack again, here or on other targets, and writes the new report."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edgepack.core.errors import EdgepackError, border_of_rust
from edgepack.core.files import check_writable
from edgepack.core.locks import only_one
from edgepack.core.progress import say
from edgepack.core.showing import without_folders
from edgepack.measure.answers import answer
from edgepack.measure.emulated import without_times
from edgepack.measure.golden import answers_on
from edgepack.measure.machines.targets import LOCAL, Target, transport
from edgepack.measure.measurement import FULL, Effort
from edgepack.measure.measuring import measure
from edgepack.measure.ops import OpsWish, check_ops, profile_ops, wished_providers
from edgepack.model.data import in_model_names, label_ids, load_data
from edgepack.model.quality import judge_outputs
from edgepack.pack.manifest import MANIFEST_FILE, REPORT_FILES, Manifest, Origin, StageRecord, check_files, read_manifest
from edgepack.pack.renewal import renew
from edgepack.pipeline.phone_runner import with_runner
from edgepack.report.records import Report
from edgepack.report.regression import against, check_comparable, check_same_machine, read_baseline
from edgepack.report.side_by_side import Outcome, judge_targets
from edgepack.report.write import place_report, write_report
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.scores import UNKNOWN, Quality
from edgepack.tasks.common.task import Features, Task


@border_of_rust()
def measure_pack(
    pack: Path,
    data: str | None = None,
    out: Path | None = None,
    effort: Effort = FULL,
    ops: OpsWish | bool = False,
    on: Sequence[Target] = (LOCAL,),
    baseline: Path | None = None,
    max_regression: float = 0.1,
) -> Report:
    """Measures `pack` on each of `on`, and its score here where test data is given or still where the build found it.

    `ops` looks at single ops too, and at where each ran. The report goes into `out`, or into the pack, which is then sealed anew. The
    pack keeps the score of its build: one that is measured here stands in the report alone. On other data than the build's, nothing is
    compared with the teacher, which is not in the pack. baseline: an older report.json of the same machines; what is worse by more than
    the share max_regression makes the report's exit code 2. EdgepackError where a file of the pack was changed, where the baseline is of
    another task, profile or machine, and where no target could measure; where one of several fails, the report says so and the others
    stand in it.
    """
    manifest = read_manifest(pack)
    check_files(pack, manifest, skip=REPORT_FILES)
    wish = OpsWish() if ops is True else ops or None
    if wish:
        wished_providers(wish.providers, manifest.plan.runtime, manifest.profile)
    older = read_baseline(baseline) if baseline else None
    if older:
        check_comparable(older, manifest.profile.name, manifest.task, [target.name for target in on])
    place = pack if out is None or out.resolve() == pack.resolve() else out
    check_writable(place, f"cannot write the report into {str(place)!r}", "name another folder with --out")
    if place is not pack and (place / MANIFEST_FILE).exists():
        raise EdgepackError(
            f"{str(place)!r} holds another pack, whose reports would no longer be its own", "name another folder with --out"
        )
    with only_one(place, "the place of the report", "wait for it, or name another folder with --out"):
        split = _test_split(pack, manifest, data)
        scored = _scored_again(pack, manifest, split) if split else manifest
        median_length = _median_length(split) if split else None
        outcomes = []
        for target in on:
            outcomes.append(_outcome(target, pack, manifest, median_length, effort, wish, older))
            if outcomes[-1].failure and len(on) > 1:
                say(f"{target.name}: {outcomes[-1].failure}\n  fix: {outcomes[-1].fix}")
        report = judge_targets(scored, outcomes, pack)
        if older:
            report = against(report, older, without_folders(str(baseline)), max_regression)
        if place is pack:
            renew(pack, manifest, lambda folder: write_report(folder, report))
        else:
            place_report(place, report)
    return report


def _outcome(
    target: Target, pack: Path, manifest: Manifest, median_length: int | None, effort: Effort, ops: OpsWish | None, older: Report | None
) -> Outcome:
    """The measurement on one target, or what an emulated one tells; its failure is a result too, so that the others go on."""
    try:
        with transport(target).opened(with_runner(target, manifest)) as machine:
            if ops:
                check_ops(machine, manifest, target.name)
            untimed = without_times(pack, manifest, machine, target.name)
            if untimed:
                return Outcome(target=target, emulation=untimed)
            if older:
                check_same_machine(older, target.name, machine.facts().machine)
            pushed = machine.push(pack, manifest)
            return Outcome(
                target=target,
                golden_difference=answers_on(machine, pack, manifest) if pushed else None,
                ops=profile_ops(pack, manifest, machine, ops) if ops else None,
                measurement=measure(pack, manifest, median_length, effort, machine, target.name),
                pushed=pushed,
            )
    except EdgepackError as error:
        return Outcome(target=target, failure=error.problem, fix=error.fix)


class _TestSplit(NamedTuple):
    """The test rows that a pack is asked again. source: the data they are of."""

    task: Task
    rows: list[Row]
    features: list[Features]
    labels: dict[str, int]
    source: Origin


def _test_split(pack: Path, manifest: Manifest, data: str | None) -> _TestSplit | None:
    """Of `data`, or of the build's own where it is still there; None where there is neither."""
    name = data or manifest.recipe.data
    if name is None or (data is None and not Path(name).exists()):
        return None
    from edgepack.model.checkpoint import load_tokenizer

    task = task_named(manifest.task)
    answers = task.answer_record.read(manifest.answers, str(pack)) if task.answer_record and manifest.answers is not None else None
    names = {int(index): name for index, name in manifest.labels.items()}
    task = task.restored(task, answers, [names[index] for index in sorted(names)])
    loaded = in_model_names(load_data(name, task, manifest.recipe.columns, manifest.recipe.seed), names, str(pack))
    rows = loaded.splits["test"]
    features = task.encode(load_tokenizer(pack), task.prompted(rows, answers), manifest.max_length)
    labels = label_ids(loaded, names, str(pack)) if loaded.labels else {}
    return _TestSplit(task, rows, features, labels, Origin(name=loaded.name, sha256=loaded.sha256))


def _median_length(split: _TestSplit) -> int:
    return sorted(len(item.ids) for item in split.features)[len(split.features) // 2]


def _scored_again(pack: Path, manifest: Manifest, split: _TestSplit) -> Manifest:
    """A copy of the manifest for the report, with the score that the shipped file has on this machine. The pack keeps its build's.

    On other data than the build's, no earlier row has a score: two scores of different data do not compare two models.
    """
    outputs = answer(pack, manifest.plan.runtime, split.features, threads=1, exact=manifest.plan.exact_products)
    quality = judge_outputs(split.task, outputs, split.features, split.rows, split.labels, teacher=None)  # which is not in the pack
    if manifest.data is not None and manifest.data.sha256 == split.source.sha256:
        return manifest.model_copy(update={"ladder": (*manifest.ladder[:-1], _with_quality(manifest, quality))})
    earlier = [row.model_copy(update=dict(UNKNOWN) | {"score_drop": None}) for row in manifest.ladder[:-1]]
    last = manifest.ladder[-1].model_copy(update=dict(quality) | {"score_drop": None})
    return manifest.model_copy(update={"ladder": (*earlier, last), "served": None, "data": split.source})


def _with_quality(manifest: Manifest, quality: Quality) -> StageRecord:
    """What is found now; and what only the teacher can tell stays as the build found it, for the same file on the same data."""
    built, teacher = manifest.ladder[-1], manifest.ladder[0].score
    score, calibration = quality.score or built.score, quality.calibration
    if calibration and built.calibration:
        of_teacher = {"teacher_kl": built.calibration.teacher_kl, "by_teacher": built.calibration.by_teacher}
        calibration = calibration.model_copy(update=of_teacher)
    update = {
        "score": score,
        "second": quality.second or built.second,
        "further": quality.further or built.further,
        "score_drop": round(score.drop_from(teacher), 3) if score and teacher else None,
        "calibration": calibration,
        "groups": quality.groups,
    }
    return built.model_copy(update=update)
