"""Finds the finished pack of a build that was killed after its last rename, so that the same command ends at once."""

import shlex
from pathlib import Path

from edgepack.core.cache import library_versions
from edgepack.core.errors import EdgepackError
from edgepack.core.files import check_output
from edgepack.core.progress import say
from edgepack.core.reading import ANSWER_BYTES, read_json_object
from edgepack.measure.measurement import Effort
from edgepack.model.material import Material
from edgepack.pack.manifest import MANIFEST_FILE, Manifest, check_files, read_manifest
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.report.records import Report


def check_place(out: Path, recipe: Recipe, profile: Profile, command: str) -> tuple[Manifest, ...]:
    """The packs that lie in `out` and were built by this command from this recipe and profile; none where `out` is empty or new.

    EdgepackError where it holds anything else. Whether model and data are still the same is not known yet: see finished_report.
    """
    places = _places(out, recipe)
    if not all((place / MANIFEST_FILE).is_file() for place in places):
        check_output(out)
        return ()
    try:
        manifests = tuple(read_manifest(place) for place in places)
    except EdgepackError:
        manifests = ()
    same = all(manifest.command == command and manifest.recipe == recipe and manifest.profile == profile for manifest in manifests)
    if not manifests or not same:
        check_output(out)
    return manifests


def finished_report(out: Path, manifests: tuple[Manifest, ...], material: Material, effort: Effort | None) -> Report | None:
    """The report of what lies in `out`, where it was made of the same model, data and libraries, and is whole; None where it is not.

    effort: None where nothing is to be measured. EdgepackError: it was measured less thoroughly than that, or not at all.
    """
    data = material.data.sha256 if material.data else None
    for manifest in manifests:
        built_from = (manifest.source.sha256, manifest.data.sha256 if manifest.data else None)
        versions = library_versions()
        if built_from != (material.source.sha256, data) or any(
            manifest.versions.get(name) != version for name, version in versions.items()
        ):
            return None
    reports = []
    for place, manifest in zip(_places(out, material.recipe), manifests, strict=True):
        try:
            check_files(place, manifest)
        except EdgepackError:
            return None
        reports.append(Report.read(read_json_object(place / "report.json", ANSWER_BYTES), str(place / "report.json")))
    if not reports:
        return None
    for place, report in zip(_places(out, material.recipe), reports, strict=True):
        _check_effort(place, report, effort)
    say(f"nothing to do: {out} holds the finished pack of this command, built from the same model, data and libraries")
    return next((report for report in reports if any(row.shipped and row.pack_id == report.pack_id for row in report.formats)), reports[0])


def _check_effort(place: Path, report: Report, effort: Effort | None) -> None:
    known = report.measurements.effort if report.measurements else None
    if effort is None or (known and known.covers(effort)):
        return
    how = f"was measured with the effort {known.name}, and {effort.name} takes longer" if known else "was not measured"
    raise EdgepackError(
        f"{str(place)!r} holds the finished pack of this build, which {how}",
        f"measure it again: {shlex.join(['edgepack', 'measure', str(place)])}; or build into another folder",
    )


def _places(out: Path, recipe: Recipe) -> tuple[Path, ...]:
    return (out / "onnx", out / "tflite") if recipe.format == "both" else (out,)
