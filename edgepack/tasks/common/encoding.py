"""Texts into token ids, as several tasks do it."""

from collections.abc import Sequence
from typing import Any

from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features


def encode_text(tokenizer: Any, rows: Sequence[Row], max_length: int, reads_empty_pair: bool = False) -> list[Features]:
    """Texts, or pairs of texts, cut to `max_length` tokens as the teacher cuts them.

    An empty second text is none, as for transformers' pipeline. reads_empty_pair: it is a text, as for a CrossEncoder.
    """
    features: list[Features] = []
    for is_pair in (False, True):
        indexes = [index for index, row in enumerate(rows) if _is_pair(row, reads_empty_pair) is is_pair]
        if indexes:
            texts = [rows[index].text for index in indexes]
            pairs = [rows[index].text_pair for index in indexes] if is_pair else None
            encoded = tokenizer(texts, pairs, truncation=True, max_length=max_length, padding=False)
            features += [Features(*each) for each in zip(encoded["input_ids"], type_ids(encoded), indexes, strict=True)]
    return sorted(features, key=lambda item: item.row)


def _is_pair(row: Row, reads_empty_pair: bool) -> bool:
    return row.text_pair is not None if reads_empty_pair else bool(row.text_pair)


def type_ids(encoded: Any) -> list[list[int]]:
    """The tokenizer's token types, zeros where it has none."""
    return encoded["token_type_ids"] if "token_type_ids" in encoded else [[0] * len(ids) for ids in encoded["input_ids"]]
