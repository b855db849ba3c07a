"""build(): the whole way from a recipe and a profile to a measured pack."""

import shutil
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgepack.core.cache import cache_folder, collect, key_of, stage
from edgepack.core.distributed import is_first
from edgepack.core.errors import EdgepackError, border_of_rust
from edgepack.core.files import check_disk, check_output, disk_full_is_said, written_whole
from edgepack.core.locks import only_one
from edgepack.core.progress import say
from edgepack.measure.machines.machine import why_untimed
from edgepack.measure.machines.targets import Target, transport
from edgepack.measure.machines.transports.local import Here
from edgepack.measure.measurement import FULL, Effort, Measurement
from edgepack.measure.measuring import measure
from edgepack.model.material import Material, gather
from edgepack.model.source import find_model
from edgepack.pack.manifest import WEIGHT_CACHE, Manifest, seal
from edgepack.pipeline.checks import check_student
from edgepack.pipeline.continuations import continuations
from edgepack.pipeline.finished import check_place, finished_report
from edgepack.pipeline.keys import step_inputs
from edgepack.pipeline.own_library import check_library
from edgepack.pipeline.packing import write_pack
from edgepack.pipeline.pair import ship
from edgepack.pipeline.prompts import prove_chat
from edgepack.pipeline.quantize_stage import check_calibration
from edgepack.pipeline.scoring import summary, with_row
from edgepack.pipeline.served import served_score
from edgepack.pipeline.stages import doer_of, seconds_of_killed_runs
from edgepack.pipeline.state import BuildState, TrainedModel
from edgepack.pipeline.teacher import judge_teacher
from edgepack.pipeline.vector_stage import check_vectors
from edgepack.pipeline.verify import verify_built
from edgepack.plan.choice import wished_formats
from edgepack.plan.command import composed_command
from edgepack.plan.file_size import predict_file_mb
from edgepack.plan.formats import check_installed, python_runtime
from edgepack.plan.plan import Plan, make_plan
from edgepack.plan.precision import exported_precision
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.runtime import runtime_facts
from edgepack.plan.shape import ModelShape
from edgepack.plan.steps import Step
from edgepack.report.judge import judge
from edgepack.report.records import Report
from edgepack.report.write import write_report

_CHECKPOINT_COPIES = 8  # weights with optimizer states, twice, and the stages' own results


@border_of_rust()
def plan_build(recipe: Recipe, profile: Profile) -> Plan:
    """The plan alone: reads the model's config, neither weights nor data. Of two formats the first one's."""
    return plan_formats(recipe, profile)[0]


@border_of_rust()
def plan_formats(recipe: Recipe, profile: Profile) -> tuple[Plan, ...]:
    """A plan for each format that the recipe wants."""
    source = find_model(recipe.model, recipe.trust_remote_code, False, recipe.base, recipe.revision)
    return _plans(profile, recipe, source.shape(recipe.task or source.task()))


def _plans(profile: Profile, recipe: Recipe, teacher: ModelShape, pieces: int | None = None) -> tuple[Plan, ...]:
    if recipe.format is None:  # a plan says what other runtimes would take only where nobody has chosen one
        return (make_plan(profile, recipe, teacher, pieces),)
    formats = wished_formats(profile, recipe.format)
    return tuple(make_plan(profile, recipe.model_copy(update={"format": file_format}), teacher, pieces) for file_format in formats)


def counted_plans(recipe: Recipe, material: Material, profile: Profile) -> tuple[Plan, ...]:
    """The plans with the pieces counted that a cut of the vocabulary leaves, whether the user asks for it or the planner chooses it."""
    teacher = material.source.shape(material.task.name)
    if recipe.cuts_vocabulary:
        return _plans(profile, recipe, teacher, len(material.vocabulary_cut.order))
    hopeful = _plans(profile, recipe, teacher, 1)  # if even one piece would not help, there is nothing to count
    if not any(plan.cuts_vocabulary for plan in hopeful):
        return hopeful
    try:
        pieces = len(material.vocabulary_cut.order)
    except EdgepackError as error:
        say(f"the vocabulary stays whole: {error.problem}")
        pieces = teacher.vocab
    return _plans(profile, recipe, teacher, pieces)


@border_of_rust()
def build(
    recipe: Recipe,
    profile: Profile,
    out: Path | str,
    cache: Path | None = None,
    effort: Effort | None = FULL,
    command: str | None = None,
) -> Report | None:
    """A pack in `out`, measured and judged. effort=None leaves the measuring out. Two packs, or the better, where the recipe says so.

    `out` belongs to one build at a time. Where it holds the finished pack of this very call, that one's report is given again; one that
    was measured less thoroughly is refused.
    Everything that can be wrong with the input is an EdgepackError before a model is loaded. Stages that an earlier build
    finished come from the cache; one that was killed goes on where it was. None in any but the first process of a torchrun.
    command: what the pack says that it was built by; None: the command line that does the same.
    """
    out, cache, command = Path(out), cache or cache_folder(), command or composed_command(recipe, profile)
    with only_one(out, "the output") if is_first() else nullcontext():
        present = check_place(out, recipe, profile, command)
        _check_formats(recipe, profile, effort)
        material = gather(recipe)
        if present:
            report = finished_report(out, present, material, effort if why_untimed(Here()) is None else None)
            if report:
                return report
            check_output(out)
        states = _first_states(recipe, material, profile, cache, out)
        with disk_full_is_said():
            states = [_built(state) for state in states]
            return _ship(states, out, effort, command) if is_first() else None


