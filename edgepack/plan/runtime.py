"""What a runtime is: the record that each file in runtimes/ fills, and how it is found by its name. Pure: loads no runtime."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.records import Frozen

Format = Literal["onnx", "tflite"]
_FOLDER = Path(__file__).with_name("runtimes")


class NpmPackage(Frozen):
    """The runtime for JavaScript. version: the one that modules and targets are tested with. files: of its dist/, all that is used."""

    name: str
    version: str
    files: tuple[str, ...] = ()


class AndroidArtefact(Frozen):
    """The runtime for Android, whose published releases stand in ship/published.toml. native_bytes: of its native libraries, by ABI.

    times_ops: whether its Java tells what single ops take.
    """

    coordinate: str  # Maven's group and name
    native_bytes: dict[str, int]
    native_source: str
    times_ops: bool = True


class Costs(Frozen):
    """What a runtime costs beside the products, as benchmarks/prediction.py fits it: on one core of 3.5 GHz, by the formulas of cost_model.

    attention_efficiency: fp32 products of attention with softmax between them, as a share of the stated rate. *_element_macs: an
    activation (GELU) by neuron of the FFN, and residual additions, norms and input quantization by hidden element and layer, each in
    fp32 products that take as long. widest_held: how many times a layer's widest moment lies in memory.
    mean_error_of_*: shares by which predictions were off, of models that nothing was fitted on; of two kinds of CPU where both were
    measured, the larger. None: nobody has measured it.
    """

    attention_efficiency: float
    ffn_element_macs: float
    hidden_element_macs: float
    layer_overhead_ms: float  # dispatch of a layer's ops
    session_ms: float
    session_ms_per_layer: float
    session_ms_per_mb: float  # packing the matrices for the kernels
    session_mb: float  # pages of the library that a session touches, its arenas
    session_mb_per_layer: float
    widest_held: float
    mean_error_of_encoders: dict[str, float] | None = None
    mean_error_of_decoders: dict[str, float] | None = None


class RuntimeFacts(Frozen):
    """One runtime. What is left out for a runtime that has no Python package holds for the one that `python` names."""

    name: str  # as device profiles list it
    format: Format
    rank: int  # where a profile lists several and the user wishes no format, the lowest is taken
    licence: str
    python: str | None = None  # the runtime that opens the same file in Python, where it is another one

    # In Python: on this machine and on a board
    script: str = ""  # in targets/
    wheels: tuple[str, ...] = ()  # what its script imports and no more; the runtime's own is the first
    module_files: tuple[str, ...] = ()  # of targets/ and targets/module/: what an app's module takes along to open the file
    module: str = ""  # that proves by its import that the runtime is there
    version: str = ""  # measured to run what edgepack exports
    runs_apart: bool = False  # here it has a folder of its own, because it cannot stand beside edgepack's own packages
    unpacked_bytes: dict[str, int] = Field(default_factory=dict)  # of its wheel for CPython 3.11, by architecture
    pins: dict[str, str] = Field(default_factory=dict)  # what a module asks pip for, in place of the measured versions

    # What builds its file: package and the module that proves it is installed
    builders: dict[str, str] = Field(default_factory=dict)

    # What it can run
    oldest: dict[str, tuple[int, int]] = Field(default_factory=dict)  # by precision, the oldest version that opens our files
    kernels: tuple[str, ...] | None = None  # precisions that it has kernels for; None: for all that its format can hold
    scale_by_channel: bool = True  # its products know a scale for each channel of a matrix; else it answers wrongly, without a word
    always_packs: bool = False  # weights are packed whether a session asks for it or not
    keeps_weight_cache: bool = False  # packed weights can lie in a file, which the next start maps
    writes_text: bool = True  # it has what a decoder's cache needs
    providers: dict[str, str] = Field(default_factory=dict)  # what runs its ops, beside its CPU kernels: name as users say it, and its own
    costs: Costs | None = None  # None: as those of the first runtime that opens the same format, without a word on their error

    # Elsewhere
    measured_on: str | None = None  # address of the target that a build measures on first, where that is not this machine's Python
    npm: NpmPackage | None = None
    android: AndroidArtefact | None = None
    java: str | None = None  # Maven's group and name of the same for a desktop's or a server's JVM

    @property
    def package(self) -> str:
        return self.wheels[0]

    @property
    def needs_numpy_1(self) -> bool:
        return "numpy<2" in self.wheels


def provider_names() -> list[str]:
    """Of all runtimes, as users say them."""
    return sorted({name for facts in all_runtimes() for name in facts.providers})


def runtime_names() -> list[str]:
    """The runtimes that there are: files in runtimes/."""
    return sorted(path.stem.replace("_", "-") for path in _FOLDER.glob("*.py") if path.stem != "__init__")


@cache
def runtime_facts(name: str) -> RuntimeFacts:
    """EdgepackError: no such runtime."""
    if name not in runtime_names():
        raise EdgepackError(f"unknown runtime: {name!r}", did_you_mean(name, runtime_names()))
    facts: RuntimeFacts = import_module(f"edgepack.plan.runtimes.{name.replace('-', '_')}").FACTS
    return facts


def costs_of(name: str) -> Costs:
    """A runtime's costs; of one that nobody has fitted, those of the first that opens the same files, whose error is not known for it."""
    facts = runtime_facts(name)
    if facts.costs:
        return facts.costs
    fitted = next(each.costs for each in all_runtimes() if each.costs and each.format == facts.format)
    return fitted.model_copy(update={"mean_error_of_encoders": None, "mean_error_of_decoders": None})


def facts_in_python(name: str) -> RuntimeFacts:
    """Of the runtime that opens the files of `name` in Python."""
    facts = runtime_facts(name)
    return runtime_facts(facts.python) if facts.python else facts


def python_runtimes() -> list[RuntimeFacts]:
    """Those with a Python package, the preferred first."""
    return [facts for facts in all_runtimes() if not facts.python]


def all_runtimes() -> list[RuntimeFacts]:
    """The preferred first."""
    return sorted(map(runtime_facts, runtime_names()), key=lambda facts: facts.rank)


def packages_to_look_for() -> list[str]:
    """What a machine's Python is asked for: numpy, and the package of each runtime."""
    return ["numpy", *(facts.package for facts in python_runtimes())]


def default_runtime() -> str:
    """What a board gets where no pack says what it needs."""
    return python_runtimes()[0].name


def missing_builders(format: Format) -> list[str]:
    """Packages that write the format and are not installed."""
    return [name for name, module in builders(format).items() if not find_spec(module)]


def builders(format: Format) -> dict[str, str]:
    """Packages that write a format, each with a module of its own."""
    return {name: module for facts in all_runtimes() if facts.format == format for name, module in facts.builders.items()}
