"""The ways to ask a pack: edgepack.load, and the shipped modules of each platform where they run here. Answers come as plain JSON."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
from browsers import NODE_SHORT_RUN
from jvm import ONNXRUNTIME, answers_of, compile_into
from real_onnxruntime_java import NOT_IN_THE_OLD, for_linux
from situation import Answer, Calls

import edgepack
from edgepack.core.errors import EdgepackError
from edgepack.ship.shipping import ship

TESTS = Path(__file__).parent.parent
NAME = "answers"
MAX_TOKENS = 24
_ASK = TESTS / "javascript" / "ask.mjs"


def by_load(pack: Path, task: str, calls: Calls, place: Path, classes: Path) -> list[Answer]:
    with edgepack.load(pack, threads=1) as model:
        return _asked(model, task, calls)


def _asked(model: Callable, task: str, calls: Calls) -> list[Answer]:
    """Of vectors also how alike each is to the first."""
    answers = [model(*call, **_limit(task)) for call in calls]
    if task != "feature-extraction":
        return [canonical(answer) for answer in answers]
    return [canonical(answer) | {"similarity": model.similarity(answers[0], answer)} for answer in answers]


def _limit(task: str) -> dict[str, int]:
    return {"max_tokens": MAX_TOKENS} if task == "text-generation" else {}


def by_python(pack: Path, task: str, calls: Calls, place: Path, classes: Path) -> list[Answer]:
    return _by_python_files(pack, "python", task, calls, place)


def by_linux(pack: Path, task: str, calls: Calls, place: Path, classes: Path) -> list[Answer]:
    return _by_python_files(pack, "linux", task, calls, place)


def _by_python_files(pack: Path, platform: str, task: str, calls: Calls, place: Path) -> list[Answer]:
    """The shipped package itself, imported from where it was written, after its own self-test."""
    ship(pack, platform, place, name=NAME)
    module = _imported(place / NAME)
    tested = module.self_test()
    assert tested.ok and tested.ids_equal == tested.ids_asked == tested.texts - tested.from_ids > 0, tested
    with module.load(threads=1) as model:
        return _asked(model, task, calls)


def _imported(folder: Path) -> ModuleType:
    """Under a name of its own: several modules live in one test process."""
    unique = f"{NAME}_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(unique, folder / "__init__.py", submodule_search_locations=[str(folder)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    spec.loader.exec_module(module)
    return module


_OPS = {
    "text-classification": ("classify", ("text", "pair")),
    "token-classification": ("entities", ("text",)),
    "question-answering": ("answer", ("question", "context")),
    "feature-extraction": ("embed", ("text", "prompt")),
    "text-generation": ("generate", ("prompt",)),
}


def by_java(pack: Path, task: str, calls: Calls, place: Path, classes: Path) -> list[Answer]:
    """The Android module's Java on the JVM. A runtime in Python runs the file, as Android's libraries do not run here."""
    ship(pack, "android", place, package=f"com.example.{NAME}")
    assets = place / "src" / "main" / "assets" / NAME
    return _by_java_classes(classes, assets, [sys.executable, str(TESTS / "java_runtime.py"), str(assets)], task, calls)


def by_jvm(pack: Path, task: str, calls: Calls, place: Path, classes: Path) -> list[Answer]:
    """The JVM module's folder, in onnxruntime's own Java."""
    ship(pack, "jvm", place, package=f"com.example.{NAME}")
    path = f"{in_real_java(classes)}:{classes}:{for_linux()}"
    return _by_java_classes(path, place / "model", ["onnxruntime"], task, calls)


@cache
def in_real_java(classes: Path) -> Path:
    """The module's calls of onnxruntime against its own classes. 1.17 lacks one of them: its older form stands in its place."""
    place = classes.with_name(f"real-onnxruntime-{os.getpid()}")  # two test processes share `classes`
    place.mkdir(exist_ok=True)
    sources = []
    for source in ONNXRUNTIME:
        sources.append(place / source.name)
        sources[-1].write_text(source.read_text().replace(*NOT_IN_THE_OLD))
    return compile_into(place, "8", sources, classes, for_linux())


def _by_java_classes(classes: Path | str, folder: Path, runtime: list[str], task: str, calls: Calls) -> list[Answer]:
    op, names = _OPS[task]
    questions = [{"op": "self_test"}]
    for call in calls:
        is_list = isinstance(call[0], (list, tuple))
        in_lists = ("messages",) if task == "text-generation" else ("words",)
        more = {"max_tokens": MAX_TOKENS} if task == "text-generation" else {"compares": True}
        questions.append({"op": op, **dict(zip(in_lists if is_list else names, call, strict=False)), **more})
    tested, *answers = answers_of(classes, "ModelLines", [str(folder), *runtime], questions)
    assert tested.get("ok") and tested["ids_equal"] == tested["ids_asked"] == tested["texts"] - tested["from_ids"] > 0, tested
    for answer in answers:
        if answer.get("error") == "IllegalStateException":  # what the module does not do at all, it says by name
            raise EdgepackError(answer["message"], "ask on another platform")
    return [_in_code_points(_from_java(answer), call) for answer, call in zip(answers, calls, strict=True)]


