"""A row of the oracle's table: a model folder, texts, and what the model's own library answers to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Calls = Sequence[tuple[Any, ...]]  # the arguments of each call, as `edgepack.load` takes them
Answer = dict[str, Any]


@dataclass(frozen=True)
class Situation:
    """make(folder) writes the model folder. oracle(folder, calls) asks the outside library: one answer for each call.

    recipe: settings of the build beside the model; {beside} is the folder that the model's folder lies in. refused: a pattern of
    the error by which the build says no, where what the folder states is not reproduced. refused_by: the same for a single platform
    or format, by its name. The answers are those of `canonical` in paths.py.
    """

    name: str
    task: str
    make: Callable[[Path], object]
    calls: Calls
    oracle: Callable[[Path, Calls], list[Answer]]
    recipe: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None
    refused_by: dict[str, str] = field(default_factory=dict)
    tolerance: float = 2e-3
    formats: tuple[str, ...] = ("onnx", "tflite")

    def __str__(self) -> str:
        return self.name
