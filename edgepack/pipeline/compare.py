"""compare(): several packs of one task on one or more targets, measured in turn, as one page."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from edgepack.core.errors import EdgepackError, border_of_rust
from edgepack.core.files import check_output, written_whole
from edgepack.core.locks import only_one
from edgepack.core.progress import say
from edgepack.core.showing import message_without_folders
from edgepack.measure.comparing import compare_on
from edgepack.measure.machines.targets import LOCAL, Target, transport
from edgepack.measure.measurement import FULL, Effort
from edgepack.pack.manifest import REPORT_FILES, Manifest, check_files, read_manifest
from edgepack.pipeline.phone_runner import with_runner
from edgepack.report.comparison import ComparisonReport, Failed, compared_pack, write_comparison


@border_of_rust()
def compare(packs: Sequence[Path], out: Path | None = None, effort: Effort = FULL, on: Sequence[Target] = (LOCAL,)) -> ComparisonReport:
    """Ratios to the first of `packs`, on each of `on`. With `out` the page goes there.

    EdgepackError: fewer than two packs, one that was changed, packs of different tasks, an `out` that holds something, and where no
    target could measure; one of several targets that fails stands in the report.
    """
    manifests = _checked(packs)
    with only_one(out, "the output") if out is not None else nullcontext():
        return _compared(packs, manifests, out, effort, on)


def _compared(
    packs: Sequence[Path], manifests: Sequence[Manifest], out: Path | None, effort: Effort, on: Sequence[Target]
) -> ComparisonReport:
    if out is not None:
        check_output(out)
    names = _names(packs)
    comparisons, failed = [], list[tuple[Target, EdgepackError]]()
    for target in on:
        try:
            with transport(target).opened(with_runner(target, manifests[0])) as machine:
                comparisons.append(compare_on(machine, target.name, list(zip(packs, manifests, strict=True)), effort))
        except EdgepackError as error:
            if len(on) == 1:
                raise
            say(f"{target.name}: {error.problem}\n  fix: {error.fix}")
            failed.append((target, error))
    if not comparisons:
        problems = "; ".join(f"{target.name}: {error.problem}" for target, error in failed)
        raise EdgepackError(f"no target could measure the packs: {problems}", failed[0][1].fix)
    compared = tuple(compared_pack(name, manifest) for name, manifest in zip(names, manifests, strict=True))
    failures = tuple(_failed(target, error, packs) for target, error in failed)
    report = ComparisonReport(task=manifests[0].task, packs=compared, targets=tuple(comparisons), failed=failures)
    if out is not None:
        with written_whole(out) as folder:
            write_comparison(folder, report)
    return report


def _checked(packs: Sequence[Path]) -> list[Manifest]:
    if len(packs) < 2:
        raise EdgepackError(
            "there is only one pack, so there is nothing to compare", "name two or more; the others are compared with the first"
        )
    if len({path.resolve() for path in packs}) < len(packs):
        raise EdgepackError(f"a pack is named twice: {', '.join(map(str, packs))}", "name each once")
    manifests = [read_manifest(path) for path in packs]
    for path, manifest in zip(packs, manifests, strict=True):
        check_files(path, manifest, skip=REPORT_FILES)
        if manifest.task != manifests[0].task:
            raise EdgepackError(f"{path} is for {manifest.task}, {packs[0]} for {manifests[0].task}", "compare packs of one task")
    return manifests


def _names(packs: Sequence[Path]) -> list[str]:
    """The folders' own names, or as many of those above them as tell the packs apart."""
    parts = [path.resolve().parts for path in packs]
    counts = range(1, max(map(len, parts)) + 1)
    return next(names for count in counts if len(set(names := ["/".join(each[-count:]) for each in parts])) == len(packs))


def _failed(target: Target, error: EdgepackError, packs: Sequence[Path]) -> Failed:
    """As the page names it, which may be passed on: without the folders above the packs and the target's files."""
    failure, fix = (message_without_folders(text, (*packs, *target.files)) for text in (error.problem, error.fix))
    return Failed(target=target.name, failure=failure, fix=fix)
