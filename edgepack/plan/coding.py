"""What is done to a pack's files and vectors at the end: weights are coded, vectors get codes of fewer bits. Pure."""

from typing import Literal

from edgepack.core.records import Frozen

CODED_FILE = "weights.coded"
CodecName = Literal["deflate", "zstd"]
StartName = Literal["stream", "expand"]
WeightKind = Literal["ternary", "binary"]  # a weight is -1, 0 or 1, or -1 or 1, times its channel's scale
VectorKind = Literal["int8", "binary"]
VALUES: dict[WeightKind, str] = {"ternary": "-1, 0 or 1", "binary": "-1 or 1"}
VECTOR_BITS: dict[VectorKind, int] = {"int8": 8, "binary": 1}  # of a dimension


class Coding(Frozen):
    """How the pack's weights are coded. start `stream`: decoded into memory at each start; `expand`: once, into a cache on the device.

    bits: the mean bits that a rounded weight is to take; None: the weights are rounded as without coding.
    weights: the few values that a training leaves; None: as many as the bits allow.
    """

    verb: Literal["code"] = "code"
    codec: CodecName
    start: StartName
    bits: float | None = None
    weights: WeightKind | None = None
    why: str


class VectorCoding(Frozen):
    """A text's vector as a code of 8 bits or 1 bit a dimension, beside the numbers that the model gives."""

    verb: Literal["code_vectors"] = "code_vectors"
    kind: VectorKind
    why: str


def vector_coding(kind: VectorKind) -> VectorCoding:
    """The plan's words for a kind."""
    smaller = 32 // VECTOR_BITS[kind]
    from_texts = {"int8": "The range of each dimension", "binary": "The threshold of each dimension"}[kind]
    why = f"You asked for it. An index of the texts is {smaller} times smaller. {from_texts} is taken from texts of the train split."
    return VectorCoding(kind=kind, why=why)