def _check_formats(recipe: Recipe, profile: Profile, effort: Effort | None) -> None:
    for file_format in wished_formats(profile, recipe.format):
        check_installed(file_format)
    if recipe.format == "auto" and effort is None:
        raise EdgepackError(
            "--format auto chooses by measurement, but --measure off switches it off", "use --format both, or leave --measure off out"
        )


def _first_states(recipe: Recipe, material: Material, profile: Profile, cache: Path, out: Path) -> list[BuildState]:
    """The model as it came, once for each format. EdgepackError: what can be wrong with a plan, or with the room on the disk."""
    prove_chat(material)
    plans = counted_plans(recipe, material, profile)
    for plan in plans:
        check_calibration(material, plan)
        check_vectors(material, plan)
        check_student(material, plan)
    teacher_mb = predict_file_mb(plans[0].teacher, exported_precision())
    check_disk(cache, teacher_mb * _CHECKPOINT_COPIES, "the stages' results")
    check_disk(out, sum(2 * plan.predictions.file_mb for plan in plans), "the pack")
    if is_first():
        collect(cache)
    return [BuildState(material.source, material, plan, profile, cache, TrainedModel(material.source)) for plan in plans]


def _built(state: BuildState) -> BuildState:
    """The plan's steps, from the model as it came to a file for its runtime."""
    at = "" if state.source.revision is None else f" at {state.source.revision} (--revision asks for the same again)"
    base = state.source.base
    if base is not None and base.revision is not None:
        at += f", merged into {base.name} at {base.revision} (--base {base.name}@{base.revision} asks for the same again)"
    say(f"teacher: {state.source.name}{at}, {state.material.task.name}, {state.plan.teacher.params / 1e6:.1f}M parameters")
    if state.material.data:
        say(f"data: {state.material.data.summary()}")
    if summary_of := getattr(state.material.answers, "summary", None):
        say(f"answers: {summary_of()}")
    check_library(state)
    return through_steps(state)


def through_steps(state: BuildState) -> BuildState:
    """The state after every step of its plan, each from the cache or done now; the first row of its ladder is the teacher's."""
    state = judge_teacher(state)
    say(f"  {summary(state.ladder[-1])}")
    for step in state.plan.steps:
        state = run_stage(state, step)
    return state


def run_stage(state: BuildState, step: Step) -> BuildState:
    """The state after the step, with a row more in its ladder, from the cache or done now. A stage that was killed goes on where it was."""
    say(f"{step.verb}: {step.why}")
    doer, roots = doer_of(step, state.plan.format)
    key = key_of(step_inputs(state, step, roots))
    with stage(state.cache, key) as place:
        if not place.is_finished:
            before, started = seconds_of_killed_runs(place.resume), time.monotonic()
            record = doer.make(state, step, place)
            place.record = record | {"seconds": round(before + time.monotonic() - started, 2)}
    after, record = doer.after(replace(state, key=key), step, place)
    after = replace(after, ladder=with_row(state.ladder, step.verb, step.why, record, place.folder))
    say(f"  {summary(after.ladder[-1])}")
    return after


def _ship(states: list[BuildState], out: Path, effort: Effort | None, command: str) -> Report:
    if len(states) > 1:
        makers = {state.plan.format: partial(_measured_pack, state=state, effort=effort, command=command) for state in states}
        return ship(out, states[0].material.recipe.format, makers)
    with written_whole(out) as folder:
        manifest, report = _measured_pack(folder, states[0], effort, command)
        write_report(folder, report)
        seal(folder, manifest)
        verify_built(folder)
    return report


def _measured_pack(folder: Path, state: BuildState, effort: Effort | None, command: str) -> tuple[Manifest, Report]:
    manifest = write_pack(folder, state, command).manifest
    judged = {"served": served_score(folder, manifest, state), "continuations": continuations(folder, state.material)}
    manifest = seal(folder, manifest.model_copy(update=judged))
    # Other work beside it is told in the report: what took minutes to build is not thrown away for it.
    lenient = effort.model_copy(update={"force": True}) if effort else None
    measurement = _measured(folder, manifest, state.material.median_length, lenient) if lenient else None
    shutil.rmtree(folder / WEIGHT_CACHE, ignore_errors=True)  # a device makes its own
    return manifest, judge(manifest, measurement)


def _measured(folder: Path, manifest: Manifest, median_length: int | None, effort: Effort) -> Measurement | None:
    """Here, or on the target that the runtime's file names; where that is missing, in the runtime that opens the file in Python."""
    why = why_untimed(Here())
    if why:
        say(f"not measured: this machine {why}. Measure the pack on a real one: edgepack measure PACK --on ssh://user@host")
        return None
    address = runtime_facts(manifest.plan.runtime).measured_on
    if address:
        target = Target(name=address, address=address)
        try:
            transport(target).check(target)
            with transport(target).opened(target) as machine:
                return measure(folder, manifest, median_length, effort, machine, address)
        except EdgepackError as error:
            python = python_runtime(manifest.plan.runtime)
            say(
                f"not measured on {address}: {error.problem}\n  fix: {error.fix}\n  the pack "
                f"is measured in {python} on this machine instead"
            )
    return measure(folder, manifest, median_length, effort)
