"""What a precision is: the record that each file in precisions/ fills, and how it is found by its name. Pure.

A precision is a number format of weights. Its file says what it costs, what it is for, and which step of a plan brings a file to it.
How a file is rounded stands in edgepack/quantize/schemes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgepack.plan.runtime import Format

if TYPE_CHECKING:
    from edgepack.plan.profile import Profile
    from edgepack.plan.recipe import Recipe
    from edgepack.plan.shape import ModelShape
    from edgepack.plan.steps import Quantize

_FOLDER = Path(__file__).with_name("precisions")
BLOCK = 32  # weights that share a scale, where a file has blocks of one size: no fast kernel has a smaller block than 16
FEWEST_WEIGHTS = 1024  # of a matrix: a smaller one stays in float, where its bytes are nothing and a rounding less is one op less


class FileKind(NamedTuple):
    """What decides between ways to quantize, beside the precision."""

    format: Format
    decodes: bool


ONNX_ENCODER, ONNX_DECODER = FileKind("onnx", False), FileKind("onnx", True)
TFLITE_ENCODER, TFLITE_DECODER = FileKind("tflite", False), FileKind("tflite", True)


@dataclass(frozen=True)
class Situation:
    """What a plan knows where a file is to be quantized. wider_need: a sentence on what the next wider precision would need, where one was
    considered."""

    profile: "Profile"
    recipe: "Recipe"
    runtime: str
    teacher: "ModelShape"
    student: "ModelShape"
    wider_need: str | None
    bits: float | None = None  # mean bits a weight, where the grid is coarser than the precision allows

    def why(self, reason: str) -> str:
        """Sentences: who chose the precision, what speaks for it (`reason`), and what the next wider one would need."""
        if self.recipe.precision is not None:
            return f"You asked for {self.recipe.precision}. {as_sentence(reason)}"
        return as_sentence(reason) + (f" {self.wider_need}" if self.wider_need else "")

    def profile_reason(self, precision: str) -> str:
        return self.profile.runtimes[self.runtime].precisions[precision].why


StepMaker = Callable[[Situation], "Quantize"]


@dataclass(frozen=True)
class PrecisionFacts:
    """One precision.

    quantize: for each kind of file that can be in this precision, the function that makes the plan's step; None where the export
    is in it already. refusals: why other kinds of file cannot be in it, with {task} and {precision} in the text.
    """

    name: str
    bytes_per_weight: float  # with the scales
    is_integer: bool  # products round their weights, and tables are stored in 8 or 4 bits
    quantize: Mapping[FileKind, StepMaker | None]
    golden_tolerance: float  # of golden vectors on another machine
    wider: str | None = None  # what to try where this one loses too much
    unpacked_to: str = ""  # by kernels that read blocks of weights, for a single token
    counted_as: str = ""  # in a manifest's counts of products, where that is not the name
    computed_in: str = ""  # where products are computed in another precision than the weights are stored in
    refusals: Mapping[FileKind, str] = field(default_factory=dict)
    only_when_asked: tuple[FileKind, ...] = ()  # the planner does not choose it by itself
    suggested_for: tuple[FileKind, ...] = ()  # a report names it as the next step where a budget does not hold
    in_blocks: tuple[FileKind, ...] = ()  # blocks of weights must divide the hidden width, and prompts cost what they cost in fp32
    blocks: tuple[int, ...] = ()  # weights that share a scale in such a file: the first that divides the hidden width
    bytes_by_block: float = 0.0  # of a block's scale, and of its zero point where it has one
    smooths_before_export: bool = False  # TFLite: activations are rounded, so they are smoothed in torch
    keeps_sensitive_layers: bool = False  # of a decoder, in a wider precision
    is_fast_in_browsers: bool = False
    narrow_embeddings: tuple[FileKind, ...] = ()  # kinds of file whose embeddings the planner may put in 4 bits by itself
    coarse: Mapping[FileKind, float] = field(default_factory=dict)  # kinds of file with a coarse grid: the fewest bits that a plan chooses

    def __post_init__(self) -> None:
        object.__setattr__(self, "computed_in", self.computed_in or self.name)
        object.__setattr__(self, "counted_as", self.counted_as or self.name)

    def block_of(self, hidden: int) -> int:
        """Weights that share a scale in a model of this hidden width; the narrowest where none divides it."""
        return next((block for block in self.blocks if hidden % block == 0), self.blocks[-1])

    def bytes_in_blocks(self, hidden: int) -> float:
        """Of a weight of a decoder in ONNX, with its share of what its block has."""
        return bits_of(self.name) / 8 + (self.bytes_by_block / self.block_of(hidden) if self.blocks else 0.0)


def as_sentence(text: str) -> str:
    """A profile's own words with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def precision_names() -> tuple[str, ...]:
    """The precisions that there are: files in precisions/, the widest first."""
    names = [path.stem for path in _FOLDER.glob("*.py") if path.stem != "__init__"]
    return tuple(sorted(names, key=lambda name: (-bits_of(name), name)))


def exported_precision() -> str:
    """What an export is in, before any step makes it narrower: the widest."""
    return precision_names()[0]


def bits_of(name: str) -> int:
    """Of a weight in the precision of that name."""
    return int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))


@cache
def precision_facts(name: str) -> PrecisionFacts:
    """The facts of a precision, from its file in plan/precisions."""
    facts: PrecisionFacts = import_module(f"edgepack.plan.precisions.{name}").FACTS
    return facts


def all_precisions() -> list[PrecisionFacts]:
    """The widest first."""
    return [precision_facts(name) for name in precision_names()]
