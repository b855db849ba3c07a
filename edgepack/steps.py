"""The steps that a plan is made of: frozen settings, each with its why. Pure; what a step does stands in stages/ and export/."""

from typing import Annotated, Literal

from pydantic import Field

from edgepack.frozen import Frozen


class CutVocabulary(Frozen):
    """Keep the pieces that a corpus needs. corpus: `data` for the train split, or the path of a file beside it."""

    verb: Literal["cut_vocabulary"] = "cut_vocabulary"
    corpus: str
    why: str


class PruneHeads(Frozen):
    """Cut the least important heads out. scope `layer` removes the same share in each layer, `model` the least anywhere."""

    verb: Literal["prune_heads"] = "prune_heads"
    fraction: float
    scope: Literal["layer", "model"]
    why: str


class Distill(Frozen):
    verb: Literal["distill"] = "distill"
    layers: int
    hidden: int
    epochs: int
    batch_rows: int
    learning_rate: float
    temperature: float
    why: str


class Export(Frozen):
    verb: Literal["export"] = "export"
    format: Literal["onnx"] = "onnx"
    opset: int
    why: str


class Quantize(Frozen):
    verb: Literal["quantize"] = "quantize"
    precision: Literal["int8"]
    reduce_range: bool
    why: str


Step = Annotated[CutVocabulary | PruneHeads | Distill | Export | Quantize, Field(discriminator="verb")]
