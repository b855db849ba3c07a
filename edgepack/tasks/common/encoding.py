"""Texts into token ids, as several tasks do it."""

from collections.abc import Sequence
from typing import Any

from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features


def encode_text(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Features]:
    """Texts, or pairs of texts, cut to `max_length` tokens as the teacher cuts them."""
    pairs = [row.text_pair for row in rows]
    second = [pair or "" for pair in pairs] if any(pair is not None for pair in pairs) else None
    encoded = tokenizer([row.text for row in rows], second, truncation=True, max_length=max_length, padding=False)
    return [Features(ids, types, index) for index, (ids, types) in enumerate(zip(encoded["input_ids"], type_ids(encoded), strict=True))]


def type_ids(encoded: Any) -> list[list[int]]:
    """The tokenizer's token types, zeros where it has none."""
    return encoded["token_type_ids"] if "token_type_ids" in encoded else [[0] * len(ids) for ids in encoded["input_ids"]]
