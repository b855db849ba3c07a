"""Golden vectors: texts, token ids and the outputs that they must give. They travel with a pack."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import DATA_BYTES, json_lines
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Outputs, Task

DIGITS = 6


def write_golden(path: Path, task: Task, rows: Sequence[Row], features: Sequence[Features], outputs: Outputs) -> None:
    """One JSON object a text: what goes in as text, as token ids, and what must come out."""
    with path.open("w", encoding="utf-8") as file:
        for item, output in zip(features, outputs, strict=True):
            shown = {} if task.joins_rows else task.shown(rows[item.row])
            entry = shown | {"input_ids": item.ids, "token_type_ids": item.type_ids, "output": np.round(output, DIGITS).tolist()}
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def add_golden_prompts(path: Path, shown: Sequence[dict[str, Any]], features: Sequence[Features], outputs: Outputs) -> None:
    """Behind a decoder's running text: prompts as text and conversations as messages, whose ids a device must make itself."""
    with path.open("a", encoding="utf-8") as file:
        for texts, item, output in zip(shown, features, outputs, strict=True):
            entry = texts | {"input_ids": item.ids, "token_type_ids": item.type_ids, "output": np.round(output, DIGITS).tolist()}
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def read_golden(pack: Path) -> list[dict[str, Any]]:
    """EdgepackError names the line that is not a golden text."""
    path = pack / "golden.jsonl"
    entries = list(json_lines(path, DATA_BYTES, "build or copy the pack again"))
    for number, entry in enumerate(entries, start=1):
        if not all(isinstance(entry.get(key), list) for key in ("input_ids", "token_type_ids", "output")):
            raise EdgepackError(f"{path}:{number} is not a golden text", "build or copy the pack again")
    return entries
