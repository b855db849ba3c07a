"""The user's data: rows by split, columns guessed and shown, labels checked against the model, before any model is loaded."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.core.reading import DATA_BYTES, is_there, read_bytes
from edgepack.core.showing import shown
from edgepack.model.label_names import as_label_number, label_fix, label_mapping, renamed
from edgepack.model.readers import read_records
from edgepack.model.split_files import SPLIT_NAMES, find_files, unread_files
from edgepack.plan.recipe import NO_COLUMNS, Columns
from edgepack.tasks import task_named
from edgepack.tasks.common.columns import guess_text, may_be_anything, misfit, text_row
from edgepack.tasks.common.rows import Record, Row
from edgepack.tasks.common.task import Task

T = TypeVar("T")
MakeRow = Callable[[str, dict[str, Any], str | None], Row]  # of a place, the values of the row's fields and its group

_ENDS_OF_NAMES = ("_text", "_name", "_names", "_str")  # of a column beside `label` that names its numbers
_MOST_NAMES = 8  # that a line about the data shows
_HELD_OUT = 0.1  # share that a missing dev or test split takes from the train split


@dataclass(frozen=True)
class Data:
    """Rows by split (`train`, `dev`, `test`); `columns` says what each field was read from, `sha256` covers every file."""

    name: str
    splits: dict[str, list[Row]]
    columns: dict[str, str] = field(default_factory=dict)
    sha256: str = ""
    notes: tuple[str, ...] = ()
    label_names: dict[str, str] = field(default_factory=dict)  # of labels that are numbers, where a column beside them names them

    @property
    def labels(self) -> list[str]:
        labels = {row.label for rows in self.splits.values() for row in rows if row.label is not None}
        labels |= {label for rows in self.splits.values() for row in rows for label in row.labels or ()}
        labels |= {tag for rows in self.splits.values() for row in rows for tag in row.tags}
        return sorted(labels)

    def summary(self) -> str:
        """What was read from where, in one line: what was guessed is seen before anything is trained on it."""
        rows = ", ".join(f"{len(rows)} {split}" for split, rows in self.splits.items())
        columns = ", ".join(f"{key} from {column!r}" for key, column in self.columns.items())
        return "; ".join([f"{rows} rows", columns, *self.notes])


def load_data(source: str, task: str | Task, columns: Columns = NO_COLUMNS, seed: int = 0) -> Data:
    """A file, a folder with one file a split, or a hub dataset id, as rows of a task (or of the task of that name).

    EdgepackError names the file and the line: missing, empty, not UTF-8, one class only, columns that cannot be guessed.
    """
    task, path = task_named(task) if isinstance(task, str) else task, Path(source)
    if is_there(path):
        by_split, digest = _read_files(path, columns, task.reads_conll)
    elif _is_hub_id(source):
        by_split, digest = _read_hub(source)
    else:
        raise EdgepackError(f"data not found: {source!r}", "give a file, a folder with train, dev and test files, or a hub dataset id")
    if not any(by_split.values()):
        raise EdgepackError(f"no rows in {source!r}", "give data with at least a few rows")
    first = next(record for records in by_split.values() for record in records)
    every = [record for records in by_split.values() for record in records]
    column_of = task.columns(first, every, columns.named())
    splits = {split: [_row(record, task.row, column_of) for record in records] for split, records in by_split.items()}
    mapping = label_mapping(columns.label_map, splits)
    splits = {split: renamed(rows, mapping) for split, rows in splits.items()}
    task.check_rows(source, splits)
    splits, notes = _complete_splits(splits, None if task.joins_rows else seed)
    stated = {} if mapping else _names_beside(every, column_of.get("label"))
    return Data(source, splits, column_of, digest, (*_unread(first, column_of), *notes, *_in_both(splits)), stated)


def _names_beside(records: list[Record], column: str | None) -> dict[str, str]:
    """What `label_text` or the like says beside a column of numbers; empty where it is not there, or names a number in two ways."""
    beside = next((f"{column}{end}" for end in _ENDS_OF_NAMES if f"{column}{end}" in records[0].values), None)
    if column is None or beside is None:
        return {}
    names: dict[str, str] = {}
    for record in records:
        label, name = str(record.values.get(column)).strip(), record.values.get(beside)
        if as_label_number(label) is None or not isinstance(name, str) or names.setdefault(label, name) != name:
            return {}
    return names if len(set(names.values())) == len(names) else {}


def _unread(first: Record, column_of: dict[str, str]) -> tuple[str, ...]:
    names = [name for name in first.values if name not in column_of.values()]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (f"not read: {', '.join(map(shown, names[:_MOST_NAMES]))}{more}",) if names else ()


def _in_both(splits: dict[str, list[Row]]) -> tuple[str, ...]:
    """A word about test rows that stand in the train split as well: their score says less than it seems to."""
    known = {_inputs(row) for row in splits.get("train", [])}
    count = sum(_inputs(row) in known for row in splits.get("test", []))
    return (f"{count} of the {len(splits['test'])} test rows have texts that stand in the train split too",) if count else ()


def _inputs(row: Row) -> tuple[Any, ...]:
    return row.text, row.text_pair, row.context, row.words


def load_unlabelled(source: str, task: Task, columns: Columns = NO_COLUMNS) -> list[Row]:
    """Texts of a file without labels, as rows of a task. EdgepackError: the task can learn nothing from such texts."""
    path = Path(source)
    if not is_there(path) or not path.is_file():
        raise EdgepackError(f"no file of unlabelled texts: {source!r}", "give a text, jsonl, csv, tsv or parquet file to --unlabelled")
    if task.unlabelled_row is None:
        raise EdgepackError(
            f"--unlabelled: {task.name} cannot learn from texts without labels",
            "put rows without labels or answers into the train split of --data",
        )
    named = frozenset(name for name in (columns.text, columns.text_pair) if name)
    records = [record for split in read_records(path, named).values() for record in split]
    if not records:
        raise EdgepackError(f"{path.name} is empty", "give a file with at least one text")
    names = list(records[0].values)
    if columns.text is not None and columns.text in names:
        column_of = {"text": columns.text}
    else:
        column_of = {"text": guess_text(records[0], records, names)}
    if columns.text_pair is not None and columns.text_pair in names:
        column_of["text_pair"] = columns.text_pair
    rows = [task.unlabelled_row(_row(record, text_row, column_of)) for record in records]
    return [row for row in rows if row is not None]


def in_model_names(data: Data, id2label: dict[int, str], model: str) -> Data:
    """The data with the model's own names for its labels, so that a report names classes as the model does where the data has numbers.

    EdgepackError: see `label_ids`. Two outputs of one name keep the data's labels, which tell them apart.
    """
    if not data.labels or len(set(id2label.values())) < len(id2label):
        return data
    mapping = {label: id2label[index] for label, index in label_ids(data, id2label, model).items()}
    return replace(data, splits={split: renamed(rows, mapping) for split, rows in data.splits.items()})


def mixed(data: Data) -> Data:
    """Train and dev rows in an order that is drawn: whoever takes the first ones takes a sample.

    Files are often sorted by label, language or source, and pruning, fitting and the judging of a training read a part of their rows.
    """
    return replace(data, splits={split: drawn(rows) if split in ("train", "dev") else rows for split, rows in data.splits.items()})


def drawn(items: list[T]) -> list[T]:
    """In an order that is always the same for so many."""
    return random.Random(0).sample(items, len(items))


def label_ids(data: Data, id2label: dict[int, str], model: str) -> dict[str, int]:
    """The model's id for each label of the data: by name. By number only where the data writes numbers, and never without a word."""
    by_name = {name: index for index, name in id2label.items()}
    labels = data.labels
    if all(label in by_name for label in labels):
        return {label: by_name[label] for label in labels}
    if labels and all(data.label_names.get(label) in by_name for label in labels):
        order = ", ".join(f"{label} is {shown(data.label_names[label])}" for label in labels[:8])
        say(f"the data's labels are numbers, and are read by the names beside them: {order}")
        return {label: by_name[data.label_names[label]] for label in labels}
    numbers = {label: as_label_number(label) for label in labels}
    if all(number in id2label for number in numbers.values()):
        by_number = {label: number for label, number in numbers.items() if number is not None}
        order = ", ".join(f"{label} is {shown(id2label[number])}" for label, number in list(by_number.items())[:8])
        say(f"the data's labels are numbers, so they are read in the order of the model's labels: {order}")
        return by_number
    missing = next(label for label in labels if label not in by_name)
    place = next(
        row.place for rows in data.splits.values() for row in rows if missing == row.label or missing in (*row.tags, *(row.labels or ()))
    )
    raise EdgepackError(f"{place}: label {shown(missing)} is not one of the model's ({model})", label_fix(labels, list(by_name), missing))


