"""The readers that strangers' bytes reach, each as `subject(place, draw)`: makes an input by chance, and gives what reads it."""

import json
import random
import struct
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_folders import SUBJECTS as OF_FOLDERS
from fuzzing import changed, damaged, write

from edgepack.core.reading import answer_of
from edgepack.core.resources import shipped
from edgepack.measure.machines.job_answers import checked
from edgepack.model.data import load_data
from edgepack.model.safetensors_file import check_safetensors
from edgepack.model.source import find_model
from edgepack.model.tiny_model import tiny_config
from edgepack.pack.manifest import MANIFEST_FILE, read_manifest
from edgepack.pack.runnable import RUNNABLE_FILE, read_runnable
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Columns, Recipe
from edgepack.plan.recipe_file import read_recipe

Read = Callable[[], Any]
TASKS = {"csv": "text-classification", "tsv": "text-classification", "jsonl": "text-classification", "conll": "token-classification"}
ROWS = {
    "csv": 'text,label\nturn it on,on\n"it, off",off\nplay,on\nstop,off\n',
    "tsv": "text\tlabel\nturn it on\ton\nit off\toff\nplay\ton\nstop\toff\n",
    "jsonl": '{"text": "turn it on", "label": "on"}\n{"text": "off", "label": "off"}\n{"text": "play", "label": 1}\n',
    "conll": "-DOCSTART- O\n\nJohn B-PER\nlives O\nin O\nRome B-LOC\n\n# language = swa\nAda B-PER\nsleeps O\n",
}
SQUAD = {"data": [{"paragraphs": [{"context": "Ada lives in Rome.", "qas": [
    {"id": "1", "question": "Where?", "answers": [{"text": "Rome", "answer_start": 13}]}, {"id": "2", "question": "Who?", "answers": []},
]}]}]}  # fmt: skip
RUNNABLE = {"task": "text-classification", "model": "model.onnx", "inputs": ["input_ids"], "outputs": ["logits"], "per_token": False,
            "pad_id": 0, "vocab": 100, "labels": {"0": "no", "1": "yes"}}  # fmt: skip
MACHINE = {"arch": "aarch64", "cores": 4, "cpu": "Cortex-A72", "os": "Linux", "isa": ["asimd"], "load_average": 0.1}
ABOUT = {"runtime": {"name": "onnxruntime", "version": "1.31", "numpy": "2", "import_ms": 9.0}, "machine": MACHINE}
RESIDENT = {"peak": 10.0, "resident": 9.0, "anonymous": 5.0, "file": None}
ANSWERS = {
    "load": {"session_ms": 9.0, "first_inference_ms": 3.0, "read_bytes": 10, "weight_cache_bytes": 0},
    "latency": {"samples_ms": [1.0, 2.0], "warm_up_runs": 10, "machine_before": MACHINE, "contention": {"others": 0.0, "stolen": None}},
    "memory": {"peak_is_exact": True, "empty_mb": dict(RESIDENT), "loaded_mb": dict(RESIDENT), "running_mb": dict(RESIDENT)},
    "answer": {"outputs": [[0.1, 0.9], [0.5, 0.5]], "exact_int8": False},
    "storage": {"bytes": 100, "read_ms": 1.0, "read_bytes": None, "map_ms": 0.1},
}  # fmt: skip


@cache
def _configs() -> tuple[dict[str, Any], ...]:
    named = ((name, "text-generation" if FAMILIES[name].causal else "text-classification") for name in FAMILIES)
    return tuple(tiny_config(FAMILIES[name]).to_dict() | {"model_type": name, "architectures": [_HEADS[task]]} for name, task in named)


_HEADS = {"text-generation": "XForCausalLM", "text-classification": "XForSequenceClassification"}


@cache
def _profiles() -> tuple[str, ...]:
    return tuple(path.read_text() for path in sorted(shipped("device_profiles").glob("*.toml")))


def config(place: Path, draw: random.Random) -> Read:
    """A model's config.json, up to its plan."""
    content = changed(draw.choice(_configs()), draw)
    text = json.dumps(content)
    write(place / "config.json", damaged(text.encode(), draw) if draw.random() < 0.2 else text)

    def read() -> Any:
        source = find_model(str(place), with_weights=False)
        return make_plan(load_profile("raspberry-pi"), Recipe(model="m", data="d"), source.shape(source.task()))

    return read


def weights(place: Path, draw: random.Random) -> Read:
    """The header of a safetensors file, and the list of several."""
    header = changed({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"format": "pt"}}, draw)
    raw = json.dumps(header).encode()
    content = struct.pack("<Q", len(raw)) + raw + bytes(8)
    write(place / "config.json", json.dumps(_configs()[0]))
    write(place / "model.safetensors", damaged(content, draw) if draw.random() < 0.5 else content)
    if draw.random() < 0.5:
        write(place / "model.safetensors.index.json", json.dumps(changed({"weight_map": {"a": "model.safetensors"}}, draw)))
    return lambda: find_model(str(place))


def profile(place: Path, draw: random.Random) -> Read:
    text = draw.choice(_profiles())
    content = damaged(text.encode(), draw) if draw.random() < 0.5 else toml(changed(tomllib.loads(text), draw))
    path = write(place / "board.toml", content)
    return lambda: load_profile(str(path))


def recipe(place: Path, draw: random.Random) -> Read:
    stated = {"model": "m", "data": "d", "student": "3M", "prune_heads": 0.25, "training": {"epochs": 3}, "budget": {"file_mb": 25.0}}
    stated |= {"columns": {"text": "a"}, "seed": 1, "length": 64}
    path = write(place / "recipe.toml", toml(changed(stated, draw)))
    return lambda: read_recipe(path, {})


