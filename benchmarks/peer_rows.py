"""What is compared in peers.py: edgepack and its peers, the commands that build their files, and who runs those.

A row's folder has `embeddings` (the base model, which is timed) and `classifier` (the fine-tuned one, for a score), each
with a pack.json that a target reads.
"""

import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peer_environments import NotThere, python_of, why_it_ended
from peer_jobs import HERE, SCRIPTS, cost_file, run_job, run_timed, runner

from edgepack.pack.runnable import Runnable, Session

TASKS = {"embeddings": "feature-extraction", "classifier": "text-classification"}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
PLAIN = "plain fp32 export"
OPTIMUM = "optimum avx512_vnni"
OPENVINO = "NNCF + OpenVINO"
MODEL_FILES = {"onnxruntime": "model.onnx", "litert": "model.tflite", "openvino": "openvino_model.xml"}


@dataclass(frozen=True)
class Maker:
    """A peer's script and what follows MODEL, OUT and the task; TEXTS stands for the file of calibration texts."""

    environment: str
    script: str
    more: tuple[str, ...] = ()
    runtime: str = "onnxruntime"


PEERS = {
    OPTIMUM: Maker("optimum", "optimum_int8.py", ("avx512_vnni",)),
    "optimum avx2": Maker("optimum", "optimum_int8.py", ("avx2",)),
    "optimum avx512, 7 bit": Maker("optimum", "optimum_int8.py", ("avx512-7-bit",)),
    "Olive": Maker("olive", "olive_int8.py"),
    OPENVINO: Maker("openvino", "openvino_int8.py", ("TEXTS",), runtime="openvino"),
}
_WHOLE = ("--student", "same", "--prune-heads", "0", "--precision", "int8", "--measure", "off")
LITERT = "edgepack LiteRT"
EDGEPACK = {  # the first one is judged by the goals, all ONNX files by the goal of size, LiteRT by goals of its own
    "edgepack x86-server": ("--profile", "x86-server", *_WHOLE),
    "edgepack x86-edge-avx2, 7 bit": ("--profile", "x86-edge-avx2", *_WHOLE),
    "edgepack x86-server, embeddings in 4 bits": ("--profile", "x86-server", *_WHOLE, "--embedding-bits", "4"),
    LITERT: ("--profile", "phone", "--format", "tflite", *_WHOLE),
}


@dataclass(frozen=True)
class Sources:
    """models: folders by the kinds of TASKS. data: a folder of calibration texts with train, dev and test splits."""

    models: dict[str, Path]
    data: dict[str, Path]
    texts: Path
    work: Path


def build(name: str, kind: str, sources: Sources, again: bool) -> Path:
    """The row's folder for a kind, with cost.json (see timed.py) in it. NotThere: it could not be built, and why."""
    folder = sources.work / "rows" / "".join(c if c.isalnum() else "-" for c in name) / kind
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    if (folder / "pack.json").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"build {name}, {kind}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        cost = Path(scratch) / "cost.json"
        done = run_timed(_command(name, kind, sources, folder, Path(scratch)), cost)
        if done.returncode not in ((0, 2) if name in EDGEPACK else (0,)):  # 2: built, and over a budget
            raise NotThere(f"{name}: {why_it_ended(done)}")
        shutil.copyfile(cost, cost_file(folder))
    if not (folder / "pack.json").is_file():
        runtime = runtime_of(name)
        (folder / "pack.json").write_text(_facts(kind, MODEL_FILES[runtime], sources.models[kind]).model_dump_json(indent=1))
    return folder


def runtime_of(name: str) -> str:
    return PEERS[name].runtime if name in PEERS else "litert" if name == LITERT else "onnxruntime"


def file_mb(folder: Path, runtime: str) -> float:
    """Graph and weights, 10^6 bytes."""
    stem = MODEL_FILES[runtime].rpartition(".")[0]
    return sum(path.stat().st_size for path in folder.glob(f"{stem}.*")) / 1e6


def run(name: str, folder: Path, job: dict[str, Any], work: Path) -> dict[str, Any]:
    """One job of targets/protocol.py for a row's folder."""
    environment_name = PEERS[name].environment if runtime_of(name) == "openvino" else None
    return run_job(name, runner(runtime_of(name), environment_name, work), folder, job)


def _command(name: str, kind: str, sources: Sources, folder: Path, scratch: Path) -> list[str]:
    model, task = str(sources.models[kind]), TASKS[kind]
    if name in EDGEPACK:
        where = ["--out", str(folder), "--cache", str(scratch / "cache")]
        return [
            sys.executable,
            "-m",
            "edgepack",
            "build",
            model,
            "--task",
            task,
            "--data",
            str(sources.data[kind]),
            *EDGEPACK[name],
            *where,
        ]
    if name == PLAIN:
        return [sys.executable, str(HERE / "plain_export.py"), model, str(folder), task]
    maker = PEERS[name]
    python = python_of(maker.environment, sources.work / "environments")
    more = [str(sources.texts) if word == "TEXTS" else word for word in maker.more]
    return [str(python), str(SCRIPTS / maker.script), model, str(folder), task, *more]


def _facts(kind: str, model_file: str, model: Path) -> Runnable:
    """What a target must know of a peer's file: their base models answer with one vector a token."""
    return Runnable(
        task=TASKS[kind],
        model=model_file,
        inputs=INPUTS,
        outputs=("last_hidden_state",) if kind == "embeddings" else ("logits",),
        per_token=kind == "embeddings",
        pad_id=0,
        vocab=json.loads((model / "config.json").read_text())["vocab_size"],
        session=Session(graph_optimization_level="all"),
    )
