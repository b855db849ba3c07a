"""Texts without labels for a tiny student: pieces of a train split's own sentences, which the teacher then judges.

A student of one layer has few sentences to learn a task's words from. A run of words out of a sentence is a text of the same
kind with other contents, and the teacher tells what it says (n-gram sampling: Tang 2019, "Distilling task-specific knowledge
from BERT into simple neural networks").
"""

import random
from pathlib import Path

from edgepack.model.data import load_data

_SHORTEST = 2  # words
_SEED = 0


def write_fragments(data: Path, each: int, out: Path) -> None:
    """A text file with up to `each` runs of words out of every row of the train split; none of them twice, none a whole row."""
    draw = random.Random(_SEED)
    texts = [row.text.split() for row in load_data(str(data), "text-classification").splits["train"]]
    result = {" ".join(run) for words in texts if len(words) > _SHORTEST for _ in range(each) if len(run := _run(words, draw)) < len(words)}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(sorted(result)) + "\n", encoding="utf-8")


def _run(words: list[str], draw: random.Random) -> list[str]:
    length = draw.randint(_SHORTEST, len(words))
    start = draw.randint(0, len(words) - length)
    return words[start : start + length]