def _from_java(answer: Answer) -> Answer:
    """The tests' Java writes rows where the other modules write records."""
    records = {"scores": ("name", "score"), "entities": ("kind", "text", "start", "end", "score")}
    return {
        key: [dict(zip(records[key], row, strict=True)) for row in value] if key in records and isinstance(value, list) else value
        for key, value in answer.items()
    }


def _in_code_points(answer: Answer, call: tuple) -> Answer:
    """Java and JavaScript count places in units of UTF-16, Python in characters."""
    if not {"start", "entities"} & set(answer):  # no places; a call may then be a list of messages
        return answer
    text = call[-1] if isinstance(call[-1], str) else " ".join(call[0])
    units = text.encode("utf-16-le", "surrogatepass")

    def converted(value: Answer) -> Answer:
        return {key: len(units[: 2 * held].decode("utf-16-le")) if key in ("start", "end") else held for key, held in value.items()}

    entities = {"entities": [converted(each) for each in answer["entities"]]} if "entities" in answer else {}
    return converted(answer) | entities


def by_web(pack: Path, task: str, calls: Calls, place: Path, classes: Path) -> list[Answer]:
    """The web module's own sources in Node, with the same tokenizer and runtime packages as in a page."""
    ship(pack, "web", place, name=NAME)
    (place / "node_modules").symlink_to(_node_modules(place))
    command = ["node", *NODE_SHORT_RUN, str(_ASK), str(place)]
    asked = [(call[0], MAX_TOKENS) for call in calls] if task == "text-generation" else calls
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    for answer in answers:
        if "unable" in answer:
            raise EdgepackError(answer["unable"], "ask on another platform")
    return [_in_code_points(_from_javascript(answer), call) for answer, call in zip(answers, calls, strict=True)]


def _from_javascript(answer: Answer) -> Answer:
    names = {"endedBy": "ended_by", "promptTokens": "prompt_tokens"}
    return {names.get(key, key): value for key, value in answer.items()}


def _node_modules(module: Path) -> Path:
    """The module's packages, installed once for all situations."""
    wanted = json.loads((module / "package.json").read_text(encoding="utf-8"))
    key = hashlib.sha256(json.dumps([wanted.get("dependencies"), wanted.get("devDependencies")]).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepack-tests" / key
    return _installed(folder, module)


@cache
def _installed(folder: Path, module: Path) -> Path:
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "done").is_file():
            shutil.copyfile(module / "package.json", folder / "package.json")
            command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=True)
            (folder / "done").touch()
    return folder / "node_modules"


PATHS: dict[str, Callable[[Path, str, Calls, Path, Path], list[Answer]]] = {
    "load": by_load,
    "python": by_python,
    "linux": by_linux,
    "android": by_java,
    "web": by_web,
    "jvm": by_jvm,
}


def missing(path: str) -> str | None:
    """What a way to ask needs and this machine lacks."""
    java = ("javac", "java")
    needs = {"android": java, "jvm": java, "web": ("node", "npm")}.get(path, ())
    absent = [command for command in needs if not shutil.which(command)]
    if absent:
        return f"{', '.join(absent)}: not installed"
    return "pip does not give a package with onnxruntime's Java" if path == "jvm" and for_linux() is None else None


def canonical(answer: object) -> Answer:
    """A module's answer as plain JSON."""
    return _plain(asdict(answer) if is_dataclass(answer) else answer)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def compare(expected: Answer, answer: Answer, tolerance: float, place: str) -> None:
    """Every key that the oracle gives must be there and equal: numbers within the tolerance, all else exactly."""
    assert "error" not in answer, f"{place}: {answer}"
    for key, value in expected.items():
        assert key in answer, f"{place}: no {key} in {answer}"
        _equal(value, answer[key], tolerance, f"{place}.{key}")


def _equal(expected: object, answer: object, tolerance: float, place: str) -> None:
    if isinstance(expected, dict):
        compare(expected, answer, tolerance, place)
    elif isinstance(expected, (list, tuple)):
        assert len(expected) == len(answer), f"{place}: {answer} in place of {expected}"
        for index, pair in enumerate(zip(expected, answer, strict=True)):
            _equal(*pair, tolerance, f"{place}[{index}]")
    elif isinstance(expected, float):
        assert abs(expected - answer) <= tolerance, f"{place}: {answer} in place of {expected}"
    else:
        assert expected == answer, f"{place}: {answer!r} in place of {expected!r}"
