"""The steps that a plan is made of: frozen settings, each with its why. Pure; compress/, export/ and quantize/ do the work."""

from typing import Annotated, Literal

from pydantic import Field

from edgepack.core.records import Frozen
from edgepack.plan.coding import WeightKind
from edgepack.plan.precision import bits_of
from edgepack.plan.profile import PrecisionName
from edgepack.plan.recipe import FactorKind, Importance, Scope
from edgepack.plan.runtime import Format
from edgepack.plan.training_settings import TrainingPrecision


class CutVocabulary(Frozen):
    """Keep the pieces that a corpus needs. corpus: `data` for the train split, or the path of a file beside it."""

    verb: Literal["cut_vocabulary"] = "cut_vocabulary"
    corpus: str
    why: str


class PruneHeads(Frozen):
    """Cut the least important heads out. scope `layer` removes the same share in each layer, `model` the least anywhere."""

    verb: Literal["prune_heads"] = "prune_heads"
    fraction: float
    scope: Scope
    importance: Importance = "gradient"
    refit: bool = False  # the remaining weights are corrected, by least squares, for what is cut
    why: str


class PruneFFN(Frozen):
    """Cut the least important FFN neurons out; scope as for heads."""

    verb: Literal["prune_ffn"] = "prune_ffn"
    fraction: float
    scope: Scope
    importance: Importance = "gradient"
    refit: bool = False  # the remaining weights are corrected, by least squares, for what is cut
    why: str


class PruneLayers(Frozen):
    """Keep `count` layers: those listed in `keep`, or, where it is empty, the most influential."""

    verb: Literal["prune_layers"] = "prune_layers"
    count: int
    keep: tuple[int, ...]
    why: str


class DropAttention(Frozen):
    """Drop the attention sublayers of these layers; their FFNs stay."""

    verb: Literal["drop_attention"] = "drop_attention"
    layers: tuple[int, ...]
    why: str


class PruneWeights(Frozen):
    """Zero the smallest weights until `fraction` of the layers' matrices is zero."""

    verb: Literal["prune_weights"] = "prune_weights"
    fraction: float
    why: str


class Factorize(Frozen):
    """Linear layers and embedding tables become two smaller products, with 1 - `fraction` of their weights together."""

    verb: Literal["factorize"] = "factorize"
    fraction: float
    by: FactorKind
    why: str


class Rounding(Frozen):
    """How a training sees the weights: as int8 will store them. bits: mean bits a weight on a coarse grid; None: 8 bits, row by row.

    weights: each row's have few values, in place of a grid; None: they have not.
    """

    bits: float | None
    largest: int  # integer
    activations: bool  # what products read is in 8 bits too
    weights: WeightKind | None = None


class BlockRounding(Frozen):
    """How a training sees a decoder's weights: in blocks with a scale each, as its file will store them, but for head and embeddings."""

    bits: int
    block: int  # weights of a row
    asymmetric: bool  # each block has a zero point of its own
    bf16: bool  # scales end after 8 bits, as XNNPACK computes with them


class Distill(Frozen):
    """Train a student of `layers` layers and hidden width `hidden` on the teacher's outputs, so many epochs or as long as it helps."""

    verb: Literal["distill"] = "distill"
    layers: int
    hidden: int
    epochs: int | None = None  # None: as many steps as progress on the dev split needs
    training_steps: int | None = None  # at most
    batch_rows: int
    learning_rate: float | None = None  # None: found by a short test
    temperature: float
    soft_weight: float = 1.0
    hidden_weight: float = 0.0
    relation_weight: float = 0.0
    hard_weight: float = 0.0
    training_precision: TrainingPrecision | None = None  # None: as this CPU computes faster
    minutes: float | None = None
    hold_zeros: bool = False  # weights that are zero stay zero
    share: float = 1.0  # of the most steps, where a plan has several trainings and states no epochs
    rounding: Rounding | BlockRounding | None = None  # quantization-aware
    why: str


class Export(Frozen):
    """Write the model as an fp32 file that the runtime opens."""

    verb: Literal["export"] = "export"
    format: Format = "onnx"
    opset: int | None = None  # ONNX only
    prepack: bool = True  # matrices are packed for the kernels as the session opens
    batch: bool = True  # ONNX encoders only: several texts at once, padded; without it, one text and no mask
    weight_cache: bool = False  # see Runnable
    positions: int | None = None  # of a decoder: tokens that its cache (TFLite) or its tables of rotations (ONNX) hold
    smoothing: float | None = None  # TFLite: of activations, before they are rounded
    why: str


_ROUNDS_ACTIVATIONS = frozenset({"dynamic", "static"})
_IN_BLOCKS = frozenset({"blockwise"})


class Quantize(Frozen):
    """Store and compute the exported file's matrix products in fewer bits."""

    verb: Literal["quantize"] = "quantize"
    precision: PrecisionName
    # dynamic: activations in int8 by scales of each text; static: by scales of calibration texts; blockwise: a scale for each block
    # of a weight's inputs; storage: weights alone, computed with in fp32
    method: Literal["dynamic", "static", "blockwise", "storage"] = "dynamic"
    reduce_range: bool = False
    scales_apart: bool = False  # TFLite: a matrix has one scale, those of its channels follow as an op of their own
    block: int = 32  # weights that share a scale, blockwise
    asymmetric: bool = False  # each block has a zero point of its own, blockwise
    smoothing: float | None = None  # of activations; None: chosen on calibration texts
    sensitive: int | None = None  # groups of products left wider: in float, a decoder's in 8 bits; None: only where the gate fails without
    embedding_bits: Literal[8, 4] = 8  # of a decoder's head too
    mean_bits: float | None = None  # of a rounded weight after an entropy coder: the grid is as coarse as that; None: as fine as it can be
    weights: WeightKind | None = None  # the few values that a training left, in place of a grid
    why: str

    @property
    def bits(self) -> int:
        """Of a weight."""
        return bits_of(self.precision)

    @property
    def rounds_activations(self) -> bool:
        """Whether products are computed in integers."""
        return self.method in _ROUNDS_ACTIVATIONS

    @property
    def in_blocks(self) -> bool:
        """Whether weights lie in blocks with a scale each."""
        return self.method in _IN_BLOCKS


ModelStep = PruneHeads | PruneFFN | PruneLayers | DropAttention | PruneWeights | Factorize | Distill  # checkpoint to checkpoint
FileStep = Export | Quantize  # to a file that a target can run
Step = Annotated[CutVocabulary | ModelStep | FileStep, Field(discriminator="verb")]
