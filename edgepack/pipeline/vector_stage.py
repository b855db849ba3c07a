"""Codes of a text's vectors in fewer bits, where the plan says so: what they are made by, and what a search in them finds again."""

import hashlib
import json
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.model.material import Material
from edgepack.pack.manifest import StageRecord
from edgepack.pipeline.scoring import file_outputs, summary
from edgepack.pipeline.state import BuildState
from edgepack.plan.coding import VECTOR_BITS, VectorKind
from edgepack.plan.plan import Plan
from edgepack.ship.load import device_module
from edgepack.tasks.common.task import Features

NEAREST = 10
LEAST_TEXTS = 8  # fewer say little of a dimension's range
_TRAIN_TEXTS, _SEARCHED_TEXTS = 4000, 2000


def check_vectors(material: Material, plan: Plan) -> None:
    """EdgepackError where there are too few texts to take ranges and thresholds from."""
    count = len(material.rows("train"))
    if plan.vectors and count < LEAST_TEXTS:
        raise EdgepackError(
            f"--vectors {plan.vectors.kind} takes the range of each dimension from texts of the train split, which has only {count}: at "
            f"least {LEAST_TEXTS} are needed",
            "give more data, or leave the flag out",
        )


def with_codes(folder: Path, state: BuildState, answers: dict[str, Any]) -> tuple[dict[str, Any], StageRecord]:
    """`answers` of the pack in `folder` with the codes of its vectors, and the ladder's row: how much of a search they lose."""
    plan, material, before = state.plan, state.material, state.ladder[-1]
    assert plan.vectors is not None, "the plan makes no codes"
    say(f"code vectors: {plan.vectors.why}")
    started = time.monotonic()
    is_unit = answers["similarity"] == "cosine"
    train = _vectors(folder, plan, _some(material.train, _TRAIN_TEXTS, material.recipe.seed), is_unit)
    answers = answers | {"codes": codes_of(train, plan.vectors.kind)}
    details = {"kind": plan.vectors.kind, "index_bytes_a_text": index_bytes(len(train[0]), plan.vectors.kind)}
    details |= {"index_smaller": 32 // VECTOR_BITS[plan.vectors.kind], "train_texts": len(train)}
    searched = _vectors(folder, plan, _some(material.test, _SEARCHED_TEXTS, material.recipe.seed), is_unit)
    details |= recall(searched, answers)
    changed = {"stage": plan.vectors.verb, "why": plan.vectors.why, "details": details, "attempts": (), "coded_mb": None}
    row = before.model_copy(update=changed | {"seconds": round(time.monotonic() - started, 2)})
    again = f", finds {details['recall_at_10']:.1%} of the nearest {NEAREST} again" if "recall_at_10" in details else ""
    say(f"  {summary(row)}{again}")
    return answers, row


def index_bytes(width: int, kind: VectorKind) -> int:
    """Of a text's code in an index: a vector's last byte may be filled in part."""
    return -(-width * VECTOR_BITS[kind] // 8)


def codes_of(vectors: np.ndarray, kind: VectorKind) -> dict[str, Any]:
    """What makes codes: the fields of VectorCodes. vectors: float32 [texts, width] as they are compared.

    int8: as sentence-transformers' quantize_embeddings takes the ranges of calibration texts. binary: its bits, but above the mean and
    not above 0, as the vectors of many models lie on one side of 0: of MiniLM's nearest ten on banking77 2 points more are found.
    """
    if kind == "int8":
        numbers = {"low": vectors.min(axis=0), "high": vectors.max(axis=0)}
    else:
        thresholds = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        above = vectors > thresholds
        numbers = {"low": _mean_where(~above, vectors), "high": _mean_where(above, vectors), "thresholds": thresholds}
    plain = {name: [float(value) for value in values] for name, values in numbers.items()}
    digest = hashlib.sha256(json.dumps([kind, plain], sort_keys=True).encode()).hexdigest()[:16]
    return {"kind": kind, "id": digest, "thresholds": None, **plain}


def recall(vectors: np.ndarray, answers: dict[str, Any]) -> dict[str, float | int]:
    """How much of the nearest texts a search in codes finds, each text asked among all others. Nothing where there are too few texts."""
    if len(vectors) < 2 * NEAREST:
        return {}
    search = _search()
    index = search.Index(SimpleNamespace(manifest={"answers": answers}))
    index.add(vectors)
    wide = vectors.astype(np.float64)
    rescored, alone = [], []
    for place, (query, scores) in enumerate(zip(vectors, wide @ wide.T, strict=True)):
        scores[place] = -np.inf  # a text is not among its own nearest
        wanted = set(np.argsort(-scores, kind="stable")[:NEAREST].tolist())
        rescored.append(_share(index.search(query, NEAREST + 1), place, wanted))
        if answers["codes"]["kind"] == "binary":
            alone.append(_share(index.search(query, NEAREST + 1, rescore=0), place, wanted))
    shares: dict[str, float | int] = {"searched_texts": len(vectors), "recall_at_10": round(float(np.mean(rescored)), 4)}
    shares["recall_lost_points"] = round(100 * (1 - shares["recall_at_10"]), 2)
    return shares | ({"recall_at_10_by_hamming": round(float(np.mean(alone)), 4)} if alone else {})


def _share(hits: Sequence[Any], place: int, wanted: set[int]) -> float:
    return len({hit.place for hit in hits if hit.place != place} & wanted) / len(wanted)


def _mean_where(mask: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """[width]: the mean of each dimension's numbers under the mask; of a dimension that never changes that number."""
    counts = mask.sum(axis=0)
    sums = np.where(mask, vectors, 0).sum(axis=0, dtype=np.float64)
    return np.where(counts > 0, sums / np.maximum(counts, 1), vectors.mean(axis=0, dtype=np.float64)).astype(np.float32)


def _vectors(folder: Path, plan: Plan, features: list[Features], is_unit: bool) -> np.ndarray:
    outputs = file_outputs(folder, plan, features, "vectors of texts")
    vectors = np.stack(outputs).astype(np.float32) if outputs else np.zeros((0, 1), np.float32)
    return _search().unit(vectors) if is_unit else vectors


def _some(features: list[Features], most: int, seed: int) -> list[Features]:
    picked = sorted(np.random.default_rng(seed).permutation(len(features))[:most])
    return [features[index] for index in picked]


def _search() -> Any:
    """A module's own code, which searches on every device."""
    return import_module(f"{device_module().__name__}.search")
