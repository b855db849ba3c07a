"""Two packs of one build, one in each format: measures both in turn, then ships both or the better one."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from edgepack.core.files import written_whole
from edgepack.core.progress import say
from edgepack.pack.manifest import Manifest, seal
from edgepack.pipeline.verify import verify_built
from edgepack.plan.formats import FormatWish
from edgepack.plan.runtime import Format
from edgepack.report.formats import compare
from edgepack.report.records import Report
from edgepack.report.write import write_report

Make = Callable[[Path], tuple[Manifest, Report]]  # fills a folder that is there


def ship(out: Path, wish: FormatWish, makers: Mapping[Format, Make]) -> Report:
    """`both` leaves a pack in `out`/onnx and one in `out`/tflite, `auto` leaves the better one in `out`; each report shows the pair.

    Returns the better one's report. Not measured, there is none: `both` then returns the first.
    """
    with written_whole(out) as folder:
        builds = []
        for name, make in makers.items():
            (folder / name).mkdir()
            builds.append(make(folder / name))
        best, reports = 0, [report for _, report in builds]
        if wish == "auto" or all(report.measurements for report in reports):
            best, contenders, why = compare(builds)
            say(f"  {why}")
            reports = [report.model_copy(update={"formats": contenders, "formats_why": why}) for report in reports]
        for (manifest, _), report in zip(builds, reports, strict=True):
            write_report(folder / manifest.format, report)
            seal(folder / manifest.format, manifest)
            verify_built(folder / manifest.format)
        if wish == "auto":
            _keep(folder, builds[best][0].format)
    return reports[best]


def _keep(folder: Path, winner: Format) -> None:
    """The pack in `folder`/`winner` becomes that of `folder`; the others go."""
    for path in list(folder.iterdir()):
        if path.name != winner:
            shutil.rmtree(path)
    for path in (folder / winner).iterdir():
        path.rename(folder / path.name)
    (folder / winner).rmdir()
