"""What a target must know of a pack, runnable.json: how it is read, what kind of file it describes, and what that file takes.

Standard library only; an app's module takes this file as it is.
"""

from __future__ import annotations

import json


def read_runnable(folder) -> dict:
    """Packs of schema 1 have no runnable.json: it is a part of their pack.json."""
    path = folder / "runnable.json"
    return json.loads((path if path.is_file() else folder / "pack.json").read_text())


def is_decoder(manifest) -> bool:
    """Whether the file writes text token by token, with its keys and values kept."""
    return bool(manifest.get("cache"))


def has_fixed_lengths(manifest) -> bool:
    """Whether the file reads texts of a few lengths only, to which shorter ones are padded."""
    return bool(manifest.get("buckets"))


def one_text(manifest, ids, type_ids=None) -> dict:
    """One text by the names of the file's inputs: lists of numbers. type_ids: 0 for each token where left out."""
    known = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": type_ids or [0] * len(ids)}
    return {name: known[name] for name in manifest["inputs"]}
