"""The best checkpoint of a training: its weights, score and hash, in the training's folder. The hash is compared before they are used."""

import json
import math
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from edgepack.core.errors import EdgepackError
from edgepack.core.files import sha256_of, sync, write_atomically
from edgepack.core.reading import read_json_object

_WEIGHTS, _PARTIAL, _RECORD = "best.safetensors", "best.safetensors.partial", "best.json"


def keep_best(folder: Path, model: nn.Module, score: float) -> None:
    """Writes the model's weights, where no better ones are kept. score: higher is better; none that is no number is kept.

    The record is written before the weights get their name. `is_best_intact` gives it to them after a kill between the two.
    """
    if not math.isfinite(score) or ((folder / _RECORD).is_file() and read_json_object(folder / _RECORD)["score"] > score):
        return
    whole = {id(tensor): (name, tensor) for name, tensor in model.named_parameters()}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in whole.values()}
    partial = folder / _PARTIAL
    save_file(weights, partial)
    sync(partial)
    write_atomically(folder / _RECORD, json.dumps({"score": score, "sha256": sha256_of(partial)}))
    partial.replace(folder / _WEIGHTS)


def load_best(folder: Path, model: nn.Module) -> None:
    """Gives the model the weights that were kept, if any were. EdgepackError: they are not as they were written."""
    if not (folder / _WEIGHTS).is_file() and not (folder / _RECORD).is_file():
        return
    if not _is_of(folder / _WEIGHTS, _record_in(folder)):
        raise EdgepackError(
            f"the best weights of the training were damaged while it ran: {folder / _WEIGHTS}",
            "check the disk, and run the same command again: the training begins anew",
        )
    model.load_state_dict(load_file(folder / _WEIGHTS), strict=False)  # tied weights are stored once


def is_best_intact(folder: Path) -> bool:
    """Whether the weights that an earlier run kept are as it wrote them; True where it kept none."""
    weights, partial, record = folder / _WEIGHTS, folder / _PARTIAL, folder / _RECORD
    if not weights.is_file() and not record.is_file():
        return True
    stated = _record_in(folder)
    if not _is_of(weights, stated) and _is_of(partial, stated):
        partial.replace(weights)
    return _is_of(weights, stated)


def remove_best(folder: Path) -> None:
    for name in (_RECORD, _WEIGHTS, _PARTIAL):
        (folder / name).unlink(missing_ok=True)


def _record_in(folder: Path) -> dict[str, Any]:
    """Empty where there is none, or none that can be read."""
    try:
        record = read_json_object(folder / _RECORD)
    except EdgepackError:
        return {}
    return record if isinstance(record.get("score"), float | int) else {}


def _is_of(weights: Path, record: dict[str, Any]) -> bool:
    return weights.is_file() and record.get("sha256") == sha256_of(weights)
