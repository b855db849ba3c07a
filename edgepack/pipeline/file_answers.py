"""What a model file answers to held-out rows, computed no further than somebody looks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgepack.pipeline.scoring import file_outputs
from edgepack.plan.plan import Plan
from edgepack.tasks.common.task import Features, Outputs


@dataclass
class FileAnswers:
    """Of the model file in `folder`. features: of the rows, in their order; a row may have several. title: of the progress bar."""

    folder: Path
    plan: Plan
    features: Sequence[Features]
    title: str
    _outputs: list[np.ndarray] = field(default_factory=list)

    def to_first(self, rows: int) -> tuple[Sequence[Features], Outputs]:
        """The features of so many rows, and the file's output for each."""
        return self._to(sum(item.row < rows for item in self.features))

    def to_all(self) -> tuple[Sequence[Features], Outputs]:
        """The same of all features."""
        return self._to(len(self.features))

    def _to(self, count: int) -> tuple[Sequence[Features], Outputs]:
        missing = list(self.features[len(self._outputs) : count])
        self._outputs += file_outputs(self.folder, self.plan, missing, self.title)
        return self.features[:count], self._outputs[:count]
