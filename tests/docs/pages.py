"""What tests of the pages share: the pages, their fenced blocks, and a copy of the tree in which a page's commands run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import warm_python

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "generators" not in path.parts)
_FENCE = re.compile(
    r"^(?:(?P<how>File|At the end of|In) `(?P<file>[^`]+)`[^\n]*:\n\n|(?P<becomes>becomes):\n\n)?```(?P<info>[^\n]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_COPIED = ("edgepack", "targets", "device_profiles", "tests", "examples", "docs", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


@dataclass(frozen=True)
class Block:
    """A fenced block. file: the path that the page names before it.

    how: `File` to be written whole, `At the end of` one to be added, `In` one that has these lines, which the next block `becomes`.
    """

    info: str
    body: str
    file: str | None
    how: str | None

    @property
    def is_run(self) -> bool:
        return self.info == "sh"

    def commands(self) -> list[str]:
        joined = self.body.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def blocks_of(page: Path) -> list[Block]:
    return [
        Block(m["info"].strip(), m["body"], m["file"], m["how"] or m["becomes"]) for m in _FENCE.finditer(page.read_text(encoding="utf-8"))
    ]


def copied_tree(folder: Path) -> Path:
    """The files of this project, without what was built."""
    tree = folder / "edgepack"
    tree.mkdir()
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules", ".*"))
        elif source.exists():
            shutil.copy(source, tree / name)
    return tree


def follow(page: Path, tree: Path) -> None:
    """Writes each file that the page shows and runs each `sh` block, in the page's order, as a reader would."""
    binaries = tree.parent / "bin"
    binaries.mkdir()
    python = shlex.join([sys.executable, "-IS", warm_python.__file__, "--ask", warm_python.warm_socket()])
    fresh = shlex.quote(sys.executable)  # for a target's, which is started with options of its own
    commands = {"edgepack": f"{python} -m edgepack", "pytest": f"{python} -m pytest -q -p no:cacheprovider"}
    commands |= {"python": python, "python3": fresh}
    for name, command in commands.items():
        script = binaries / name
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(tree),
        "EDGEPACK_CACHE": str(tree.parent / "cache"),
        "COLUMNS": "160",
    }
    old = None
    for block in blocks_of(page):
        if block.how == "In":
            old = block
        elif block.how == "becomes":
            path = tree / old.file
            text = path.read_text(encoding="utf-8")
            assert text.count(old.body) == 1, f"{page.name}: {old.file} has not these lines, or has them twice:\n{old.body}"
            path.write_text(text.replace(old.body, block.body), encoding="utf-8")
        elif block.file:
            path = tree / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if block.how == "At the end of" else "w", encoding="utf-8") as file:
                file.write(block.body)
        elif block.is_run:
            command = "set -e\n" + block.body
            done = subprocess.run(
                ["bash", "-c", command], cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=550
            )
            assert done.returncode == 0, f"{page.name}:\n{block.body}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
