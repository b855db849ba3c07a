"""Files into records (dicts by column name), each with the place it came from. Knows formats, nothing of tasks or models."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import DATA_BYTES, as_object, parse_json, read_bytes
from edgepack.core.showing import shown
from edgepack.model.arrow_files import read_columns
from edgepack.model.tables import read_table
from edgepack.tasks.common.rows import Record

SPLIT_NAMES = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test"}
_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".conll", ".txt", ".annotated")
_SAVED = ("state.json", "dataset_info.json", "dataset_dict.json")  # what `save_to_disk` of the datasets library writes beside the rows
_SHARD = re.compile(r"(.*?)-?(\d{5})-of-(\d{5})$")
_SQUAD_FIX = "write paragraphs with a context and qas, each with a question and answers of text and answer_start"
MOST_SHARDS = 10_000
_FASTTEXT = re.compile(r"((?:__label__\S+\s+)+)(.+)")


def find_files(path: Path) -> dict[str, tuple[Path, ...]]:
    """Data files of a folder by split (`train`, `dev`, `test`), the shards of one in their order; or one file as `all`.

    A folder that `save_to_disk` wrote has a folder a split, or is one itself.
    """
    if path.is_file():
        return {"all": (path,)}
    if (path / "state.json").is_file():
        return {"all": _whole(path, _data_files(path))}
    by_split: dict[str, tuple[Path, ...]] = {}
    for folder in sorted(entry for entry in path.iterdir() if entry.is_dir() and (entry / "state.json").is_file()):
        if split := _split_of(folder.name):
            by_split[split] = _whole(folder, _data_files(folder))
    files = _data_files(path)
    named: dict[str, list[Path]] = {}
    for file in files:
        if split := _split_of(_unsharded(file)):
            named.setdefault(split, []).append(file)
    for split, of_split in named.items():
        if split in by_split or len({_unsharded(file) + file.suffix for file in of_split}) > 1:
            names = [file.name for file in (*by_split.get(split, ()), *of_split)]
            raise EdgepackError(
                f"two files for the {split} split in {path}: {names[0]} and {names[1]}", "keep one of them, or name one file"
            )
        by_split[split] = _whole(path, of_split)
    if not by_split and files and len({_unsharded(file) for file in files}) == 1:
        return {"all": _whole(path, files)}
    if "train" not in by_split and "test" not in by_split:
        names = ", ".join(file.name for file in files) or "no data file"
        raise EdgepackError(
            f"no train or test file in {path}: it holds {names}", "name files by their split, such as train.csv, dev.csv and test.csv"
        )
    return by_split


def _data_files(folder: Path) -> list[Path]:
    files = (file for file in folder.iterdir() if file.is_file() and file.name not in _SAVED)
    return sorted(file for file in files if file.suffix.lower() in _SUFFIXES)


def _unsharded(file: Path) -> str:
    """The name without `-00000-of-00002`."""
    shard = _SHARD.match(file.stem)
    return shard[1] if shard else file.stem


def _whole(folder: Path, files: list[Path]) -> tuple[Path, ...]:
    """The shards of one split. EdgepackError: one is missing."""
    shards = [shard for file in files if (shard := _SHARD.match(file.stem))]
    count = int(shards[0][3]) if shards else 0
    missing = sorted(set(range(min(count, MOST_SHARDS))) - {int(shard[2]) for shard in shards})
    if missing:
        raise EdgepackError(
            f"{folder} lacks shard {missing[0]} of {count} of {files[0].name}", "copy all shards of the split, or give one file"
        )
    return tuple(files)


def read_records(path: Path, named_columns: frozenset[str] = frozenset(), conll: bool = False) -> dict[str, list[Record]]:
    """Records of one file by split; a file that names no splits itself is one split, `all`.

    named_columns: the user's own names; a first line that holds such a name is a header. conll: a plain text file holds a word and
    its tag a line, else a text a line, behind its labels where each line begins with such (fastText). EdgepackError names the file
    and line of a record that cannot be read.
    """
    if path.suffix.lower() in (".parquet", ".arrow"):
        return {"all": read_columns(path)}
    text = _read_text(path)
    match path.suffix.lower():
        case ".jsonl":
            return {"all": [Record(row, place) for row, place in _json_lines(text, path)]}
        case ".json":
            return _read_json(text, path)
        case ".csv" | ".tsv":
            return {"all": list(read_table(text, path, named_columns))}
    if conll:
        return {"all": list(_read_conll(text, path))}
    lines = [(number, line.strip("\r")) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    labelled = [_FASTTEXT.match(line) for _, line in lines]
    if lines and all(labelled):
        rows = [{"label": "|".join(match[1].replace("__label__", "").split()), "text": match[2]} for match in labelled if match]
    else:
        rows = [{"text": line} for _, line in lines]
    return {"all": [Record(row, f"{path.name}:{number}") for row, (number, _) in zip(rows, lines, strict=True)]}


def _split_of(stem: str) -> str | None:
    """By whole words: `latest` is no test split."""
    return next((SPLIT_NAMES[word] for word in re.split(r"[^a-z]+", stem.lower()) if word in SPLIT_NAMES), None)


_UNPACK = "unpack it first, and give the file that was in it"
_NO_TEXTS = {  # what files that hold no text begin with: what they are, and the way out
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV in UTF-8"),
    b"\xd0\xcf\x11\xe0": ("a spreadsheet of an old Excel", "save the sheet as CSV in UTF-8"),
    b"\x1f\x8b": ("compressed by gzip", _UNPACK),
    b"BZh": ("compressed by bzip2", _UNPACK),
    b"\xfd7zXZ": ("compressed by xz", _UNPACK),
    b"(\xb5/\xfd": ("compressed by zstd", _UNPACK),
    b"PAR1": ("a parquet file", "give it the ending .parquet"),
    b"ARROW1": ("an arrow file", "give it the ending .arrow"),
    b"SQLite format 3": ("a database", "write its rows as CSV or jsonl"),
}


def _read_text(path: Path) -> str:
    raw = read_bytes(path, DATA_BYTES, "split the file")
    for first, (what, fix) in _NO_TEXTS.items():
        if raw.startswith(first):
            raise EdgepackError(f"{path.name} is {what}", fix)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:200]:
        raise EdgepackError(f"{path.name} is UTF-16, not UTF-8", _convert(path, "UTF-16"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        encoding = "CP1252" if any(0x80 <= byte <= 0x9F for byte in raw) else "LATIN1"  # controls in Latin-1: nobody writes them
        raise EdgepackError(
            f"{path.name}:{line} is not UTF-8: byte 0x{raw[error.start]:02x}; the file looks like {encoding}", _convert(path, encoding)
        ) from None


def _convert(path: Path, encoding: str) -> str:
    name = shlex.quote(path.name)
    return f"convert it first: iconv -f {encoding} -t UTF-8 {name} > {shlex.quote('utf8-' + path.name)}"


def _json_lines(text: str, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        fix = "write one JSON object a line"
        yield as_object(parse_json(line, place, fix), place, fix), place


def _read_json(text: str, path: Path) -> dict[str, list[Record]]:
    """A list of objects, SQuAD's {data: [...]}, or one list a split: {train: [...], test: [...]}."""
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
        if not words and len(columns) >= 4 and (columns[0], columns[2]) == ("#", "="):
            group = {columns[1]: columns[3]} if len(columns) == 4 else group  # a longer one is the sentence itself, or a remark
        elif columns and columns[0] != "-DOCSTART-":
            if len(columns) < 2:
                raise EdgepackError(f"{path.name}:{number} has no tag: {line!r}", "write `word tag` on each line")
            start = start if words else number
            words.append(columns[0])
            tags.append(columns[-1])
        elif words:
            yield Record({"words": words, "tags": tags} | group, f"{path.name}:{start}")
            words, tags = [], []
