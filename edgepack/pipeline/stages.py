"""Which module does a step of a plan: the only dispatch over steps. build.run_stage() asks here."""

from pathlib import Path
from types import ModuleType

from edgepack.pipeline import export_stage, model_stage, pruning_stage, quantize_stage, vocabulary_stage
from edgepack.plan.runtime import Format
from edgepack.plan.steps import CutVocabulary, Export, PruneFFN, PruneHeads, Quantize, Step


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
        case PruneHeads() | PruneFFN():
            return pruning_stage, (pruning_stage.__name__, model_stage.module_of(step))
        case _:
            return model_stage, (model_stage.__name__, model_stage.module_of(step))


def seconds_of_killed_runs(resume: Path) -> float:
    """How long a stage trained before it was killed, by what it left to go on with."""
    if not any(resume.iterdir()):
        return 0.0
    from edgepack.model.training import spent_seconds

    return spent_seconds(resume)
