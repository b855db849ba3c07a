"""Device profiles: what a device is, what its runtimes are good at, what a model may cost there. No torch, no model files."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from edgepack.core.records import Stated
from edgepack.plan.precision import exported_precision, precision_names
from edgepack.plan.profile_files import profile_names, profile_path, read_profile_toml
from edgepack.plan.runtime import provider_names, runtime_names
from edgepack.plan.saturation import saturates_u8s8
from edgepack.plan.setting import BUDGETS, Setting

__all__ = ["Budget", "PrecisionName", "Profile", "RuntimeName", "load_profile", "profile_names"]

PROFILES = "the profile's"  # the limit where a recipe has none

if TYPE_CHECKING:
    PrecisionName: TypeAlias = str
    RuntimeName: TypeAlias = str
else:
    PrecisionName = Literal[precision_names()]
    RuntimeName = Literal[tuple(runtime_names())]
IsaFlag = Literal[
    "neon", "crc32", "aes", "fp16", "dotprod", "i8mm", "bf16", "sve2",
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni",
    "simd128", "threads",
]  # fmt: skip


_ARCHES = {"AMD64": "x86_64", "arm64": "aarch64", "armv8l": "armv7l"}  # other systems' names for them

Limit = Annotated[float, Field(gt=0)]


class Budget(Stated):
    """What a model may cost; a limit that is left out is not checked.

    file_mb: the model files, 10^6 bytes. ram_mb: peak memory over an empty runtime. latency_ms: p90 of one inference of
    `Recipe.length` tokens on all cores. load_ms: cold load, from the first byte read to a session that can run.
    score_drop: points (0 to 100) of the task's metric lost against the teacher.
    """

    file_mb: Annotated[Limit | None, Setting("Largest size of the model files, in MB (10^6 bytes).", BUDGETS, PROFILES)] = None
    ram_mb: Annotated[Limit | None, Setting("Largest peak memory in MB, over that of an empty runtime.", BUDGETS, PROFILES)] = None
    latency_ms: Annotated[
        Limit | None,
        Setting("Longest latency (p90) in ms, for a text of --length tokens; for a decoder, for one token after them.", BUDGETS, PROFILES),
    ] = None
    load_ms: Annotated[Limit | None, Setting("Longest cold load of the session, in ms.", BUDGETS, PROFILES)] = None
    score_drop: Annotated[
        Annotated[float, Field(ge=0)] | None,
        Setting("Most points (0 to 100) that the score may lose against the teacher.", BUDGETS, PROFILES),
    ] = None

    def overridden_by(self, other: "Budget") -> "Budget":
        return Budget(**(self.model_dump() | other.model_dump(exclude_none=True)))


class Cpu(Stated):
    """The CPU. cores: those that run the model. clock_ghz: at full load. isa: the instruction sets that decide kernels and safety."""

    arch: Literal["aarch64", "armv7l", "x86_64", "wasm32"]
    part: str
    cores: int = Field(gt=0)
    clock_ghz: float = Field(gt=0)
    isa: tuple[IsaFlag, ...]

    @property
    def saturates_u8s8(self) -> bool:
        return saturates_u8s8(self.arch, self.isa)


class Memory(Stated):
    """The device's memory in MB (10^6 bytes), and its bandwidth in GB/s."""

    total_mb: int = Field(gt=0)
    bandwidth_gb_s: float = Field(gt=0)


class Storage(Stated):
    """What the model is read from, and its sequential speed in MB/s."""

    kind: str
    read_mb_s: float = Field(gt=0)


class Precision(Stated):
    """macs_per_cycle: multiply-accumulates a core can start each cycle in matrix products of this precision."""

    macs_per_cycle: float = Field(gt=0)
    why: str


class Runtime(Stated):
    """A runtime of the device: its version, and its speed in each precision.

    session_scale: how many times as long as the cost model counts a session takes to open, beside reading its file; `profiles --fit`
    measures it.
    """

    version: str = Field(pattern=r"^\d+(\.\d+)*$")  # compared with what our files need
    session_scale: float = Field(default=1.0, gt=0)
    precisions: dict[PrecisionName, Precision]

    @model_validator(mode="after")
    def _has_fp32(self) -> "Runtime":
        if exported_precision() not in self.precisions:
            raise ValueError("every runtime states fp32: attention and what is not quantized run in it")
        return self


class Accelerator(Stated):
    """What may run ops beside the CPU's kernels, and why one would want it."""

    why: str


class Profile(Stated):
    """A device as data: one TOML file in device_profiles, or one that the user names."""

    name: str
    summary: str
    cpu: Cpu
    memory: Memory
    storage: Storage
    runtimes: dict[RuntimeName, Runtime] = Field(min_length=1)
    budget: Budget = Field(default_factory=Budget)
    accelerators: dict[str, Accelerator] = Field(default_factory=dict)  # that `measure --providers profile` asks, in this order
    min_sdk: int | None = Field(default=None, ge=26)  # oldest Android API of a phone's module; its Java needs 26

    @field_validator("accelerators")
    @classmethod
    def _are_providers(cls, accelerators: dict[str, Accelerator]) -> dict[str, Accelerator]:
        for name in accelerators:
            if name not in provider_names():
                raise ValueError(f"no runtime has the accelerator {name!r}; known are {', '.join(provider_names())}")
        return accelerators


def arch_of(machine_arch: str) -> str:
    """A machine's architecture by the name that profiles use."""
    return _ARCHES.get(machine_arch, machine_arch)


def load_profile(name: str) -> Profile:
    """A shipped profile by its name, or a file of the user's own by its path (`./my-board.toml`)."""
    path = profile_path(name)
    return Profile.read({"name": path.stem} | read_profile_toml(path), path.name)