def _read_files(path: Path, columns: Columns, conll: bool) -> tuple[dict[str, list[Record]], str]:
    by_split: dict[str, list[Record]] = {}
    digest = hashlib.sha256()
    named = frozenset(name for name in columns.named().values() if name)
    of_split = find_files(path)
    if unread := unread_files(path, [file for files in of_split.values() for file in files]):
        say(f"{path.name}: not read, as their names say no split (train, dev or test): {', '.join(unread[:_MOST_NAMES])}")
    for split, files in sorted(of_split.items()):
        for file in files:
            digest.update(f"{split}:".encode() + read_bytes(file, DATA_BYTES, "split the file"))
            records = read_records(file, named, conll)
            for name, rows in ({split: records["all"]} if set(records) == {"all"} else records).items():
                by_split.setdefault(name, []).extend(rows)
            if not any(records.values()):
                raise EdgepackError(f"{file.name} is empty", "give a file with at least one row")
    return by_split, digest.hexdigest()


def _is_hub_id(source: str) -> bool:
    return source.count("/") <= 1 and not source.startswith((".", "/", "~")) and not Path(source).suffix


def _read_hub(source: str) -> tuple[dict[str, list[Record]], str]:
    import datasets

    try:
        loaded = datasets.load_dataset(source)
    except Exception as error:  # datasets raises anything from OSError to its own classes; each means: not to be had
        raise EdgepackError(
            f"there is no file, folder or hub dataset {source!r} ({error})", "check the path or the id, and the network where it is an id"
        ) from None
    by_split: dict[str, list[Record]] = {}
    digest = hashlib.sha256()
    for name, rows in loaded.items():
        split = SPLIT_NAMES.get(str(name))
        if split is None:
            say(f"{source}: not read, as no split of edgepack is called so: {shown(str(name))}")
            continue
        names = {key: feature.names for key, feature in rows.features.items() if isinstance(feature, datasets.ClassLabel)}
        digest.update(f"{split}:{rows._fingerprint}".encode())
        for index, values in enumerate(rows):
            values |= {key: known[values[key]] for key, known in names.items() if values[key] >= 0}
            by_split.setdefault(split, []).append(Record(values, f"{source} {name}[{index}]"))
    return by_split, digest.hexdigest()


