"""Files into records (dicts by column name), each with the place it came from. Knows formats, nothing of tasks or models."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import DATA_BYTES, as_object, check_size, parse_json, read_bytes
from edgepack.core.showing import shown
from edgepack.tasks.common.rows import Record

SPLIT_NAMES = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test"}
_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".conll", ".txt", ".annotated")
_SQUAD_FIX = "write paragraphs with a context and qas, each with a question and answers of text and answer_start"
MOST_ROWS = 50_000_000  # a parquet file of a few bytes can state any number of equal rows
_KNOWN_COLUMNS = {
    "text", "sentence", "sentence1", "sentence2", "premise", "hypothesis", "question", "question1", "question2", "utterance",
    "query", "content", "review", "title", "input", "text_pair", "label", "labels", "category", "intent", "class", "target",
    "sentiment", "context", "answers", "tokens", "words", "tags", "ner_tags",
}  # fmt: skip


def find_files(path: Path) -> dict[str, Path]:
    """Data files of a folder by split (`train`, `dev`, `test`), or one file as `all`."""
    if path.is_file():
        return {"all": path}
    files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() in _SUFFIXES)
    by_split: dict[str, Path] = {}
    for file in files:
        split = _split_of(file.stem)
        if split is None:
            continue
        if split in by_split:
            raise EdgepackError(
                f"two files for the {split} split in {path}: {by_split[split].name} and {file.name}", "keep one of them, or name one file"
            )
        by_split[split] = file
    if not by_split and len(files) == 1:
        return {"all": files[0]}
    if "train" not in by_split and "test" not in by_split:
        names = ", ".join(file.name for file in files) or "no data file"
        raise EdgepackError(
            f"no train or test file in {path}: it holds {names}", "name files by their split, such as train.csv, dev.csv and test.csv"
        )
    return by_split


def read_records(path: Path, named_columns: frozenset[str] = frozenset(), conll: bool = False) -> dict[str, list[Record]]:
    """Records of one file by split; a file that names no splits itself is one split, `all`.

    named_columns: the user's own names; a first line that holds such a name is a header. conll: a plain text file holds a word and
    its tag a line, else a text a line. EdgepackError names the file and line of a record that cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        return {"all": _read_parquet(path)}
    text = _read_text(path)
    match path.suffix.lower():
        case ".jsonl":
            return {"all": [Record(row, place) for row, place in _json_lines(text, path)]}
        case ".json":
            return _read_json(text, path)
        case ".csv" | ".tsv":
            return {"all": list(_read_table(text, path, named_columns))}
    if conll:
        return {"all": list(_read_conll(text, path))}
    lines = enumerate(text.split("\n"), start=1)
    return {"all": [Record({"text": line.strip("\r")}, f"{path.name}:{number}") for number, line in lines if line.strip()]}


def _split_of(stem: str) -> str | None:
    words = stem.lower().replace("-", ".").replace("_", ".").split(".")
    for word in words:
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    endings = [split for ending, split in SPLIT_NAMES.items() if stem.lower().endswith(ending)]
    return endings[0] if endings else None


def _read_text(path: Path) -> str:
    raw = read_bytes(path, DATA_BYTES, "split the file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise EdgepackError(
            f"{path.name}:{line} is not UTF-8: byte 0x{raw[error.start]:02x}",
            f"convert it first, for instance `iconv -f latin1 -t utf-8 {path.name}`",
        ) from None


