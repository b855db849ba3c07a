"""The first row of the quality ladder: the model as the user gave it, with the outputs that students learn from."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgepack.core.cache import Stage, key_of, stage
from edgepack.core.distributed import is_first
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.model.material import Material, load_outputs, save_outputs
from edgepack.pipeline.chance import check_names_of_labels
from edgepack.pipeline.keys import soft_target_inputs, teacher_inputs
from edgepack.pipeline.scoring import judged, load_model, model_size, torch_outputs, with_row
from edgepack.pipeline.state import BuildState, Teacher
from edgepack.plan.steps import CutVocabulary, Distill, ModelStep

_ROOTS = (__name__,)
_MOST_NAMES = 3  # of weights that a line shows


def judge_teacher(state: BuildState) -> BuildState:
    """EdgepackError where a step of the plan learns and there is no train split."""
    key = key_of(teacher_inputs(state.material, _ROOTS))
    with stage(state.cache, key) as place:
        if not place.is_finished:
            place.record = _test_outputs(state, place)
    test = load_outputs(place.folder / "test.npz") if state.material.test else []
    state = replace(state, material=_tuned(state.material, place.folder), key=key, teacher=Teacher(test=test))
    record = dict(place.record)
    if unread := record.pop("unread_weights", ()):
        say(unread_line(state.source.name, unread))
    if not any(isinstance(step, CutVocabulary) for step in state.plan.steps):
        state, seconds = with_soft_targets(state)
        record["seconds"] += seconds
    return replace(state, ladder=with_row(state.ladder, "teacher", "as it came", record, place.folder))


def unread_line(name: str, weights: Sequence[str]) -> str:
    """What a user reads about weights of the folder that are not in the model which config.json describes."""
    more = f" and {len(weights) - _MOST_NAMES} more" if len(weights) > _MOST_NAMES else ""
    return f"not read, as transformers has no place for them in this model: the weights {', '.join(weights[:_MOST_NAMES])}{more} of {name}"


def with_soft_targets(state: BuildState) -> tuple[BuildState, float]:
    """The state with the teacher's outputs for the train split, where a step of the plan distils; and the seconds that they took."""
    if not any(isinstance(step, ModelStep) for step in state.plan.steps):
        return state, 0.0
    if not state.material.train:
        raise EdgepackError(f"no train split in {state.material.recipe.data!r}", "give data to train on, or --student same --prune-heads 0")
    if not any(isinstance(step, Distill) for step in state.plan.steps):  # what is cut alone asks no teacher
        return state, 0.0
    with stage(state.cache, key_of(soft_target_inputs(state.key, _ROOTS))) as place:
        if not place.is_finished:
            place.record = _train_outputs(state, place)
    train = load_outputs(place.folder / "train.npz")
    return replace(state, teacher=replace(state.teacher, train=train)), place.record["seconds"]


def _test_outputs(state: BuildState, place: Stage) -> dict[str, Any]:
    if not is_first():
        return {}
    started, material = time.monotonic(), state.material
    model = load_model(material, state.work.checkpoint)
    outputs = torch_outputs(model, material, material.test, "teacher")
    check_names_of_labels(material, outputs)
    if outputs:
        save_outputs(place.folder / "test.npz", outputs)
    if material.task.tuned and material.dev:
        save_outputs(place.folder / "dev.npz", torch_outputs(model, material, material.dev, "teacher on the dev split"))
    record = judged(_tuned(material, place.folder), outputs, outputs) | model_size(model, material.source.weights_mb)
    record |= {"unread_weights": list(getattr(model, "unread_weights", ()))}
    return record | {"seconds": round(time.monotonic() - started, 2)}


def _tuned(material: Material, folder: Path) -> Material:
    """With decisions that the teacher's outputs for the dev split have set, where the task has such."""
    path = folder / "dev.npz"
    if not (material.task.tuned and path.is_file()):
        return material
    task = material.task.tuned(material.task, load_outputs(path), material.dev, material.rows("dev"), material.labels)
    return replace(material, task=task)


def _train_outputs(state: BuildState, place: Stage) -> dict[str, Any]:
    if not is_first():
        return {}
    from edgepack.model.evaluation import run_model

    started, material = time.monotonic(), state.material
    model = load_model(material, state.work.checkpoint)
    outputs = run_model(model, material.task, material.training, "teacher's soft targets", material.task.kept_outputs)
    save_outputs(place.folder / "train.npz", outputs)
    return {"seconds": round(time.monotonic() - started, 2)}
