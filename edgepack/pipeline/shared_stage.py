"""The stage that trains one shared model, out of which a search cuts its candidates. Its result is a model folder in the cache."""

from pathlib import Path
from typing import Any

from edgepack.core.cache import key_of, run_once
from edgepack.core.progress import say
from edgepack.pipeline.keys import step_inputs
from edgepack.pipeline.model_stage import stage_context
from edgepack.pipeline.scoring import load_model
from edgepack.pipeline.state import BuildState
from edgepack.pipeline.teacher import judge_teacher
from edgepack.plan.steps import Distill

_ROOTS = (__name__, "edgepack.compress.supernet")


def shared_network(state: BuildState, step: Distill) -> Path:
    """The folder of the network that was trained as `step` says. state: of a plan that learns, before its first step."""
    state = judge_teacher(state)

    def work(folder: Path, resume: Path) -> dict[str, Any]:
        from edgepack.compress.supernet import train_shared
        from edgepack.model.checkpoint import save_checkpoint

        say("one shared model is trained, and the trials are cut out of it")
        model = train_shared(load_model(state.material, state.work.checkpoint), step, stage_context(state, step, resume))
        save_checkpoint(model, folder)
        state.material.tokenizer.save_pretrained(folder)
        return {}

    inputs = step_inputs(state, step, _ROOTS).model_copy(update={"stage": "shared model"})
    return run_once(state.cache, key_of(inputs), work)[0]
