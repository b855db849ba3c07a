"""The texts that a vocabulary is cut to: the train split, as its task encodes it, and a file that the user adds. No torch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.model.data import Data, load_data
from edgepack.tasks.rows import Row

TRAIN_SPLIT = "data"  # what --vocabulary says for the train split alone

Text = str | tuple[str, ...]  # a string, or words where the task's data comes in words


@dataclass(frozen=True)
class Corpus:
    name: str
    texts: tuple[Text, ...]
    sha256: str


def read_corpus(vocabulary: str, data: Data | None, task: str) -> Corpus:
    """The train split's texts, and, where `vocabulary` is a path, those of that file beside them.

    The train split always belongs to it: what a student learns from must keep its pieces. EdgepackError: no such file, or
    no text at all.
    """
    texts = texts_of(data.splits.get("train", []), task) if data else []
    if vocabulary != TRAIN_SPLIT:
        texts += _read_file(vocabulary)
    if not texts:
        raise EdgepackError(
            f"the vocabulary's corpus is empty: --vocabulary {vocabulary!r}",
            "give data with a train split, or a text, jsonl or csv file of texts that the model will see",
        )
    digest = hashlib.sha256()
    for text in texts:
        digest.update(repr(text).encode("utf-8", "surrogatepass"))
    return Corpus(vocabulary, tuple(texts), digest.hexdigest())


def texts_of(rows: Sequence[Row], task: str) -> list[Text]:
    """The texts of rows as the task's encode() hands them to the tokenizer: each part of a pair by itself."""
    if task == "text-generation":  # it joins rows, and a line break may be part of a piece
        joined = "\n".join(row.text for row in rows)
        return [joined] if joined.strip() else []
    parts: list[Text] = []
    for row in rows:
        parts += [row.words] if row.words else []
        parts += [part for part in (row.text, row.text_pair, row.context) if part and part.strip()]
    return parts


def _read_file(path: str) -> list[Text]:
    if not Path(path).expanduser().exists():
        raise EdgepackError(
            f"the vocabulary's corpus was not found: --vocabulary {path!r}",
            f"give a text, jsonl or csv file, or `{TRAIN_SPLIT}` for the train split",
        )
    found = load_data(str(Path(path).expanduser()), "text-generation")  # the one task that needs nothing but texts
    return [row.text for rows in found.splits.values() for row in rows if row.text.strip()]
