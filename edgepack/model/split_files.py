"""Which files of a folder hold which split, by their names; and what of the folder belongs to none."""

import re
from collections.abc import Iterable
from pathlib import Path

from edgepack.core.errors import EdgepackError

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "dev": "dev", "devel": "dev", "development": "dev", "valid": "dev", "validation": "dev", "val": "dev", "eval": "dev",
    "test": "test", "testing": "test",
}  # fmt: skip
MOST_SHARDS = 10_000
_SUFFIXES = (".jsonl", ".jsonlines", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".conll", ".txt", ".annotated")
_SAVED = ("state.json", "dataset_info.json", "dataset_dict.json")  # what `save_to_disk` of the datasets library writes beside the rows
_FIGURES = ("all_results.json", "eval_results.json", "predict_results.json", "train_results.json", "trainer_state.json")  # a trainer's
_LESS_SURE = "eval"  # a split where no other file is the dev split
_MOST_NAMES = 8  # of files that an error lists
_SHARD = re.compile(r"(.*?)-?(\d{5})-of-(\d{5})$")


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
    files = [file for file in _data_files(path) if file.name not in _FIGURES]
    named: dict[str, list[Path]] = {}
    for file in files:
        if split := _split_of(_unsharded(file)):
            named.setdefault(split, []).append(file)
    _prefer_dev(named, "dev" in by_split)
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
        names = ", ".join(file.name for file in files) or _nothing_to_read(path)
        inner = sorted(folder for folder in path.iterdir() if folder.is_dir() and _data_files(folder)) if not files else []
        if inner:
            raise EdgepackError(f"no train or test file in {path}, but its folder {inner[0].name!r} holds data files", f"give {inner[0]}")
        raise EdgepackError(
            f"no train or test file in {path}: it holds {names}", "name files by their split, such as train.csv, dev.csv and test.csv"
        )
    return by_split


def unread_files(path: Path, used: Iterable[Path]) -> list[str]:
    """Names of a folder's data files whose names say no split, so that nobody reads them."""
    return [file.name for file in _data_files(path) if file not in set(used)] if path.is_dir() else []


def _nothing_to_read(folder: Path) -> str:
    """Of a folder without a data file: what lies there instead."""
    others = sorted(file.name for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return f"no data file ({', '.join(sorted(_SUFFIXES))}), but {', '.join(others[:_MOST_NAMES])}" if others else "no data file"


def _data_files(folder: Path) -> list[Path]:
    files = (file for file in folder.iterdir() if file.is_file() and file.name not in _SAVED and not file.name.startswith("."))
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


def _prefer_dev(named: dict[str, list[Path]], has_dev: bool) -> None:
    """Leaves out files called `eval` where another file or folder is the dev split."""
    sure = [file for file in named.get("dev", ()) if _LESS_SURE not in _words(_unsharded(file))]
    if sure or has_dev:
        named["dev"] = sure
    if not named.get("dev"):
        named.pop("dev", None)


def _words(stem: str) -> list[str]:
    return re.split(r"[^a-z]+", stem.lower())


def _split_of(stem: str) -> str | None:
    """By whole words: `latest` is no test split."""
    return next((SPLIT_NAMES[word] for word in _words(stem) if word in SPLIT_NAMES), None)