def _json_lines(text: str, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        fix = "write one JSON object a line"
        yield as_object(parse_json(line, place, fix), place, fix), place


def _read_json(text: str, path: Path) -> dict[str, list[Record]]:
    """A list of objects, SQuAD's {data: [...]}, or one list a split: {train: [...], test: [...]}."""
    content = parse_json(text, path.name, "mend the file, or give jsonl or csv")
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        return {"all": list(_read_squad(content["data"], path))}
    if isinstance(content, list):
        return {"all": [_json_record(row, index, path) for index, row in enumerate(content)]}
    stated = content.items() if isinstance(content, dict) else ()
    splits = {SPLIT_NAMES[name]: rows for name, rows in stated if name in SPLIT_NAMES and isinstance(rows, list)}
    if not splits:
        raise EdgepackError(f"{path.name} holds no rows that edgepack knows", "write a list of objects, or one list a split")
    return {split: [_json_record(row, index, path) for index, row in enumerate(rows)] for split, rows in splits.items()}


def _json_record(row: Any, index: int, path: Path) -> Record:
    place = f"{path.name}[{index}]"
    if isinstance(row, dict):
        return Record(row, place)
    if isinstance(row, list) and len(row) == 2:
        return Record({"text": row[0], "label": row[1]}, place)
    raise EdgepackError(f"{place} is no JSON object", 'write objects such as {"text": ..., "label": ...}')


def _read_squad(articles: list[Any], path: Path) -> Iterator[Record]:
    for index, article in enumerate(articles):
        place = f"{path.name}[{index}]"
        try:
            for paragraph in article.get("paragraphs", []):
                for entry in paragraph.get("qas", []):
                    answers = [(_text(answer["text"]), _offset(answer["answer_start"])) for answer in entry.get("answers", [])]
                    values = {"question": _text(entry["question"]), "context": _text(paragraph["context"]), "answers": answers}
                    yield Record(values, f"{place} {entry.get('id', '')}".strip())
        except (KeyError, TypeError, AttributeError) as error:
            raise EdgepackError(f"{place} is not as SQuAD writes it: {_what(error)}", _SQUAD_FIX) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)} is no text")
    return value


def _offset(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"answer_start {shown(value)} is no integer")
    return value


def _what(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _read_table(text: str, path: Path, named_columns: frozenset[str]) -> Iterator[Record]:
    first = text.split("\n", 1)[0]
    tab = path.suffix.lower() == ".tsv" or ("\t" in first and "," not in first)
    delimiter = "\t" if tab else ";" if first.count(";") > first.count(",") else ","
    quoting = csv.QUOTE_NONE if tab else csv.QUOTE_MINIMAL
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    header: list[str] | None = None
    for row in _cells(rows, path):
        if not row:
            continue
        if header is None:
            names = [name.strip() for name in row]
            if _is_header(names, named_columns):
                header = names
                continue
            header = [f"column {index}" for index in range(1, len(row) + 1)]
        if len(row) != len(header):
            raise EdgepackError(
                f"{path.name}:{rows.line_num} has {len(row)} columns, the file {len(header)}", "quote a text that holds the delimiter"
            )
        yield Record(dict(zip(header, row, strict=True)), f"{path.name}:{rows.line_num}")


def _cells(rows: Any, path: Path) -> Iterator[list[str]]:
    """csv's own complaints, such as a cell of over 128 kB behind a quote that nothing closes, with the line."""
    try:
        yield from rows
    except csv.Error as error:
        raise EdgepackError(f"{path.name}:{rows.line_num} is no row of a table: {error}", "mend the line, or give jsonl") from None


def _is_header(names: list[str], named_columns: frozenset[str]) -> bool:
    known = {name.lower() for name in names} & _KNOWN_COLUMNS or set(names) & named_columns
    return bool(known) and len(set(names)) == len(names)


def _read_conll(text: str, path: Path) -> Iterator[Record]:
    """One word and its tag a line, an empty line between sentences (CoNLL 2003's layout; the tag is the last column).

    A comment in CoNLL-U's manner, `# language = swa`, holds for all sentences until the next one.
    """
    group: dict[str, str] = {}
    words: list[str] = []
    tags: list[str] = []
    start = 1
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        columns = [column for column in re.split(r"[ \t\r]+", line) if column]
        if not words and len(columns) == 4 and (columns[0], columns[2]) == ("#", "="):
            group = {columns[1]: columns[3]}
        elif columns and columns[0] != "-DOCSTART-":
            if len(columns) < 2:
                raise EdgepackError(f"{path.name}:{number} has no tag: {line!r}", "write `word tag` on each line")
            start = start if words else number
            words.append(columns[0])
            tags.append(columns[-1])
        elif words:
            yield Record({"words": words, "tags": tags} | group, f"{path.name}:{start}")
            words, tags = [], []


def _read_parquet(path: Path) -> list[Record]:
    import pyarrow.parquet

    try:
        check_size(path, DATA_BYTES)
        with pyarrow.parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > MOST_ROWS:
                raise EdgepackError(f"{path.name} states {file.metadata.num_rows:,} rows, the most is {MOST_ROWS:,}", "split the file")
            rows = file.read().to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise EdgepackError(f"{path.name} is not a readable parquet file: {error}", "write it again, or give csv or jsonl") from None
    return [Record(row, f"{path.name}[{index}]") for index, row in enumerate(rows)]
