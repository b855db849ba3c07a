"""What a build knows between two stages: a frozen record with a type for each state of the work."""

from dataclasses import dataclass, field
from pathlib import Path

from edgepack.model.material import Material
from edgepack.model.source import Source
from edgepack.pack.manifest import StageRecord
from edgepack.pack.runnable import Runnable
from edgepack.plan.plan import Plan
from edgepack.plan.profile import Profile
from edgepack.tasks.common.task import Outputs


@dataclass(frozen=True)
class TrainedModel:
    """A torch model: the one that the user brought, or what a stage left of it."""

    checkpoint: Source


@dataclass(frozen=True)
class ExportedFile:
    """A model file in fp32 that a target can run. checkpoint: the torch model that it was exported from."""

    checkpoint: Source
    folder: Path
    runnable: Runnable


@dataclass(frozen=True)
class QuantizedFile:
    """A narrower file that was made from an exported one."""

    checkpoint: Source
    folder: Path
    runnable: Runnable


@dataclass(frozen=True)
class Teacher:
    """Outputs of the model as it came. train: soft targets, empty where no step of the plan distils."""

    test: Outputs = field(default_factory=list)
    train: Outputs = field(default_factory=list)


@dataclass(frozen=True)
class BuildState:
    """source: the model that the user brought. key: names everything that was done so far. ladder: what each stage left."""

    source: Source
    material: Material
    plan: Plan
    profile: Profile
    cache: Path
    work: TrainedModel | ExportedFile | QuantizedFile
    key: str = ""
    teacher: Teacher = Teacher()
    ladder: tuple[StageRecord, ...] = ()

    @property
    def model_file(self) -> ExportedFile | QuantizedFile:
        """The work, where it is a file already: every plan exports before it quantizes."""
        assert not isinstance(self.work, TrainedModel), "no step of the plan has exported the model yet"
        return self.work
