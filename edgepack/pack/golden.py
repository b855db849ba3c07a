"""Golden vectors: texts, token ids and the outputs that they must give. They travel with a pack."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.tasks.rows import Row
from edgepack.tasks.tasks import Features, Outputs, Task

DIGITS = 6


def write_golden(path: Path, task: Task, rows: Sequence[Row], features: Sequence[Features], outputs: Outputs) -> None:
    """One JSON object a text: what goes in as text, as token ids, and what must come out."""
    with path.open("w", encoding="utf-8") as file:
        for item, output in zip(features, outputs, strict=True):
            row = rows[item.row] if task.name != "text-generation" else None
            pair = None if row is None or task.name == "feature-extraction" else row.text_pair or row.context or None
            text: dict[str, Any] = {} if row is None else {"text": row.text, "text_pair": pair}
            if row is not None and row.words:
                text = {"words": row.words}
            entry = text | {"input_ids": item.ids, "token_type_ids": item.type_ids, "output": np.round(output, DIGITS).tolist()}
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def read_golden(pack: Path) -> list[dict[str, Any]]:
    with (pack / "golden.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
