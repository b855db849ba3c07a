"""Golden vectors: texts, their token ids, the outputs that they must give and the decision behind them. They travel with a pack."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import DATA_BYTES, json_lines
from edgepack.tasks.common.task import Features

DIGITS = 6
_Ids = list[Annotated[int, Field(ge=0)]]


class _Entry(BaseModel):
    """What a line may hold: a pack may be a stranger's, and nothing behind this looks at types again."""

    model_config = ConfigDict(extra="allow", strict=True)

    input_ids: _Ids
    token_type_ids: _Ids
    attention_mask: _Ids | None = None
    output: list[Any]
    text: str = ""
    text_pair: str | None = None
    prompt: str | None = None
    words: list[str] = []
    messages: list[dict[str, str]] = []
    answer: dict[str, Any] = {}


def golden_entry(shown: dict[str, Any], item: Features, output: np.ndarray) -> dict[str, Any]:
    """shown: the raw text as an app gives it, by the names that the task has for it; empty where the entry came as ids."""
    values = np.round(output, DIGITS).tolist()
    return shown | {"input_ids": item.ids, "token_type_ids": item.type_ids, "attention_mask": [1] * len(item.ids), "output": values}


def write_golden(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    """One JSON object a text: what goes in as text and as token ids, and what must come out."""
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries]
    path.write_text("".join(lines), encoding="utf-8")


def read_golden(pack: Path) -> list[dict[str, Any]]:
    """EdgepackError names the line that is not a golden text."""
    path = pack / "golden.jsonl"
    entries = list(json_lines(path, DATA_BYTES, "build or copy the pack again"))
    for number, entry in enumerate(entries, start=1):
        try:
            _Entry.model_validate(entry)
            _check_numbers(entry["output"])
        except ValueError:  # of pydantic too
            raise EdgepackError(f"{path}:{number} is not a golden text", "build or copy the pack again") from None
    return entries


def _check_numbers(output: list[Any]) -> None:
    """ValueError: an output is no array of finite numbers."""
    values = np.array(output)  # ValueError too, where its rows are of different lengths
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise ValueError("no numbers")


def asks_pairs(pack: Path) -> bool:
    """Whether most of a pack's golden texts are pairs, as a reranker's are."""
    entries = [entry for entry in read_golden(pack) if entry.get("text")] if (pack / "golden.jsonl").is_file() else []
    return 2 * sum(bool(entry.get("text_pair")) for entry in entries) > len(entries)
