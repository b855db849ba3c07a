"""Files into records (dicts by column name), each with the place it came from. Knows formats, nothing of tasks or models."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.core.reading import as_object, parse_json
from edgepack.core.showing import shown
from edgepack.model.arrow_files import read_columns
from edgepack.model.conll import read_conll
from edgepack.model.split_files import SPLIT_NAMES
from edgepack.model.tables import has_header, read_table
from edgepack.model.text_files import read_text
from edgepack.tasks.common.rows import Record

_SQUAD_FIX = "write paragraphs with a context and qas, each with a question and answers of text and answer_start"
_FASTTEXT = re.compile(r"((?:__label__\S+\s+)+)(.+)")


def read_records(path: Path, named_columns: frozenset[str] = frozenset(), conll: bool = False) -> dict[str, list[Record]]:
    """Records of one file by split; a file that names no splits itself is one split, `all`.

    named_columns: the user's own names; a first line that holds such a name is a header. conll: a plain text file, or a tsv file without
    a header, holds a word and its tag a line, else a text a line, behind its labels where each line begins with such (fastText).
    EdgepackError names the file and line of a record that cannot be read.
    """
    if path.suffix.lower() in (".parquet", ".arrow"):
        return {"all": read_columns(path)}
    text = read_text(path)
    match path.suffix.lower():
        case ".jsonl" | ".jsonlines" | ".ndjson":
            return {"all": [Record(row, place) for row, place in _json_lines(text, path)]}
        case ".json":
            return _read_json(text, path)
        case ".csv" | ".tsv" if not (conll and path.suffix.lower() == ".tsv" and not has_header(text, path, named_columns)):
            return {"all": list(read_table(text, path, named_columns))}
    if conll:
        return {"all": list(read_conll(text, path))}
    lines = [(number, line.strip("\r")) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    labelled = [_FASTTEXT.match(line) for _, line in lines]
    if lines and all(labelled):
        rows = [{"label": "|".join(match[1].replace("__label__", "").split()), "text": match[2]} for match in labelled if match]
    else:
        rows = [{"text": line} for _, line in lines]
    return {"all": [Record(row, f"{path.name}:{number}") for row, (number, _) in zip(rows, lines, strict=True)]}


def _json_lines(text: str, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    if re.match(r"\s*\[\s*[{\]]", text):
        raise EdgepackError(f"{path.name} is one JSON list of objects, not one JSON object a line", "give the file the ending .json")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        fix = "write one JSON object a line"
        yield as_object(parse_json(line, place, fix), place, fix), place


def _read_json(text: str, path: Path) -> dict[str, list[Record]]:
    """A list of objects, SQuAD's {data: [...]}, or one list a split: {train: [...], test: [...]}."""
    lines = [line for line in text.split("\n", 3)[:3] if line.strip()]
    if len(lines) > 1 and all(re.fullmatch(r"\s*\{.*\}\s*", line) for line in lines[:2]):
        raise EdgepackError(f"{path.name} holds one JSON object a line", "give the file the ending .jsonl")
    content = parse_json(text, path.name, "correct the file, or give jsonl or csv")
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        if any(isinstance(article, dict) and "paragraphs" in article for article in content["data"]):
            return {"all": list(_read_squad(content["data"], path))}
        content = content["data"]
    if isinstance(content, dict) and not set(content) & set(SPLIT_NAMES):
        content = _rows_of_columns(content)
    if isinstance(content, list):
        return {"all": [_json_record(row, index, path) for index, row in enumerate(content)]}
    stated = content.items() if isinstance(content, dict) else ()
    splits = {SPLIT_NAMES[name]: rows for name, rows in stated if name in SPLIT_NAMES and isinstance(rows, list)}
    if not splits:
        raise EdgepackError(f"{path.name} holds no rows that edgepack knows", "write a list of objects, one list a split, or one a column")
    if unread := [name for name, rows in content.items() if name not in SPLIT_NAMES and isinstance(rows, list)]:
        say(f"{path.name}: not read, as no split is called so: {', '.join(map(shown, unread))}")
    return {split: [_json_record(row, index, path) for index, row in enumerate(rows)] for split, rows in splits.items()}


def _rows_of_columns(content: dict[str, Any]) -> Any:
    """{column: values} as a list of objects, where all columns are as long; pandas writes values by their row's number. Else as it is."""
    columns = {name: list(held.values()) if isinstance(held, dict) else held for name, held in content.items()}
    lists = [held for held in columns.values() if isinstance(held, list)]
    numbered = {tuple(held) for held in content.values() if isinstance(held, dict)}
    if not lists or len(lists) < len(columns) or len({len(held) for held in lists}) > 1 or len(numbered) > 1:
        return content
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]


def _json_record(row: Any, index: int, path: Path) -> Record:
    place = f"{path.name}[{index}]"
    if isinstance(row, dict):
        return Record(row, place)
    if isinstance(row, list) and len(row) == 2:
        return Record({"text": row[0], "label": row[1]}, place)
    raise EdgepackError(f"{place} is not a JSON object", 'write objects such as {"text": ..., "label": ...}')


def _read_squad(articles: list[Any], path: Path) -> Iterator[Record]:
    for index, article in enumerate(articles):
        place = f"{path.name}[{index}]"
        try:
            for paragraph in article.get("paragraphs", []):
                for entry in paragraph.get("qas", []):
                    stated = [] if entry.get("is_impossible") else entry.get("answers", [])  # SQuAD 2
                    answers = [(_text(answer["text"]), _offset(answer["answer_start"])) for answer in stated]
                    values = {"question": _text(entry["question"]), "context": _text(paragraph["context"]), "answers": answers}
                    yield Record(values, f"{place} {entry.get('id', '')}".strip())
        except (KeyError, TypeError, AttributeError) as error:
            raise EdgepackError(f"{place} is not in SQuAD's form: {_what(error)}", _SQUAD_FIX) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{shown(value)} is not a text")
    return value


def _offset(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"answer_start {shown(value)} is not an integer")
    return value


def _what(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
