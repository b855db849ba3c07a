"""A stage from torch model to torch model: prune, distil. Each leaves a checkpoint, which is scored as the teacher was."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from edgepack.core.cache import Stage
from edgepack.core.distributed import is_first
from edgepack.model.material import Material
from edgepack.model.source import find_model
from edgepack.pipeline.scoring import judged, load_model, model_size, torch_outputs
from edgepack.pipeline.state import BuildState, TrainedModel
from edgepack.plan.steps import Distill, DropAttention, Factorize, ModelStep, PruneFFN, PruneHeads, PruneLayers, PruneWeights

if TYPE_CHECKING:
    from torch import nn

    from edgepack.compress.context import StageContext

# The function that does each step, `function(model, step, context) -> model`, imported when the step runs.
FUNCTIONS: dict[type[ModelStep], str] = {
    PruneHeads: "edgepack.compress.pruning:prune_heads",
    PruneFFN: "edgepack.compress.pruning:prune_ffn",
    PruneLayers: "edgepack.compress.layers:prune_layers",
    DropAttention: "edgepack.compress.layers:skip_attention",
    PruneWeights: "edgepack.compress.sparsity:prune_weights",
    Factorize: "edgepack.compress.factorization:factorize",
    Distill: "edgepack.compress.distillation:distill",
}


def stage_of(step: ModelStep) -> "Callable[[nn.Module, ModelStep, StageContext], nn.Module]":
    """The function that does a step from model to model."""
    return resolve_name(FUNCTIONS[type(step)])


def module_of(step: ModelStep) -> str:
    """The name of the module with the step's function."""
    return FUNCTIONS[type(step)].partition(":")[0]


def make(state: BuildState, step: ModelStep, place: Stage, **more: Any) -> dict[str, Any]:
    """Runs the step's function on the model, saves the checkpoint in the stage's folder, and scores it. Returns the stage's record.

    more: of the step's context.
    """
    from edgepack.model.checkpoint import save_checkpoint

    material, context = state.material, replace(stage_context(state, step, place.resume), **more)
    model = stage_of(step)(load_model(material, state.work.checkpoint), step, context)
    if not is_first():
        return {}
    save_checkpoint(model, place.folder)
    outputs = torch_outputs(model, material, material.test, f"score after {step.verb}")
    weights_mb = (place.folder / "model.safetensors").stat().st_size / 1e6
    record = judged(material, outputs, state.teacher.test) | model_size(model, weights_mb)
    details = context.details | _below_chance(material, step, record)
    return record | ({"details": details} if details else {}) | context.notes


def _below_chance(material: Material, step: ModelStep, record: dict[str, Any]) -> dict[str, float]:
    """What the best constant answer scores, where a trained student is no better than that."""
    score = record["quality"].get("score")
    guess = material.task.guess_score(material.rows("test")) if score and isinstance(step, Distill) else None
    return {"chance": round(guess, 4)} if guess is not None and score["value"] <= guess else {}


def after(state: BuildState, step: ModelStep, place: Stage) -> tuple[BuildState, dict[str, Any]]:
    """The state with the new checkpoint, and the stage's record."""
    return replace(state, work=TrainedModel(find_model(str(place.folder)))), place.record


def stage_context(state: BuildState, step: ModelStep, resume: Path) -> "StageContext":
    from edgepack.compress.context import StageContext
    from edgepack.compress.stretching import special_tokens_of

    material, learns_from_all = state.material, isinstance(step, Distill)
    return StageContext(
        task=material.task,
        rows=material.rows("train") + (material.unlabelled_rows if learns_from_all else []),
        features=material.training if learns_from_all else material.train,
        teacher_outputs=state.teacher.train if learns_from_all else state.teacher.train[: len(material.train)],
        load_teacher=lambda: load_model(material, material.source),
        dev_rows=material.rows("dev"),
        dev_features=material.dev if isinstance(step, Distill) and (step.minutes or step.epochs is None) else [],
        special=special_tokens_of(material.task, material.tokenizer) if isinstance(step, Distill) and step.epochs is None else None,
        labels=material.labels,
        folder=resume,
        seed=material.recipe.seed,
    )
