"""How a SetFit model is asked without SetFit: sentence-transformers' vector, and scikit-learn's formula of a logistic regression."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.tasks.common.library import Call, Figures, Library, cut_at, opened


def _ask(folder: Path, calls: Sequence[Call], answers: Any, longest: int) -> list[Figures]:
    """Each label's score."""
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer

    config = folder / "config_setfit.json"
    stated = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    layer = load_file(folder / "model_head.safetensors")
    model = SentenceTransformer(str(folder), **opened())
    cut_at(model, longest)
    unit = bool(stated.get("normalize_embeddings"))
    figures = []
    for text, *_ in calls:
        vector = model.encode([text], show_progress_bar=False, normalize_embeddings=unit)[0].astype(float)
        logits = layer["linear.weight"] @ vector + layer["linear.bias"]
        names = stated.get("labels") or range(len(logits))
        scores = 1 / (1 + np.exp(-logits)) if answers.multi_label else np.exp(logits - np.logaddexp.reduce(logits))
        figures.append({str(name): float(score) for name, score in zip(names, scores, strict=True)})
    return figures


SETFIT = Library(
    name="sentence-transformers with the SetFit head",
    package="sentence_transformers",
    applies=lambda source, answers: True,
    ask=_ask,
    figures=lambda answer: {label.name: label.score for label in answer.scores},
    call=lambda row: (row.text,),
)
