"""Parquet and arrow files into records, with the names that the datasets library stores for its labels."""

import json
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import DATA_BYTES, check_size, check_stand_in
from edgepack.tasks.common.rows import Record

MOST_ROWS = 50_000_000
_MOST_ROWS_A_BYTE, _ALWAYS_ROWS = 100, 1_000_000  # a parquet file of a few bytes can state any number of equal rows


def read_columns(path: Path) -> list[Record]:
    """A parquet or arrow file. Numbers that stand for names (ClassLabel of the datasets library) become those names."""
    import pyarrow.parquet

    with path.open("rb") as file:
        check_stand_in(file.read(200), path.name)
    try:
        check_size(path, DATA_BYTES)
        table = _parquet_table(path) if path.suffix.lower() == ".parquet" else _arrow_table(path)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        kind = path.suffix.lower().removeprefix(".")
        raise EdgepackError(f"{path.name} is not a readable {kind} file: {error}", "write it again, or give csv or jsonl") from None
    names = _class_names(table.schema.metadata or {})
    rows = table.to_pylist()
    for row in rows:
        row |= {column: _named(row[column], known) for column, known in names.items() if column in row}
    return [Record(row, f"{path.name}[{index}]") for index, row in enumerate(rows)]


def _parquet_table(path: Path) -> Any:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        _check_rows(file.metadata.num_rows, path)
        return file.read()


def _arrow_table(path: Path) -> Any:
    """As `save_to_disk` writes it, a stream; or the format with an index at its end."""
    import pyarrow.ipc

    with pyarrow.memory_map(str(path)) as source:
        try:
            reader = pyarrow.ipc.open_stream(source)
        except pyarrow.ArrowInvalid:
            reader = pyarrow.ipc.open_file(source)
        table = reader.read_all()
        _check_rows(table.num_rows, path)
        return table


def _check_rows(count: int, path: Path) -> None:
    most = min(MOST_ROWS, max(_ALWAYS_ROWS, _MOST_ROWS_A_BYTE * path.stat().st_size))
    if count > most:
        raise EdgepackError(f"{path.name} states {count:,} rows, the most for a file of its size is {most:,}", "split the file")


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Names by column, as the datasets library writes them into a file's own schema; of lists of labels too."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    classes = {}
    for column, feature in features.items() if isinstance(features, dict) else ():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else {}
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and isinstance(inner.get("names"), list):
            classes[column] = [str(name) for name in inner["names"]]
    return classes


def _named(value: Any, names: list[str]) -> Any:
    """-1 stands for no label."""
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
