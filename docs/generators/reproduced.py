"""What is reproduced: the oracle's table as a page. Each line is a test, so the page promises nothing that no test asks."""

import ast
import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from generators.tables import GENERATED, table

TESTS = Path(__file__).parent.parent.parent / "tests"
NEEDS = ("torch", "transformers", "pytest")  # to read the table: its situations make models on the spot
FORMATS = {"onnx": "ONNX", "tflite": "TFLite"}
PLATFORMS = {"load": "`edgepack.load`", "python": "Python", "linux": "Linux", "android": "Android", "web": "web"}
SUBJECTS = {
    "adapters": "LoRA adapters",
    "basic": "Families and tasks",
    "embeddings": "Folders of sentence-transformers",
    "generation": "Text generation",
    "labels": "Labels",
    "questions": "Questions",
    "rerankers": "CrossEncoders",
    "sparse": "SparseEncoders",
    "static": "Tables of vectors",
    "tags": "Tags",
    "strangers": "Models as strangers bring them",
    "tokenizers": "Tokenizers",
}
INTRO = """
# What is reproduced

A pack answers as the model's own library does: transformers' pipelines, a model's own `generate`, or sentence-transformers. This page
lists what a model's folder can say, and what becomes of it. Each line is a test in `tests/oracle/`. The test makes a small model with
such a folder, builds a pack in fp32, and asks the same raw texts of the library and of the pack. Labels, places and tokens must be
equal, and scores and vectors within 0.002, or within the limit that the line's test states.

The pack is asked in five ways: by `edgepack.load`, by the shipped Python and Linux modules, by the Android module's Java on a JVM, and
by the web module's sources in Node. **All five** means that the test wants the library's answer from each of them. **Refused** means
that edgepack says no by name, before work starts or when you ship; the words are part of its message. **Not asked** means that no test
asks it: it may work, and nothing is promised.

`make oracle` asks all lines; `make test` asks a fixed third of them in ONNX, and a sixth in TFLite.
"""


def page(present: str) -> str:
    """present: the page as it is, which stays where the libraries are missing that the table needs."""
    if any(find_spec(name) is None for name in NEEDS):
        return present
    sys.path[:0] = [str(TESTS), str(TESTS / "oracle")]
    parts, counts = [], [0, 0]
    for path in sorted((TESTS / "oracle").glob("rows_*.py")):
        situations = importlib.import_module(path.stem).SITUATIONS
        counts = [counts[0] + len(situations), counts[1] + sum(bool(each.refused) for each in situations)]
        subject = path.stem.removeprefix("rows_")
        parts += [f"## {SUBJECTS.get(subject, subject.replace('_', ' ').capitalize())}", _first_sentence(path)]
        rows = [(each.name, f"`{each.task}`", *(_outcome(each, format) for format in FORMATS)) for each in situations]
        parts.append(table(("situation", "task", *FORMATS.values()), rows))
    total = f"There are {counts[0]} situations; {counts[1]} of them are refused by name."
    return "\n\n".join([GENERATED, INTRO.strip(), total, *parts]) + "\n"


def _first_sentence(path: Path) -> str:
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].replace("\n", " ")
    return text if text.endswith(".") else f"{text}."


def _outcome(situation: Any, format: str) -> str:
    refused = situation.refused or situation.refused_by.get(format)
    if format not in situation.formats:
        return "not asked"
    if refused:
        return f"refused: {_words(refused)}"
    from test_oracle import refused_at

    refusals = {name: refused_at(situation, name, format) for name in PLATFORMS}
    saying_no = [f"{PLATFORMS[name]} (refused: {_words(pattern)})" for name, pattern in refusals.items() if pattern]
    return f"all but {' and '.join(saying_no)}" if saying_no else "all five"


def _words(pattern: str) -> str:
    """A pattern of a message as the words that it looks for."""
    plain = re.sub(r"\\(.)", r"\1", pattern).replace(".*", " ... ").strip()
    return f"`{' '.join(plain.split())}`"
