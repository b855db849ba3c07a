"""How simple the code is: rooms, imports, sizes, the way from a command to the work, and how far a name is spread.

    python benchmarks/house.py            # builds one tiny model; a minute or two, all of it deterministic

The ways are real ones: a tiny random BERT is built in int8 and measured, and the stack is read where a matrix is rounded and where the
runtime's process is started.
Functions and files of edgepack/ count, from the one that reads the command's flags on; comprehensions do not.
"""

import ast
import importlib
import io
import statistics
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from unittest.mock import patch

import grimp
import numpy as np

from edgepack.cli.app import app
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.precision import precision_names
from edgepack.plan.runtime import runtime_names
from edgepack.tasks import all_tasks

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "edgepack"
Way = list[tuple[str, str]]  # function and file


def main() -> None:
    print("| | here | goal |\n| --- | --- | --- |")
    to_rounding, to_process = ways()
    for name, figure, goal in rows(to_rounding, to_process):
        print(f"| {name} | {figure} | {goal} |")
    for way in (to_rounding, to_process):
        print("\n" + " > ".join(f"{function} ({Path(file).relative_to(PACKAGE)})" for function, file in way))


def rows(to_rounding: Way, to_process: Way) -> Iterator[tuple[str, str, str]]:
    yield "modules beside the rooms in `edgepack/`", str(len(list(PACKAGE.glob("*.py")))), "2"
    longest, circles, arrows = rooms()
    yield "longest chain of imports between rooms; circles", f"{longest}; {circles} ({arrows} arrows)", "at most 10; 0"
    yield "`edgepack build` to the line that rounds: functions in files", length_of(to_rounding), "8 in 5"
    yield "`edgepack measure` to the runtime's process: functions in files", length_of(to_process), "7 in 4"
    for name, spread, goal in spreads():
        most = max(spread, key=lambda each: len(spread[each]))
        others = f"{len(set().union(*spread.values()))}, for one name at most {len(spread[most])} ({most})"
        yield f"files of `edgepack/` that name a {name} outside its own", others, goal
    for folder in ("edgepack", "targets"):
        yield f"`{folder}/`: function lines median / 90 % / longest; biggest file", sizes(ROOT / folder), "8 / 20 / 50; 250"
    yield "README lines", str(len((ROOT / "README.md").read_text().splitlines())), "120"


def rooms() -> tuple[int, int, int]:
    """Rooms in the longest chain, circles and arrows. Every import counts, those inside functions and for types too."""
    graph = grimp.build_graph("edgepack", cache_dir=None)
    below: dict[str, set[str]] = {path.name: set() for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            above, under = (name.split(".")[1:2] for name in (module, imported))
            if above and under and above != under and above[0] in below and under[0] in below:
                below[above[0]].add(under[0])
    arrows = sum(map(len, below.values()))
    try:
        order = list(TopologicalSorter(below).static_order())
    except CycleError:
        return 0, 1, arrows
    floors: dict[str, int] = {}
    for room in order:
        floors[room] = 1 + max((floors[each] for each in below[room]), default=0)
    return max(floors.values()), 0, arrows


def ways() -> tuple[Way, Way]:
    """From `edgepack build` to numpy's rint of a weight, and from `edgepack measure` to the process of the runtime: the shortest seen."""
    importlib.import_module("ml_dtypes")  # first: it asks for numpy's own rint
    sys.path.insert(0, str(ROOT / "tests"))
    from small import make_data, make_model

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model").mkdir()
        make_model(folder / "model")
        data, pack, cache = make_data(folder / "data", {"train": 64, "dev": 32, "test": 32}), folder / "pack", folder / "cache"
        build = [
            "build",
            str(folder / "model"),
            "--data",
            str(data),
            "--profile",
            "raspberry-pi",
            "--precision",
            "int8",
            "--student",
            "same",
        ]
        build += ["--prune-heads", "0", "--epochs", "0", "--measure", "off", "--out", str(pack), "--cache", str(cache)]
        with watched(np, "rint", lambda *_: True) as to_rounding:
            run(build)
        with watched(subprocess, "Popen", lambda command, *_: any("run_" in str(word) for word in command)) as to_process:
            run(["measure", str(pack), "--quick", "--out", str(folder / "report")])
    timed = [way for way in to_process if any(Path(file).name == "measuring.py" for _, file in way)]  # not those that score texts
    return min(to_rounding, key=len), min(timed, key=len)


def length_of(way: Way) -> str:
    return f"{len(way)} in {len({file for _, file in way})}"


@contextmanager
def watched(module: object, name: str, wanted: Callable[..., bool]) -> Iterator[list[Way]]:
    """Where a function is called from, for every call that is `wanted`."""
    result: list[Way] = []
    real = getattr(module, name)

    class Watching:
        def __new__(cls, *arguments: object, **named: object) -> object:
            if wanted(*arguments):
                result.append(way_here())
            return real(*arguments, **named)

    with patch.object(module, name, Watching):
        yield result


def way_here() -> Way:
    frames = [(frame.name, frame.filename) for frame in traceback.extract_stack() if frame.filename.startswith(f"{PACKAGE}/")]
    ours = [frame for frame in frames if not frame[0].startswith("<")]
    start = next(index for index, (_, file) in enumerate(ours) if Path(file).name not in ("app.py", "__main__.py"))
    return ours[start:]


def run(arguments: list[str]) -> None:
    """A command in this process. What it prints is shown where it fails."""
    spoken = io.StringIO()
    with redirect_stdout(spoken), redirect_stderr(spoken):
        try:
            code = app(arguments, standalone_mode=False)
        except SystemExit as end:
            code = end.code
    if code not in (None, 0, 2):  # 2: over a budget
        raise SystemExit(f"edgepack {' '.join(arguments)} ended with {code}:\n{spoken.getvalue()}")


def spreads() -> Iterator[tuple[str, dict[str, set[Path]], str]]:
    """For each kind of thing: its names, and the files outside its own folder that hold one as a string."""
    transports = [path.stem for path in (PACKAGE / "measure/machines/transports").glob("[a-z]*.py")]
    kinds = {
        "task": ([task.name for task in all_tasks()], "tasks"),
        "family": (list(FAMILIES), "plan/architectures"),
        "precision": (list(precision_names()), "plan/precisions"),
        "transport": (transports, "measure/machines/transports"),
        "runtime": (runtime_names(), "plan/runtimes"),
    }
    for kind, (names, place) in kinds.items():
        spread: dict[str, set[Path]] = {name: set() for name in names}
        for path in PACKAGE.rglob("*.py"):
            if path.is_relative_to(PACKAGE / place):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in spread:
                    spread[node.value].add(path)
        yield kind, spread, "0"


def sizes(folder: Path) -> str:
    lengths, files = [], {}
    for path in folder.rglob("*.py"):
        text = path.read_text()
        files[path] = len(text.splitlines())
        functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        lengths += [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]
    biggest = max(files, key=lambda path: files[path])
    return (
        f"{statistics.median(lengths):.0f} / {statistics.quantiles(lengths, n=10)[8]:.0f} / {max(lengths)}; "
        f"{files[biggest]} ({biggest.relative_to(ROOT)}); over 50 lines: {sum(n > 50 for n in lengths)} functions, "
        f"over 250: {sum(n > 250 for n in files.values())} files"
    )


if __name__ == "__main__":
    main()
