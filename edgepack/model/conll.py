"""CoNLL files into sentences: a word and its tag a line."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown
from edgepack.tasks.common.rows import Record

_FILE_BEGINS = "-DOCSTART-"  # CoNLL 2003 writes it where another document begins


def read_conll(text: str, path: Path) -> Iterator[Record]:
    """One word and its tag a line, an empty line between sentences (CoNLL 2003's layout; the tag is the last column).

    A comment in CoNLL-U's manner, `# language = swa`, holds for all sentences until the next one. EdgepackError: a line without a tag, or
    a first column that counts the words.
    """
    lines = text.split("\n")
    _refuse_counted_words(lines, path)
    file_words = _Words([_cells(line) for line in lines])
    group: dict[str, str] = {}
    words: list[str] = []
    tags: list[str] = []
    start = 1
    for number, line in enumerate([*lines, ""], start=1):
        columns = _cells(line)
        if not words and len(columns) >= 4 and (columns[0], columns[2]) == ("#", "="):
            group = {columns[1]: columns[3]} if len(columns) == 4 else group  # a longer one is the sentence itself, or a remark
        elif not words and columns and file_words.are_not(columns):
            continue
        elif columns and columns[0] != _FILE_BEGINS:
            if len(columns) < 2:
                raise EdgepackError(f"{path.name}:{number} has no tag: {line!r}", "write `word tag` on each line")
            start = start if words else number
            words.append(columns[0])
            tags.append(columns[-1])
        elif words:
            yield Record({"words": words, "tags": tags} | group, f"{path.name}:{start}")
            words, tags = [], []


def _cells(line: str) -> list[str]:
    return [column for column in re.split(r"[ \t\r]+", line) if column]


class _Words:
    """How many columns the words of a file have, and which tags: by these a word that begins with a hash is told from a comment."""

    def __init__(self, lines: list[list[str]]) -> None:
        words = [columns for columns in lines if columns and not columns[0].startswith(("#", _FILE_BEGINS))]
        self.widths = Counter(len(columns) for columns in words)
        self.tags = {columns[-1] for columns in words}

    def are_not(self, columns: list[str]) -> bool:
        """Whether a line before a sentence is a comment, such as `# id 7  domain=en`.

        A word can be a hash too, and more often begins with one: its tag is one of the file's, or its columns are as many as a word's.
        """
        if not columns[0].startswith("#") or not self.widths:
            return False
        states_a_value = "=" in columns[-1] and columns[-1] not in self.tags
        if columns[0] == "#":
            return states_a_value or len(columns) != self.widths.most_common(1)[0][0]
        return states_a_value or (len(columns) not in self.widths and columns[-1] not in self.tags)


def _refuse_counted_words(lines: list[str], path: Path) -> None:
    """CoNLL-U and GermEval count the words of a sentence in the first column: read as they stand, the numbers would be the words."""
    first: list[tuple[int, list[str]]] = []
    for number, line in enumerate(lines, start=1):
        columns = _cells(line)
        if columns and not columns[0].startswith("#"):
            first.append((number, columns))
        elif first:
            break
    counted = all(re.fullmatch(r"\d+([-.]\d+)?", columns[0]) for _, columns in first)  # 2-3 is a word of two in CoNLL-U
    if counted and len(first) > 1 and first[0][1][0] in ("1", "1-2") and all(len(columns) > 2 for _, columns in first):
        number, columns = first[0]
        tag = 4 if len(columns) == 10 else 3
        name = shlex.quote(path.name)
        raise EdgepackError(
            f"{path.name}:{number}: the first column counts the words, as in CoNLL-U; the columns are {', '.join(map(shown, columns))}",
            f"keep the words and the tags that you mean, such as: grep -v '^#' {name} | cut -f2,{tag} > words-{name}",
        )
