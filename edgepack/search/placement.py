"""Where the workers of a Ray cluster live: each needs a core and memory, and those whose trials train take a part of a GPU.

Pure but for the question how large a machine's GPUs are. A worker without a GPU gets the trials that train nothing.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.plan.recipe import Recipe
from edgepack.plan.shape import ModelShape
from edgepack.plan.student_size import parse_student

CORES = 1.0  # of a worker
_LIBRARIES_MB = 1500.0  # torch, transformers and the runtime, as they are loaded
_CONTEXT_MB = 600.0  # of CUDA, on the card
_WEIGHT_BYTES, _TRAINED_BYTES = 4, 16  # a weight; with its gradient and both moments of Adam
_KEPT = 24  # numbers of a token that a layer keeps for the backward pass, in widths
_TOKENS = 128  # of a text of a batch, which are short and padded to the longest
_PARTS = 8  # of a GPU, at most


@dataclass(frozen=True)
class Needs:
    """Of one trial at a time. gpu_mb: of a card's memory, where the trial trains on one."""

    memory_mb: float
    gpu_mb: float

    def gpu_share(self, card_mb: float) -> float:
        """Of a card with so much memory, in eighths; 0 means that nobody knows how much it has, and the whole card is taken."""
        return min(1.0, ceil(self.gpu_mb / card_mb * _PARTS) / _PARTS) if card_mb else 1.0


@dataclass(frozen=True)
class Place:
    """Of one worker: the machine, and the share of a GPU there."""

    node: str
    gpus: float

    def takes(self, recipe: Recipe, has_gpus: bool) -> bool:
        """Whether a trial belongs here. has_gpus: whether any worker has a part of one."""
        return not has_gpus or self.gpus > 0 or not trains(recipe)


def needs_of(teacher: ModelShape, batch_rows: int) -> Needs:
    """Of a student as large as its teacher, and the teacher beside it: no candidate needs more."""
    weights_mb = teacher.params * (_WEIGHT_BYTES + _TRAINED_BYTES) / 1e6
    kept_mb = batch_rows * _TOKENS * _KEPT * teacher.hidden * len(teacher.layers) * _WEIGHT_BYTES / 1e6
    return Needs(memory_mb=round(_LIBRARIES_MB + weights_mb + kept_mb), gpu_mb=round(_CONTEXT_MB + weights_mb + kept_mb))


def trains(recipe: Recipe) -> bool:
    """Whether a candidate's student learns anything: one of the teacher's shape is only rounded."""
    shrinks = recipe.student is not None and not parse_student(recipe.student).is_same
    return recipe.training.epochs != 0 and (shrinks or recipe.prunes or recipe.quantization_aware)


def places_of(nodes: Sequence[Mapping[str, Any]], needs: Needs, workers: int, card_mb: Mapping[str, float]) -> list[Place]:
    """Machines for up to so many workers, GPUs first. nodes: as `ray.nodes()` gives them. card_mb: of a GPU, by machine.

    EdgepackError: no machine has room for a single worker.
    """
    places: list[Place] = []
    rooms: dict[str, int] = {}
    for node in nodes:
        has = node["Resources"] if node["Alive"] else {}
        room = min(has.get("CPU", 0.0) // CORES, has.get("memory", 0.0) // (needs.memory_mb * 1e6))
        name, share = node["NodeID"], needs.gpu_share(card_mb.get(node["NodeID"], 0.0))
        with_gpu = int(min(room, has.get("GPU", 0.0) * (1 // share)))  # a share lies within one GPU, not across two
        places += [Place(name, share)] * with_gpu
        rooms[name] = int(room) - with_gpu
    while any(rooms.values()):  # one on each machine, then a second one
        places += [Place(name, 0.0) for name, room in rooms.items() if room]
        rooms = {name: max(0, room - 1) for name, room in rooms.items()}
    if not places:
        raise EdgepackError(
            f"no machine of the Ray cluster has room for a worker: one needs {CORES:g} core and {needs.memory_mb / 1e3:.1f} GB of memory",
            "look at `ray status`, and add a machine that has them",
        )
    return places[:workers]


def card_memory_mb() -> float:
    """Of the smallest GPU of this machine; 0 where nobody can tell."""
    asked = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout.split()
        return min(float(line) for line in lines)
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0.0
