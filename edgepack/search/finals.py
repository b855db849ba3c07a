"""The packs of the front: each is built as `edgepack build` builds it, measured by a target, and judged on the test split."""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from edgepack.core.cache import key_of
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import hushed, say
from edgepack.measure.machines.machine import check_times
from edgepack.measure.machines.targets import Target, transport
from edgepack.measure.measurement import Effort
from edgepack.pack.manifest import Manifest, check_files, read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.measure import measure_pack
from edgepack.pipeline.phone_runner import with_runner
from edgepack.plan.command import composed_command
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.report.figures import excesses, figures_of, score_of
from edgepack.report.records import Report
from edgepack.search.candidates import COSTS, Candidate, Factors
from edgepack.search.front import Figure, Point
from edgepack.search.pareto import front_of
from edgepack.search.recipe_text import recipe_toml
from edgepack.search.trials import trained_on


@dataclass(frozen=True)
class Final:
    """A candidate that is built in full. number: of its pack in the front."""

    number: int
    trial: int
    name: str
    candidate: Candidate


@dataclass
class Builder:
    """Builds and measures the finals. place: where their packs wait until the front is written; a killed search finds them there.

    profile_file: of a profile that is not shipped. silent: why the target does not answer any more; it is not asked again.
    """

    place: Path
    cache: Path
    profile: Profile
    out: Path
    effort: Effort
    target: Target | None
    profile_file: str | None = None
    silent: str | None = None

    def pack_folder(self, final: Final) -> Path:
        return self.place / key_of(final.candidate.recipe)

    def command(self, number: int) -> str:
        """What builds the pack again, from the folder where the search runs."""
        recipe, here = self.out / f"{number}.toml", Path.cwd()
        parts = ["edgepack", "build", "--recipe", str(recipe.relative_to(here) if recipe.is_relative_to(here) else recipe)]
        return shlex.join([*parts, "--out", f"packs/{self.profile.name}-{number}"])

    def built(self, final: Final) -> tuple[Manifest, Report]:
        """EdgepackError: the candidate cannot be built."""
        folder, recipe = self.pack_folder(final), final.candidate.recipe
        command = composed_command(recipe, self.profile, self.profile_file)
        remove_stale(folder, command)
        with hushed():
            report = build(recipe, self.profile, folder, self.cache, None, command)
        assert report is not None, "a search runs in one process"
        if self.target and not self.is_measured(report, self.target) and not self.silent:
            report = self._measured(folder, self.target) or report
        return read_manifest(folder), report

    def is_measured(self, report: Report, target: Target) -> bool:
        """Whether the report is of this target already, and measured as thoroughly as is asked for."""
        measurement, addresses = report.measurements, {row.target: row.address for row in report.targets}
        is_the_target = measurement is not None and measurement.target == target.name
        return is_the_target and addresses.get(target.name, target.address) == target.address and measurement.effort == self.effort

    def _measured(self, folder: Path, target: Target) -> Report | None:
        try:
            with hushed():
                return measure_pack(folder, effort=self.effort, on=[target])
        except EdgepackError as error:
            try:
                check_answers(target)
            except EdgepackError:
                self.silent = f"{target.name} does not answer any more: {error.problem}. The packs that are left have predicted figures."
                say(self.silent)
            else:
                say(f"{target.name} cannot measure this pack, so its figures are predicted: {error.problem}")
            return None


def check_answers(target: Target) -> None:
    """EdgepackError: the target cannot be reached, or its times are no device's, so that all packs would have predicted figures."""
    with transport(target).opened(with_runner(target)) as machine:
        check_times(machine, target.name)


def remove_stale(folder: Path, command: str) -> None:
    """Removes a waiting pack that is damaged, or that another command line built: it is then built again, from its stages."""
    if folder.exists():
        try:
            manifest = read_manifest(folder)
            check_files(folder, manifest)
        except EdgepackError:
            shutil.rmtree(folder)
            return
        if manifest.command != command:
            shutil.rmtree(folder)


def point_of(final: Final, manifest: Manifest, report: Report, factors: Factors, command: str) -> Point:
    """A pack's row of the front."""
    corrected = manifest.model_copy(update={"predictions": factors.corrected(manifest.predictions)})
    shown = figures_of(corrected, report.measurements)
    predicted = figures_of(corrected, None)
    judged = {name: predicted[name] if figure.actual is None else figure for name, figure in shown.items()}
    figures = {name: Figure(value=round(judged[name].actual, 3), origin=judged[name].origin) for name in COSTS}
    lost = shown["score_drop"].actual
    last, score = manifest.ladder[-1], score_of(manifest)
    return Point(
        number=final.number,
        trial=final.trial,
        name=final.name,
        student=manifest.plan.student.name(),
        precision=manifest.precision,
        params=last.params,
        metric=score.metric if score else None,
        score=score.value if score else None,
        low=score.low if score else None,
        high=score.high if score else None,
        score_drop=lost,
        over=excesses(manifest.plan.budget, judged, corrected.predictions),
        pack_id=manifest.pack_id,
        settings=final.candidate.settings,
        epochs=final.candidate.recipe.training.epochs,
        recipe_file=f"{final.number}.toml",
        command=command,
        **trained_on(manifest.ladder),
        **figures,
    )


def measured_on_device(manifest: Manifest, report: Report) -> dict[str, float]:
    """What the device itself measured; nothing where another machine did."""
    measurement = report.measurements
    if measurement is None or not measurement.is_the_device:
        return {}
    figures = figures_of(manifest, measurement)
    return {name: value for name in ("latency_ms", "ram_mb", "load_ms") if (value := figures[name].actual) is not None}


def factors_of(packs: Sequence[tuple[Manifest, Report]]) -> Factors:
    """The median of measured by predicted, for each figure that the device has measured."""
    ratios: dict[str, list[float]] = {}
    for manifest, report in packs:
        for name, value in measured_on_device(manifest, report).items():
            predicted = getattr(manifest.predictions, name)
            if predicted > 0 and value > 0:
                ratios.setdefault(name, []).append(value / predicted)
    return Factors(**{name: round(median(values), 4) for name, values in ratios.items()})


def without_dominated(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points, those marked that another one beats in all that counts; the best score first, and one that is not known last."""
    best = set(front_of([point.values for point in points]))
    marked = [point.model_copy(update={"is_dominated": index not in best}) for index, point in enumerate(points)]
    return tuple(sorted(marked, key=lambda point: (point.is_dominated, point.values[0], point.latency_ms.value)))


def with_steps(final: Final, steps: int | None) -> Final:
    """The final with a training of so many steps at most, where it trains at all. None: as the user has it."""
    recipe: Recipe = final.candidate.recipe
    if not any(step.verb == "distill" for step in final.candidate.plan.steps):
        return final
    training = recipe.training.model_copy(update={"training_steps": steps})
    return replace(final, candidate=replace(final.candidate, recipe=recipe.model_copy(update={"training": training})))


def recipe_text(final: Final, profile: str, out: Path) -> str:
    """The TOML file that builds the pack again."""
    content: dict[str, Any] = final.candidate.recipe.as_json()
    return recipe_toml(
        content, profile, out, f"Pack {final.number} of a search for {Path(profile).stem}. edgepack build --recipe {final.number}.toml"
    )