def rows(place: Path, draw: random.Random) -> Read:
    """A data file of any kind."""
    kind = draw.choice([*ROWS, "json"])
    if kind == "json":
        task, content = "question-answering", json.dumps(changed(SQUAD, draw)).encode()
    else:
        task, content = TASKS[kind], ROWS[kind].encode() * draw.randint(1, 4)
    content = damaged(content, draw) if kind != "json" or draw.random() < 0.3 else content
    path = write(place / f"data.{kind}", content)
    return lambda: load_data(str(path), task)


def label_map(place: Path, draw: random.Random) -> Read:
    """What --label-map says, as pairs or as JSON, for data whose labels are on and off."""
    path = write(place / "data.csv", ROWS["csv"])
    stated = draw.choice(("on=ON,off=OFF", '{"on": "ON", "off": "OFF"}'))
    content = (
        json.dumps(changed(json.loads(stated), draw)) if stated.startswith("{") and draw.random() < 0.5 else damaged(stated.encode(), draw)
    )
    text = content if isinstance(content, str) else content.decode("utf-8", "surrogateescape")  # as a command line is read
    return lambda: load_data(str(path), TASKS["csv"], Columns.read({"label_map": text}, "--label-map"))


def parquet(place: Path, draw: random.Random) -> Read:
    import pyarrow
    import pyarrow.parquet

    path = place / "data.parquet"
    place.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b", "c"], "label": ["x", "y", "x"]}), path)
    write(path, damaged(path.read_bytes(), draw))
    return lambda: load_data(str(path), "text-classification")


def runnable(place: Path, draw: random.Random) -> Read:
    text = json.dumps(changed(RUNNABLE, draw)).encode()
    write(place / RUNNABLE_FILE, damaged(text, draw) if draw.random() < 0.3 else text)
    return lambda: read_runnable(place)


def manifest(place: Path, draw: random.Random) -> Read:
    """A pack.json that says it is of schema 1, which had no hash of its own: every value reaches the record's reader."""
    stated = RUNNABLE | {"schema": 1, "edgepack": "0.1.0", "precision": "int8", "files": [], "versions": {"onnx": "1.0"}, "ladder": []}
    text = json.dumps(changed(stated, draw)).encode()
    write(place / MANIFEST_FILE, damaged(text, draw) if draw.random() < 0.3 else text)
    return lambda: read_manifest(place)


def answer(place: Path, draw: random.Random) -> Read:
    """What a target answers, up to the figures that are made of it."""
    kind = draw.choice(list(ANSWERS))
    text = json.dumps(changed(ANSWERS[kind] | ABOUT, draw)).encode()
    text = damaged(text, draw) if draw.random() < 0.2 else text
    return lambda: checked(answer_of(text, "of a board"), {"kind": kind, "rows": [1, 2]}, "of a board")


SUBJECTS = {
    read.__name__: read for read in (config, weights, profile, recipe, rows, label_map, parquet, runnable, manifest, answer)
} | OF_FOLDERS


def _of_bytes() -> tuple[tuple[bytes, str, Callable[[Path], Any]], ...]:
    """For a fuzzer that makes bytes: a good input, the file that it is written to, and what reads it."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()

    def plan(path: Path) -> Any:
        source = find_model(str(path.parent), with_weights=False)
        return make_plan(load_profile("raspberry-pi"), Recipe(model="m", data="d"), source.shape(source.task()))

    return (
        (json.dumps(_configs()[0]).encode(), "config.json", plan),
        (struct.pack("<Q", len(header)) + header + bytes(8), "model.safetensors", check_safetensors),
        (_profiles()[0].encode(), "board.toml", lambda path: load_profile(str(path))),
        (b'student = "3M"\nseed = 1\n[budget]\nfile_mb = 25.0\n', "recipe.toml", lambda path: read_recipe(path, {})),
        *((text.encode(), f"data.{kind}", lambda path, kind=kind: load_data(str(path), TASKS[kind])) for kind, text in ROWS.items()),
        (json.dumps(SQUAD).encode(), "data.json", lambda path: load_data(str(path), "question-answering")),
        (json.dumps(RUNNABLE).encode(), RUNNABLE_FILE, lambda path: read_runnable(path.parent)),
    )


def seeds_of_bytes() -> list[bytes]:
    """A good input for each reader, behind the byte that chooses it."""
    return [bytes([number]) + content for number, (content, _, _) in enumerate(_of_bytes())]


def reader_of_bytes(place: Path, content: bytes) -> Read | None:
    """The reader that the first byte chooses, on a file of the rest."""
    if not content:
        return None
    subjects = _of_bytes()
    _, name, read = subjects[content[0] % len(subjects)]
    path = write(place / name, content[1:])
    return lambda: read(path)


def toml(value: dict[str, Any]) -> str:
    """Inline TOML of plain values; what TOML has no word for is left out."""
    return "\n".join(f"{_key(key)} = {_toml_value(part)}" for key, part in value.items() if part is not None)


def _toml_value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{_key(key)} = {_toml_value(part)}" for key, part in value.items() if part is not None) + "}"
        case list():
            return "[" + ", ".join(_toml_value(part) for part in value if part is not None) + "]"
        case float():
            return str(value)
        case int():
            return str(value)
        case _:
            return json.dumps(value)


def _key(key: str) -> str:
    return json.dumps(key)
