"""What a stage may use beside the model and its step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from edgepack.compress.stretching import SpecialTokens
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Outputs, Task

if TYPE_CHECKING:
    from edgepack.compress.importance import Scores


@dataclass(frozen=True)
class StageContext:
    """The train split as token ids with the teacher's outputs for it, and a folder that survives a kill."""

    task: Task
    rows: Sequence[Row]
    features: Sequence[Features]
    teacher_outputs: Outputs
    labels: dict[str, int]
    folder: Path
    seed: int
    load_teacher: Callable[[], nn.Module] | None = None
    dev_rows: Sequence[Row] = ()
    dev_features: Sequence[Features] = ()
    special: SpecialTokens | None = None  # None: nothing is made of the texts beside what they are
    ranked: Callable[[str, Callable[[], "Scores"]], "Scores"] = lambda unit, rank: rank()  # the importance of units, or what is kept of it
    details: dict[str, float | int | str] = field(default_factory=dict)  # what the stage counts, for its record
    notes: dict[str, Any] = field(default_factory=dict)  # what the stage's function adds to its row in the ladder, as plain JSON
