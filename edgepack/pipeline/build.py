"""build(): the only loop and the only dispatch. A plan's steps become stages, kept in the cache, then a measured pack."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.core.cache import cache_folder
from edgepack.core.distributed import is_first
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.export.file_names import GRAPH_FILE
from edgepack.measure.machines.targets import Target, transport
from edgepack.measure.machines.transports.local import Here
from edgepack.measure.measurement import FULL, Effort, Measurement
from edgepack.measure.measuring import measure
from edgepack.model.material import gather
from edgepack.model.source import find_model
from edgepack.pack.attempts import Attempt
from edgepack.pack.manifest import WEIGHT_CACHE, Manifest, check_disk, check_output, disk_full_is_said, seal, written_whole
from edgepack.pack.runnable import Runnable
from edgepack.pipeline.packing import write_pack
from edgepack.pipeline.pair import ship
from edgepack.pipeline.quantization import check_calibration, quantize_file
from edgepack.pipeline.runner import Runner
from edgepack.plan.choice import wished_formats
from edgepack.plan.cost_model import predict_file_mb
from edgepack.plan.formats import check_installed, python_runtime
from edgepack.plan.plan import Plan, make_plan
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.runtime import runtime_facts
from edgepack.plan.shape import ModelShape
from edgepack.plan.steps import (
    CutVocabulary,
    Distill,
    DropAttention,
    Export,
    ModelStep,
    PruneFFN,
    PruneHeads,
    PruneLayers,
    PruneWeights,
    Quantize,
)
from edgepack.quantize.schemes import quantized_runnable
from edgepack.report.judge import judge
from edgepack.report.records import Report
from edgepack.report.write import write_report

if TYPE_CHECKING:
    from torch import nn

_CHECKPOINT_COPIES = 8  # weights with optimizer states, twice, and the stages' own results


def plan_build(recipe: Recipe, profile: Profile) -> Plan:
    """The plan alone: reads the model's config, neither weights nor data. Of two formats the first one's."""
    return plan_formats(recipe, profile)[0]


def plan_formats(recipe: Recipe, profile: Profile) -> tuple[Plan, ...]:
    """A plan for each format that the recipe wants."""
    source = find_model(recipe.model, recipe.trust_remote_code, with_weights=False)
    return _plans(profile, recipe, source.shape(recipe.task or source.task()))


def _plans(profile: Profile, recipe: Recipe, teacher: ModelShape, pieces: int | None = None) -> tuple[Plan, ...]:
    formats = wished_formats(profile, recipe.format)
    return tuple(make_plan(profile, recipe.model_copy(update={"format": one}), teacher, pieces) for one in formats)


def build(recipe: Recipe, profile: Profile, out: Path | str, cache: Path | None = None, effort: Effort | None = FULL) -> Report | None:
    """A pack in `out`, measured and judged. effort=None leaves the measuring out. Two packs, or the better, where the recipe says so.

    Everything that can be wrong with the input is an EdgepackError before a model is loaded. Stages that an earlier build
    finished come from the cache; one that was killed goes on where it was. None in any but the first process of a torchrun.
    """
    out = Path(out)
    check_output(out)
    cache = cache or cache_folder()
    for one in wished_formats(profile, recipe.format):
        check_installed(one)
    if recipe.format == "auto" and effort is None:
        raise EdgepackError("--format auto chooses by measurement, and --measure off leaves none", "use --format both, or measure")
    material = gather(recipe)
    pieces = len(material.vocabulary_cut.order) if recipe.vocabulary is not None else None
    plans = _plans(profile, recipe, material.source.shape(material.task.name), pieces)
    for plan in plans:
        check_calibration(material, plan)
    fp32_mb = predict_file_mb(plans[0].teacher, "fp32")
    check_disk(cache, fp32_mb * _CHECKPOINT_COPIES, "the stages' results")
    check_disk(out, sum(2 * plan.predictions.file_mb for plan in plans), "the pack")
    with disk_full_is_said():
        runners = [Runner(material, plan, profile, cache) for plan in plans]
        for runner in runners:
            _work(runner)
        return _ship(runners, out, effort) if is_first() else None


def _ship(runners: list[Runner], out: Path, effort: Effort | None) -> Report:
    if len(runners) > 1:
        makers = {runner.plan.format: partial(_measured_pack, runner=runner, effort=effort) for runner in runners}
        return ship(out, runners[0].material.recipe.format, makers)
    with written_whole(out) as folder:
        manifest, report = _measured_pack(folder, runners[0], effort)
        write_report(folder, report)
        seal(folder, manifest)
    return report


def _measured_pack(folder: Path, runner: Runner, effort: Effort | None) -> tuple[Manifest, Report]:
    manifest = write_pack(folder, runner)
    # Other work beside it is told in the report: what took minutes to build is not thrown away for it.
    lenient = effort.model_copy(update={"force": True}) if effort else None
    measurement = _measured(folder, manifest, runner.material.median_length, lenient) if lenient else None
    shutil.rmtree(folder / WEIGHT_CACHE, ignore_errors=True)  # a device makes its own
    return manifest, judge(manifest, measurement)


def _measured(folder: Path, manifest: Manifest, median_length: int | None, effort: Effort) -> Measurement | None:
    """Here, or on the target that the runtime's file names; where that is missing, in the runtime that opens the file in Python."""
    by = Here().emulated_by()
    if by:
        say(f"not measured: this machine's CPU is emulated by {by}. Measure the pack on a real one: edgepack measure")
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
            say(f"not measured on {address}: {error.problem}\n  fix: {error.fix}\n  it is measured in {python} here instead")
    return measure(folder, manifest, median_length, effort)