def _row(record: Record, row: MakeRow, columns: dict[str, str]) -> Row:
    value = {key: record.values.get(name) for key, name in columns.items()}
    for key, held in value.items():
        if may_be_anything(key):
            continue
        if columns[key] not in record.values:
            names = ", ".join(record.values)
            raise EdgepackError(
                f"{record.place} has no column {columns[key]!r} for {key}: its columns are {names}", "give all rows the same columns"
            )
        if key != "label" and isinstance(held, (int, float)):
            problem = f"{record.place}: {key} in column {columns[key]!r} is a number: {shown(held)}"
            raise EdgepackError(problem, "write it as a text, or name another column")
        if held is None:
            raise EdgepackError(f"{record.place} has no {key} in column {columns[key]!r}", "fill it in, or drop the row")
        if wrong := misfit(key, held):
            problem = f"{record.place}: {key} in column {columns[key]!r} is {wrong}: {shown(held)}"
            raise EdgepackError(problem, "correct it, or name another column")
    group = None if value.get("group") in (None, "") else str(value["group"])
    return row(record.place, value, group)


def _complete_splits(splits: dict[str, list[Row]], seed: int | None) -> tuple[dict[str, list[Row]], tuple[str, ...]]:
    """Missing dev and test splits are taken from the train split, shuffled once by the seed; running text is not shuffled."""
    if "train" not in splits and "all" not in splits:
        return splits, ("there is no train split, so nothing can be trained on this data",)
    pool = list(splits.get("train", splits.get("all", [])))
    complete = {name: rows for name, rows in splits.items() if name in ("dev", "test")}
    missing = [name for name in ("test", "dev") if name not in complete]
    if missing and seed is not None:
        random.Random(seed).shuffle(pool)
    notes = []
    count = max(1, round(len(pool) * _HELD_OUT))
    for name in missing:
        complete[name], pool = pool[:count], pool[count:]
        notes.append(f"no {name} split: {count} rows held out of the others")
    if not pool and missing:
        hint = " (in CoNLL an empty line ends a sentence)" if any(row.words for row in complete[missing[0]]) else ""
        notes.append(f"no row is left to train on{hint}")
    return {"train": pool, **complete}, tuple(notes)
