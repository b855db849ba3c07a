"""A stage that cuts heads or neurons. Their importance stays in the cache: stages that cut other shares of one model find it once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.core.cache import Stage, key_of, run_once
from edgepack.pipeline import model_stage
from edgepack.pipeline.keys import ranking_inputs
from edgepack.pipeline.state import BuildState
from edgepack.plan.steps import Importance, PruneFFN, PruneHeads

if TYPE_CHECKING:
    from edgepack.compress.importance import Scores

after = model_stage.after
_ROOTS = (__name__, "edgepack.compress.importance")
_FILE = "scores.safetensors"


def make(state: BuildState, step: PruneHeads | PruneFFN, place: Stage) -> dict[str, Any]:
    """As model_stage.make(), with what is kept of the ranking."""
    return model_stage.make(state, step, place, ranked=partial(_ranked, state, step.importance))


def _ranked(state: BuildState, measure: Importance, unit: str, rank: "Callable[[], Scores]") -> "Scores":
    """What `rank` finds for the model of `state`, from the cache or made now. unit: heads or ffn."""
    from safetensors.torch import load_file, save_file

    def work(folder: Path, resume: Path) -> dict[str, Any]:
        save_file({f"{index:06d}": row.contiguous() for index, row in enumerate(rank())}, folder / _FILE)
        return {}

    folder, _ = run_once(state.cache, key_of(ranking_inputs(state, measure, unit, _ROOTS)), work)
    rows = load_file(folder / _FILE)
    return [rows[name] for name in sorted(rows)]
