"""Declares what each stage reads. The key of a stage's result is the hash of this record, so a stage must read nothing else."""

import hashlib
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from edgepack.core.code_graph import code_sha256, library_versions_of, module_sha256, target_sha256
from edgepack.core.host import gpus, kernel_instructions, usable_cores
from edgepack.core.records import Frozen
from edgepack.measure.machines.transports.local import script_of, versions_beside
from edgepack.model.material import Material
from edgepack.pipeline.state import BuildState
from edgepack.plan.formats import format_versions
from edgepack.plan.plan import Plan
from edgepack.plan.steps import FileStep, Quantize, Step
from edgepack.tasks.common.rows import Row

# They find one of many modules by its name. A stage's roots name the one that it uses.
CHOOSERS = ("edgepack.measure.machines.targets", "edgepack.pipeline.export_stage", "edgepack.quantize.schemes")

# Of torch, MKL, oneDNN, OpenBLAS, OpenMP, CUDA and onnxruntime: instruction sets, ways to sum, devices. Not caches and not telemetry.
_KERNELS = re.compile(
    "ATEN_CPU_CAPABILITY$|(ONE)?DNN_MAX_CPU_ISA$|(ONE)?DNN_DEFAULT_FPMATH_MODE$|MKL_(CBWR|ENABLE_INSTRUCTIONS|NUM_THREADS|DYNAMIC)$"
    "|OPENBLAS_(CORETYPE|NUM_THREADS)$|OMP_NUM_THREADS$|CUDA_VISIBLE_DEVICES$|CUBLAS_WORKSPACE_CONFIG$|NVIDIA_TF32_OVERRIDE$"
    "|TORCH_ALLOW_TF32_CUBLAS_OVERRIDE$|PYTORCH_ENABLE_MPS_FALLBACK$|XNNPACK_|ORT_MLAS_"
)


class MaterialInputs(Frozen):
    """The model that was brought, and the data as it was read. What splits the data, its columns and its format show in the rows."""

    model_sha256: str  # every file of the folder that a library reads
    task: str
    columns: dict[str, str]  # where each field of a row was read from, named by the user or guessed
    rows_sha256: dict[str, str]  # of each split, and of the texts without labels
    max_length: int
    dimensions: int | None  # of a text's vector that are kept
    answers: dict[str, Any] | None  # how outputs become answers, as the folder and the user say


class FileInputs(Frozen):
    """What a stage that writes a model file, and runs it, reads beside its step."""

    format: str
    runtime: str
    target_sha256: str  # the script in targets/ that runs the file, with what it imports
    exact_products: bool
    lengths: tuple[int, ...]  # of the signatures of a file with fixed shapes


class GateInputs(Frozen):
    """What chooses among the candidates of a quantization. codec: by which the size of each is told, where weights are on a coarse grid."""

    score_drop_limit: float | None
    is_precision_fixed: bool
    least_mean_cosine: float | None
    codec: str | None


class StageInputs(Frozen):
    """Everything that a stage reads. parent: the key of the stage before, which stands for all that was read until then."""

    stage: str
    parent: str
    settings: dict[str, Any]  # the step, without its reason
    material: MaterialInputs | None = None  # of the first stage; in the others the parent's key holds it
    corpus_sha256: str | None = None  # of the texts that a vocabulary is cut to
    pieces_sha256: str | None = None
    file: FileInputs | None = None
    gate: GateInputs | None = None
    module_sha256: str | None = None  # the code of a module, where raw texts are put to it
    seed: int | None = None
    threads: int  # a sum in another order is another sum
    machine: str
    instructions: tuple[str, ...]  # of the CPU, for vectors: another kernel rounds otherwise, and some saturate
    gpus: tuple[str, ...]  # on which models are trained
    environment: dict[str, str]  # variables that choose the kernels of the libraries that compute
    libraries: dict[str, str]
    code_sha256: str


def teacher_inputs(material: Material, roots: Sequence[str]) -> StageInputs:
    """What the teacher's outputs depend on. roots: modules whose code, and whose imports' code, is hashed."""
    return _of_the_material("teacher", material, roots)


def library_inputs(material: Material, roots: Sequence[str]) -> StageInputs:
    """Of the comparison with the model's own library, which reads what the teacher reads, and asks as a module does."""
    return _of_the_material("own library", material, roots).model_copy(update={"module_sha256": module_sha256()})