def _work(runner: Runner) -> None:
    """The plan's steps, from the model as it came to a file for its runtime."""
    material, plan = runner.material, runner.plan
    say(f"teacher: {material.source.name}, {material.task.name}, {plan.teacher.params / 1e6:.1f}M parameters")
    if material.data:
        say(f"data: {material.data.summary()}")
    runner.teacher()
    say(f"  {_outcome(runner)}")
    run_steps(runner, plan)


def run_steps(runner: Runner, plan: Plan) -> None:
    for step in plan.steps:
        say(f"{step.verb}: {step.why}")
        match step:
            case CutVocabulary():
                from edgepack.compress.vocabulary import cut_vocabulary

                runner.change_tokenizer(step, cut_vocabulary)
            case PruneHeads() | PruneFFN() | PruneLayers() | DropAttention() | PruneWeights() | Distill():
                stage = stage_of(step)
                runner.change_model(step, lambda model, context, step=step, stage=stage: stage(model, step, context))
            case Export():
                runner.change_file(step, lambda folder, step=step: _export(runner, step, folder))
            case Quantize():
                runner.change_file(step, lambda folder, step=step: _quantize(runner, step, folder))
        say(f"  {_outcome(runner)}")


def stage_of(step: ModelStep) -> "Callable[..., nn.Module]":
    """The function that does a step from model to model."""
    match step:
        case PruneHeads():
            from edgepack.compress.pruning import prune_heads as stage
        case PruneFFN():
            from edgepack.compress.pruning import prune_ffn as stage
        case PruneLayers():
            from edgepack.compress.layers import prune_layers as stage
        case DropAttention():
            from edgepack.compress.layers import skip_attention as stage
        case PruneWeights():
            from edgepack.compress.sparsity import prune_weights as stage
        case Distill():
            from edgepack.compress.distillation import distill as stage
    return stage


def _export(runner: Runner, step: Export, folder: Path) -> tuple[Runnable, list[Attempt]]:
    from edgepack.export.onnx_decoder import export_decoder, runnable_decoder
    from edgepack.export.onnx_export import export_onnx, runnable
    from edgepack.export.onnx_optimization import optimize_onnx
    from edgepack.model.checkpoint import load_checkpoint

    model = load_checkpoint(runner.checkpoint, runner.material.task.name, runner.material.recipe.trust_remote_code)
    if step.format == "tflite":
        return _export_tflite(runner, model, step, folder), []
    if runner.material.task.decodes:
        export_decoder(model, step, folder)
        return runnable_decoder(model, runner.material.task), []
    export_onnx(model, runner.material.task, step, folder / GRAPH_FILE)
    optimize_onnx(folder / GRAPH_FILE, folder)
    return runnable(model, runner.material.task, step.prepack), []


def _export_tflite(runner: Runner, model: "nn.Module", step: Export, folder: Path) -> Runnable:
    from edgepack.export.tflite_decoder import export_tflite_decoder, runnable_tflite_decoder
    from edgepack.export.tflite_export import MODEL_FILE, export_tflite, runnable_tflite
    from edgepack.quantize.torch_smoothing import smooth_decoder, smooth_encoder

    if step.smoothing:
        smooth = smooth_encoder if step.positions is None else smooth_decoder
        count = smooth(model, [item.ids for item in runner.material.train], step.smoothing)
        say(f"  {count} activations evened out by strength {step.smoothing:g}" if count else "  no texts to even out activations by")
    if step.positions is not None:
        export_tflite_decoder(model, step.positions, folder / MODEL_FILE)
        return runnable_tflite_decoder(model, runner.material.task, step.positions, step.weight_cache)
    buckets = runner.material.buckets
    say(f"  a signature for each of {', '.join(map(str, buckets))} tokens")
    export_tflite(model, runner.material.task, buckets, folder / MODEL_FILE)
    return runnable_tflite(model, runner.material.task, buckets, step.weight_cache)


def _quantize(runner: Runner, step: Quantize, folder: Path) -> tuple[Runnable, list[Attempt]]:
    attempts = quantize_file(runner.material, runner.plan, runner.exported, step, folder)
    return quantized_runnable(step, runner.exported), attempts


def _outcome(runner: Runner) -> str:
    row = runner.ladder[-1]
    score = f"{row.score.metric} {row.score.value:.4f}, {row.score_drop:+.2f} points lost, " if row.score else ""
    return f"{score}{row.params / 1e6:.2f}M parameters, {row.file_mb:.1f} MB, {row.seconds:.0f} s"
