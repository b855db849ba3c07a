"""Tasks of benchmarks/defaults.py: few rows of real data, and a teacher that was fine-tuned on all of them."""

import csv
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from teachers import fine_tuned, trained_from_scratch

_SEED = 11
_DEV_ROWS, _TEST_ROWS = 200, 600  # at most: an honest interval in a short time

Rows = list[tuple[str, str]]  # text and label; of tagged texts a block of lines, and nothing


@dataclass(frozen=True)
class TaskOfData:
    """rows: of the train split that a student learns from. model: a folder in ../shared/models; None: MiniLM is fine-tuned on all rows."""

    read: Callable[[Path], dict[str, Rows]]
    rows: int
    model: str | None = None
    tagged: bool = False
    small: bool = False  # a teacher of 4 x 128, trained from scratch

    def prepared(self, shared: Path, work: Path) -> tuple[Path, Path]:
        """The folders of the teacher and of the student's data, written where they are not there yet."""
        splits = self.read(shared / "data")
        data = work / "data"
        if not data.exists():
            self._write(work / "partial", {name: self._drawn(name, rows) for name, rows in splits.items()})
            (work / "partial").rename(data)
        if self.model:
            return shared / "models" / self.model, data
        whole = work.parent / "teachers" / self.read.__name__.strip("_")
        if not (whole / "data").exists():
            self._write(whole / "data", splits)
        return (trained_from_scratch if self.small else fine_tuned)(whole / "data", whole), data

    def _drawn(self, split: str, rows: Rows) -> Rows:
        most = {"train": self.rows, "dev": _DEV_ROWS, "test": _TEST_ROWS}[split]
        return random.Random(_SEED).sample(rows, min(most, len(rows)))

    def _write(self, folder: Path, splits: dict[str, Rows]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for split, rows in splits.items():
            if self.tagged:
                (folder / f"{split}.conll").write_text("\n\n".join(text for text, _ in rows) + "\n", encoding="utf-8")
                continue
            with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *rows])


def _sst2(data: Path) -> dict[str, Rows]:
    """Two classes of feeling, English."""
    return {split: _table((data / "sst2" / split).with_suffix(".tsv").read_text(encoding="utf-8")) for split in ("train", "dev", "test")}


def _table(text: str) -> Rows:
    return [(row[0], row[1]) for line in text.splitlines() if len(row := line.split("\t")) == 2]


def _banking(data: Path, most: int) -> dict[str, Rows]:
    splits = {}
    for split in ("train", "test"):
        with (data / "banking77" / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            splits[split] = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    names = sorted({label for _, label in splits["train"]})[:most]
    kept = {split: [row for row in rows if row[1] in names] for split, rows in splits.items()}
    shuffled = random.Random(_SEED).sample(kept["train"], len(kept["train"]))
    return {"train": shuffled[_DEV_ROWS:], "dev": shuffled[:_DEV_ROWS], "test": kept["test"]}


def _banking20(data: Path) -> dict[str, Rows]:
    """The first 20 intents of a bank's customers, English."""
    return _banking(data, 20)


def _banking77(data: Path) -> dict[str, Rows]:
    return _banking(data, 77)


def _clinc(data: Path, most: int) -> dict[str, Rows]:
    whole = json.loads((data / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    names = sorted({label for _, label in whole["train"]})[:most]
    return {
        split: [(text, label) for text, label in whole[name] if label in names]
        for split, name in (("train", "train"), ("dev", "val"), ("test", "test"))
    }


def _clinc50(data: Path) -> dict[str, Rows]:
    """The first 50 intents of an assistant's users, English."""
    return _clinc(data, 50)


def _clinc150(data: Path) -> dict[str, Rows]:
    return _clinc(data, 150)


def _entities(data: Path, language: str) -> dict[str, Rows]:
    return {
        split: [(block, "") for block in _blocks((data / "masakhaner2" / language / f"{split}.txt").read_text(encoding="utf-8"))]
        for split in ("train", "dev", "test")
    }


def _blocks(text: str) -> list[str]:
    return [block.strip("\n") for block in text.replace("\r", "").split("\n\n") if block.strip()]


def _hausa(data: Path) -> dict[str, Rows]:
    return _entities(data, "hau")


def _swahili(data: Path) -> dict[str, Rows]:
    return _entities(data, "swa")


def _yoruba(data: Path) -> dict[str, Rows]:
    return _entities(data, "yor")


_SENTIMENT, _ENTITIES = "minilm-l6-sst2", "e5-masakhaner"
TASKS = {
    "sst2-300": TaskOfData(_sst2, 300, _SENTIMENT),
    "sst2-1000": TaskOfData(_sst2, 1000, _SENTIMENT),
    "sst2-5000": TaskOfData(_sst2, 5000, _SENTIMENT),
    "banking20-300": TaskOfData(_banking20, 300),
    "banking20-1000": TaskOfData(_banking20, 1000),
    "banking77-5000": TaskOfData(_banking77, 5000),
    "clinc50-650": TaskOfData(_clinc50, 650),
    "clinc50-300-small": TaskOfData(_clinc50, 300, small=True),
    "clinc50-650-small": TaskOfData(_clinc50, 650, small=True),
    "clinc50-2000-small": TaskOfData(_clinc50, 2000, small=True),
    "clinc150-5000": TaskOfData(_clinc150, 5000),
    "hausa-300": TaskOfData(_hausa, 300, _ENTITIES, tagged=True),
    "hausa-1000": TaskOfData(_hausa, 1000, _ENTITIES, tagged=True),
    "swahili-1000": TaskOfData(_swahili, 1000, _ENTITIES, tagged=True),
    "yoruba-5000": TaskOfData(_yoruba, 5000, _ENTITIES, tagged=True),
}