def _of_the_material(stage: str, material: Material, roots: Sequence[str]) -> StageInputs:
    return StageInputs(stage=stage, parent="", settings={}, material=material_inputs(material), **computed_by(roots))


def soft_target_inputs(parent: str, roots: Sequence[str]) -> StageInputs:
    """What the teacher's soft targets depend on. parent: the key of the teacher."""
    return StageInputs(stage="soft targets", parent=parent, settings={}, **computed_by(roots))


def ranking_inputs(state: BuildState, measure: str, unit: str, roots: Sequence[str]) -> StageInputs:
    """What the importance of heads or neurons depends on: the model as the stages before left it, and the rows behind its key."""
    settings = {"importance": measure}
    return StageInputs(
        stage=f"importance of {unit}", parent=state.key, settings=settings, seed=state.material.recipe.seed, **computed_by(roots)
    )


def step_inputs(state: BuildState, step: Step, roots: Sequence[str]) -> StageInputs:
    """roots: the modules that do the step."""
    material, cuts = state.material, step.verb == "cut_vocabulary"
    is_file = isinstance(step, FileStep)
    computed = computed_by(roots)
    if is_file:
        computed["libraries"] |= format_versions(state.plan.format) | versions_beside(state.plan.runtime)
    return StageInputs(
        stage=step.verb,
        parent=state.key,
        settings=step.model_dump(mode="json", exclude={"why", "verb"}),
        corpus_sha256=material.corpus.sha256 if cuts else None,
        pieces_sha256=material.vocabulary_cut.sha256 if cuts else None,
        file=_file_inputs(state.plan, material) if is_file else None,
        gate=_gate_inputs(state.plan, material) if isinstance(step, Quantize) else None,
        module_sha256=module_sha256() if isinstance(step, Quantize) else None,
        seed=material.recipe.seed,
        **computed,
    )


def material_inputs(material: Material) -> MaterialInputs:
    """The model, its task, the data's columns and rows, by hash."""
    data = material.data
    rows = {split: rows_sha256(material.rows(split)) for split in (data.splits if data else ())}
    if material.recipe.unlabelled:
        rows["unlabelled"] = rows_sha256(material.unlabelled_rows)
    return MaterialInputs(
        model_sha256=material.source.sha256,
        task=material.task.name,
        columns=data.columns if data else {},
        rows_sha256=rows,
        max_length=material.max_length,
        dimensions=material.recipe.dimensions,
        answers=None if (answers := material.answers) is None else answers.as_json(),
    )


def rows_sha256(rows: Iterable[Row]) -> str:
    """Of all that rows say, but for the place that an error would name."""
    names = [field.name for field in fields(Row) if field.name != "place"]
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr([getattr(row, name) for name in names]).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _file_inputs(plan: Plan, material: Material) -> FileInputs:
    return FileInputs(
        format=plan.format,
        runtime=plan.runtime,
        target_sha256=target_sha256(script_of(plan.runtime)),
        exact_products=plan.exact_products,
        lengths=material.buckets if plan.format == "tflite" else (),
    )


def _gate_inputs(plan: Plan, material: Material) -> GateInputs:
    is_rounded_for_it = plan.coding is not None and (plan.coding.bits is not None or plan.coding.weights is not None)
    codec = plan.coding.codec if plan.coding and is_rounded_for_it else None
    is_fixed = material.recipe.precision is not None
    return GateInputs(
        score_drop_limit=plan.budget.score_drop, is_precision_fixed=is_fixed, least_mean_cosine=material.least_mean_cosine, codec=codec
    )


def computed_by(roots: Sequence[str], choosers: Sequence[str] = CHOOSERS) -> dict[str, Any]:
    """The machine, the libraries and the code that a result depends on. roots, choosers: see code_graph."""
    return {
        "threads": usable_cores(),
        "machine": f"{platform.system()} {platform.machine()}",
        "instructions": kernel_instructions(),
        "gpus": gpus(),
        "environment": kernel_environment(),
        "libraries": library_versions_of(roots, choosers),
        "code_sha256": code_sha256(roots, choosers),
    }


def kernel_environment() -> dict[str, str]:
    """The variables that change what a kernel computes."""
    return {name: value for name, value in sorted(os.environ.items()) if _KERNELS.match(name)}


def take_kernel_environment(environment: Mapping[str, str]) -> None:
    """Gives this process those variables of another one, and no others, so that both have the same keys."""
    for name in kernel_environment():
        del os.environ[name]
    os.environ.update(environment)
