"""Keeps the importance of a model's heads and neurons in the cache: stages that cut other shares of it rank it once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.core.cache import key_of, run_once
from edgepack.pipeline.keys import ranking_inputs
from edgepack.pipeline.state import BuildState
from edgepack.plan.steps import Importance

if TYPE_CHECKING:
    from edgepack.compress.importance import Scores

_ROOTS = (__name__, "edgepack.compress.importance")
_FILE = "scores.safetensors"


def ranked(state: BuildState, measure: Importance, unit: str, rank: "Callable[[], Scores]") -> "Scores":
    """What `rank` finds for the model of `state`, from the cache or made now. unit: heads or ffn."""
    from safetensors.torch import load_file, save_file

    def work(folder: Path, resume: Path) -> dict[str, Any]:
        save_file({f"{index:06d}": row.contiguous() for index, row in enumerate(rank())}, folder / _FILE)
        return {}

    folder, _ = run_once(state.cache, key_of(ranking_inputs(state, measure, unit, _ROOTS)), work)
    rows = load_file(folder / _FILE)
    return [rows[name] for name in sorted(rows)]
