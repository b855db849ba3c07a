"""run_stage(): one step of a plan, from the cache or done now. The only dispatch over steps."""

import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from edgepack.core.cache import key_of, stage
from edgepack.core.progress import say
from edgepack.pipeline import export_stage, model_stage, quantize_stage, vocabulary_stage
from edgepack.pipeline.keys import step_inputs
from edgepack.pipeline.scoring import summary, with_row
from edgepack.pipeline.state import BuildState
from edgepack.plan.runtime import Format
from edgepack.plan.steps import CutVocabulary, Export, Quantize, Step


def run_stage(state: BuildState, step: Step) -> BuildState:
    """The state after the step, with a row more in its ladder. A stage that was killed goes on where it was."""
    say(f"{step.verb}: {step.why}")
    doer, roots = doer_of(step, state.plan.format)
    key = key_of(step_inputs(state, step, roots))
    with stage(state.cache, key) as place:
        if not place.is_finished:
            before, started = _seconds_of_killed_runs(place.resume), time.monotonic()
            record = doer.make(state, step, place)
            place.record = record | {"seconds": round(before + time.monotonic() - started, 2)}
    after, record = doer.after(replace(state, key=key), step, place)
    after = replace(after, ladder=with_row(state.ladder, step.verb, step.why, record, place.folder))
    say(f"  {summary(after.ladder[-1])}")
    return after


def doer_of(step: Step, file_format: Format) -> tuple[ModuleType, tuple[str, ...]]:
    """The module that does a step, and the modules whose code makes its result.

    `make(state, step, place)` fills the place's folder and returns the stage's record; `after(state, step, place)` returns the
    state that follows from a finished folder, and the record of its row in the ladder.
    """
    match step:
        case CutVocabulary():
            return vocabulary_stage, (vocabulary_stage.__name__,)
        case Export():
            return export_stage, (export_stage.__name__, export_stage.exporter_of(step))
        case Quantize():
            return quantize_stage, (quantize_stage.__name__, quantize_stage.scheme_of(step, file_format))
        case _:
            return model_stage, (model_stage.__name__, model_stage.module_of(step))


def _seconds_of_killed_runs(resume: Path) -> float:
    if not any(resume.iterdir()):
        return 0.0
    from edgepack.model.training import spent_seconds

    return spent_seconds(resume)
