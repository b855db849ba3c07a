"""Golden vectors: texts, token ids and the outputs that they must give. They travel with a pack."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

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


def read_golden(pack: Path) -> list[dict[str, Any]]:
    with (pack / "golden.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
