"""The texts that a vocabulary is cut to: what a student learns from, as its task encodes it, and a file that the user adds. No torch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from edgepack.core.errors import EdgepackError
from edgepack.core.files import expanded
from edgepack.model.data import Data, load_data
from edgepack.plan.recipe import TRAIN_SPLIT
from edgepack.tasks import all_tasks
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Task, Text


@dataclass(frozen=True)
class Corpus:
    """Texts that the vocabulary must be able to write. sha256: of all texts, for the cache's key."""

    name: str
    texts: tuple[Text, ...]
    sha256: str


def read_corpus(vocabulary: str, data: Data | None, task: Task, unlabelled: Sequence[Row] = ()) -> Corpus:
    """The texts of the train split and those without labels, and, where `vocabulary` is a path, those of that file beside them.

    The first two always belong to it: what a student learns from must keep its pieces. EdgepackError: no such file, or
    no text at all.
    """
    texts = [*task.texts(data.splits.get("train", []) if data else []), *task.texts(unlabelled)]
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


def _read_file(path: str) -> list[Text]:
    if not expanded(path).exists():
        raise EdgepackError(
            f"the vocabulary's corpus was not found: --vocabulary {path!r}",
            f"give a text, jsonl or csv file, or `{TRAIN_SPLIT}` for the train split",
        )
    needs_only_texts = next(task.name for task in all_tasks() if task.joins_rows)
    data = load_data(str(expanded(path)), needs_only_texts)
    return [row.text for rows in data.splits.values() for row in rows if row.text.strip()]
