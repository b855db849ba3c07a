"""What a target must know to run a model file: the part of pack.json that targets/ reads. Pure data."""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgepack.core.records import Frozen


class Session(Frozen):
    """Settings that the runtime's session needs for this file to be as fast as it was measured."""

    graph_optimization_level: Literal["disable_all", "basic", "extended", "all"]
    disabled_optimizers: tuple[str, ...] = ()
    config: dict[str, str] = Field(default_factory=dict)


class CacheLayer(Frozen):
    """A layer whose keys and values are kept between tokens: in ONNX past and present are [batch, heads, tokens, head_size]."""

    layer: int
    heads: int
    head_size: int


class Runnable(Frozen):
    task: str
    model: str  # file name; weights lie beside it in a file whose name starts with this one
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    per_token: bool
    pad_id: int
    vocab: int
    session: Session | None = None  # of onnxruntime
    cache: tuple[CacheLayer, ...] = ()  # decoders only
    score_model: str | None = None  # the same graph with logits for every token, sharing the weights
    positions: int | None = None  # tokens that a decoder can have seen
    stop_ids: tuple[int, ...] = ()
    weight_cache: bool = False  # LiteRT keeps weights as its kernels want them in a file of its own, and maps it at the next start
    buckets: tuple[int, ...] = ()  # tokens that a file of fixed shapes reads at once, a signature each, in rising order


def read_runnable(folder: Path) -> Runnable:
    """Of the model file in a folder of ours: an export, a quantized file or a pack."""
    return Runnable.read(json.loads((folder / "pack.json").read_text()), f"{folder}/pack.json")
