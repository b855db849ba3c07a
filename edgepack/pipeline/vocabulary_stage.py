"""The stage that cuts the vocabulary: later stages use the cut model and its new tokenizer.

It teaches too: on the train split its pieces, and so its outputs, are those of the model as it came.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgepack.core.cache import Stage
from edgepack.model.material import Material
from edgepack.model.source import find_model
from edgepack.pipeline.scoring import judged, load_model, model_size, torch_outputs
from edgepack.pipeline.state import BuildState, Teacher, TrainedModel
from edgepack.pipeline.teacher import with_soft_targets
from edgepack.plan.steps import CutVocabulary


def make(state: BuildState, step: CutVocabulary, place: Stage) -> dict[str, Any]:
    """Cuts the vocabulary of model and tokenizer, saves both in the stage's folder, and scores them. Returns the stage's record."""
    from edgepack.compress.vocabulary import cut_vocabulary
    from edgepack.model.checkpoint import save_checkpoint

    model = load_model(state.material, state.work.checkpoint)
    details = cut_vocabulary(model, state.material, place.folder)
    save_checkpoint(model, place.folder)
    cut = _with_cut_model(state, place.folder)
    outputs = torch_outputs(model, cut.material, cut.material.test, f"score after {step.verb}")
    weights_mb = (place.folder / "model.safetensors").stat().st_size / 1e6
    return judged(cut.material, outputs, cut.teacher.test) | model_size(model, weights_mb) | {"details": details}


def after(state: BuildState, step: CutVocabulary, place: Stage) -> tuple[BuildState, dict[str, Any]]:
    """The state with the cut model, and the stage's record with the seconds of new soft targets."""
    cut, seconds = with_soft_targets(_with_cut_model(state, place.folder))
    return cut, place.record | {"seconds": place.record["seconds"] + seconds}


def _with_cut_model(state: BuildState, folder: Path) -> BuildState:
    """The cut model's folder as the source of all material; the teacher's answers on the test split follow its pieces."""
    before = state.material
    checkpoint = replace(find_model(str(folder)), name=state.source.name, cut_from=before.source)
    material = Material(before.recipe, checkpoint, before.task, before.data)
    teacher = state.teacher
    if teacher.test:
        new_id = before.vocabulary_cut.new_id
        teacher = Teacher(test=before.task.aligned(teacher.test, before.test, material.test, new_id))
    return replace(state, material=material, work=TrainedModel(checkpoint), teacher=teacher)
