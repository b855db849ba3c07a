"""How alike two vectors are, by what the model's folder states, as sentence-transformers' `similarity`: more is more alike."""

from __future__ import annotations

import numpy as np

from .errors import BadInput, ModuleError

USUAL = "cosine"
_SMALLEST = 1e-12


def similarity(model, first, second) -> float:
    """first, second: a Vector of the model, or float32 [width]. BadInput where they are not as long as one another."""
    if model.task != "feature-extraction":
        raise ModuleError("a model for {} gives no vectors".format(model.task), "call it instead")
    first, second = (np.asarray(getattr(each, "values", each), np.float64) for each in (first, second))
    if first.ndim != 1 or first.shape != second.shape:
        raise BadInput("vectors of the shapes {} and {} cannot be compared".format(first.shape, second.shape), "give two of this model")
    return float(_COMPARED[(model.manifest.get("answers") or {}).get("similarity", USUAL)](first, second))


def _cosine(first, second):
    return first @ second / (max(np.linalg.norm(first), _SMALLEST) * max(np.linalg.norm(second), _SMALLEST))


_COMPARED = {
    "cosine": _cosine,
    "dot": lambda first, second: first @ second,
    "euclidean": lambda first, second: -np.linalg.norm(first - second),
    "manhattan": lambda first, second: -np.abs(first - second).sum(),
}
