"""How the library that a task's users run is asked: the reference for everything that a pack answers. Imports it when it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgepack.tasks.common.rows import Row

Figures = dict[str, float]  # what is compared of an answer: numbers by name
Call = tuple[str, ...]  # texts, as a pack takes them

LONG_TEXT = " ".join(["one word after another"] * 200)  # longer than most models read


def _text_and_pair(row: Row) -> Call:
    return (row.text, row.text_pair) if row.text_pair else (row.text,)


@dataclass(frozen=True)
class Library:
    """A call of a library on raw texts.

    package: what must be installed. applies: whether the library tells for a model's Source and the task's answers record.
    ask: figures for each call, of the model's folder, the calls, that record and the longest text in tokens. figures: the same of a
    pack's own answer. call: what a row becomes; None where it is not a call. long_call: one that is longer than most models read.
    records: the answers records that a pack is asked by, whose figures are put together. settings: of a pack's call.
    """

    name: str
    package: str
    applies: Callable[[Any, Any], bool]
    ask: Callable[[Path, Sequence[Call], Any, int], list[Figures]]
    figures: Callable[[Any], Figures]
    call: Callable[[Row], Call | None] = _text_and_pair
    long_call: Call | None = (LONG_TEXT,)
    records: Callable[[Any], Sequence[Any]] = lambda answers: (answers,)
    settings: Mapping[str, Any] = field(default_factory=dict)


def cut_at(model: Any, longest: int) -> None:
    """Cuts texts as a pack does. model: a SentenceTransformer. A StaticEmbedding's length cannot be set: its tokenizer cuts."""
    if model.max_seq_length != float("inf"):
        model.max_seq_length = min(longest, model.max_seq_length or longest)
        return
    tokenizer = model[0].tokenizer
    tokenizer.enable_truncation(longest, direction=(tokenizer.truncation or {}).get("direction", "right"))


def opened() -> dict[str, Any]:
    """How each class of sentence-transformers opens a folder here: in fp32, as a pack is made of it, whatever type its config states."""
    import torch

    return {"device": "cpu", "local_files_only": True, "model_kwargs": {"dtype": torch.float32}}
