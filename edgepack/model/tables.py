"""Reads csv and tsv into records: delimiters, quotes and headers as people and programs write them."""

import csv
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown
from edgepack.tasks.common.rows import Record

_FEWEST_ROWS, _LONGEST_NAME = 8, 40  # of a table in which a header without a known word can be told from a row
_KNOWN_COLUMNS = {
    "text", "sentence", "sentence1", "sentence2", "premise", "hypothesis", "question", "question1", "question2", "utterance",
    "query", "content", "review", "title", "input", "text_pair", "label", "labels", "category", "intent", "class", "target",
    "sentiment", "context", "answers", "tokens", "words", "tags", "ner_tags", "comment", "comment_text", "tweet", "message",
    "score", "stars", "rating",
}  # fmt: skip


def read_table(text: str, path: Path, named_columns: frozenset[str]) -> Iterator[Record]:
    """The records of a csv or tsv text. EdgepackError: rows of different widths, or a header without known columns."""
    first, _, rest = text.partition("\n")
    stated = re.fullmatch(r"sep=(.)\r?", first, re.IGNORECASE)  # a line of Excel's that names the delimiter
    skipped = 1 if stated else 0
    if stated:
        text, first = rest, rest.split("\n", 1)[0]
    delimiter = stated[1] if stated else _delimiter(path, first, named_columns)
    quoting = csv.QUOTE_NONE if delimiter == "\t" and not _is_quoted(text) else csv.QUOTE_MINIMAL
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    header: list[str] | None = None
    records: list[Record] = []
    for row in _cells(rows, path):
        if not row:
            continue
        if header is None:
            names = [name.strip() for name in row]
            if _is_header(names, named_columns):
                header = names
                continue
            header = [f"column {index}" for index in range(1, len(row) + 1)]
        line = rows.line_num + skipped
        if len(row) != len(header):
            raise EdgepackError(f"{path.name}:{line} has {len(row)} columns, the file {len(header)}", _width_fix(row, len(records) < 2))
        records.append(Record(dict(zip(header, row, strict=True)), f"{path.name}:{line}"))
    if header and header[0] == "column 1":
        _refuse_unknown_header(records, path)
    yield from records


def _width_fix(row: list[str], at_top: bool) -> str:
    if any("\\" in cell for cell in row):
        return 'write a quote within a text as two quotes (""), not as \\"'
    return "quote a text that holds the delimiter" + ("; remove lines before the header that are no rows" if at_top else "")


def has_header(text: str, path: Path, named_columns: frozenset[str]) -> bool:
    """Whether the first line of a table names its columns."""
    first = text.partition("\n")[0]
    return _names_columns(first, _delimiter(path, first, named_columns), named_columns)


def _names_columns(first: str, delimiter: str, named_columns: frozenset[str]) -> bool:
    return _is_header([name.strip().strip('"') for name in first.split(delimiter)], named_columns)


def _delimiter(path: Path, first: str, named_columns: frozenset[str]) -> str:
    if path.suffix.lower() == ".tsv" or ("\t" in first and "," not in first):
        return "\t"
    if "|" in first and not {",", ";"} & set(first) and _names_columns(first, "|", named_columns):  # else a text may hold it
        return "|"
    return ";" if first.count(";") > first.count(",") else ","


def _is_quoted(text: str) -> bool:
    """Whether a table with tabs quotes its cells, which most corpora with tabs do not: their quotes are a part of the text.

    It does where the whole header is quoted, where a cell in quotes holds quotes that are doubled, and where only quotes give each line
    as many cells as the first.
    """
    if '"' not in text:
        return False
    lines = text.split("\n")
    header = lines[0].rstrip("\r").split("\t")
    if all(re.fullmatch(r'"[^"]+"', cell) for cell in header):
        return True
    cells = [cell for line in lines for cell in line.rstrip("\r").split("\t") if cell.startswith('"')]
    if cells and all(re.fullmatch(r'"(?:[^"]|"")*"', cell) for cell in cells):
        return any(re.search(r'\w""|""\w', cell) for cell in cells)
    widths = [{len(row) for row in _parsed(text, quoting) if row} for quoting in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL)]
    return len(widths[0]) > 1 and len(widths[1]) == 1


def _parsed(text: str, quoting: int) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=quoting)
    except csv.Error:
        yield from ([], [""], ["", ""])  # of no width at all


def _refuse_unknown_header(records: list[Record], path: Path) -> None:
    """EdgepackError where the first line of a table names columns in words that nobody knows here, and was taken for a row."""
    if len(records) < _FEWEST_ROWS:
        return
    first, later = records[0].values, records[1:]
    values = {name: {record.values[name] for record in later} for name in first}
    repeats = [name for name in first if len(values[name]) <= len(later) / 2]
    are_names = all(cell and len(cell) <= _LONGEST_NAME and len(cell.split()) <= 3 for cell in first.values())
    if repeats and are_names and all(first[name] not in values[name] for name in first):
        names = list(first.values())
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise EdgepackError(f"{path.name}:1 names two columns {shown(twice)}", "give each column a name of its own")
        label = first[min(repeats, key=lambda name: len(values[name]))]
        others = [name for name in first if first[name] != label] or list(first)
        text = first[max(others, key=lambda name: sum(len(record.values[name]) for record in later))]
        raise EdgepackError(
            f"{path.name}:1 looks like a header, but edgepack knows none of its columns: {', '.join(map(shown, names))}",
            f"name them: --text-column {shlex.quote(text)} --label-column {shlex.quote(label)}; or, if it is a row, put a header before it",
        )


def _cells(rows: Any, path: Path) -> Iterator[list[str]]:
    """csv's own complaints, such as a cell of over 128 kB behind a quote that nothing closes, with the line."""
    try:
        yield from rows
    except csv.Error as error:
        raise EdgepackError(f"{path.name}:{rows.line_num} is not a row of a table: {error}", "correct the line, or give jsonl") from None


def _is_header(names: list[str], named_columns: frozenset[str]) -> bool:
    known = {name.lower() for name in names} & _KNOWN_COLUMNS or set(names) & named_columns
    return bool(known) and len(set(names)) == len(names)
