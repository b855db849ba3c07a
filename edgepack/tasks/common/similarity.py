"""How two vectors are compared, by the names that sentence-transformers has for it: more is more alike. Which tokens are of a prompt."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from edgepack.core.records import Frozen
from edgepack.tasks.common.task import Outputs


class PromptTokens(Frozen):
    """A text behind a prompt begins with the ids `begin`; its vector leaves the first `count` tokens out."""

    begin: tuple[int, ...]
    count: int


Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]

COMPARED: dict[Similarity, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # [pairs, width] twice to [pairs]
    "cosine": lambda ours, others: (unit_length(list(ours)) * unit_length(list(others))).sum(axis=1),
    "dot": lambda ours, others: (ours * others).sum(axis=1),
    "euclidean": lambda ours, others: -np.linalg.norm(ours - others, axis=1),
    "manhattan": lambda ours, others: -np.abs(ours - others).sum(axis=1),
}


def unit_length(outputs: Outputs) -> np.ndarray:
    """[rows, width] in float64, each row 1 long."""
    vectors = np.stack(outputs).astype(float)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    units: np.ndarray = vectors / lengths
    return units
