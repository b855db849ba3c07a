"""What a pack answers is what the model's own library answers to the same raw text, on every platform; or the build says no by name.

A new family or task adds a row to one of the rows_*.py files, and nothing else.
"""

import importlib
import os
import sys
import zlib
from pathlib import Path

import pytest
from paths import PATHS, compare, missing
from shared_exports import share_exports
from situation import Situation

from edgepack.core.errors import EdgepackError
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.platforms import platform_names
from edgepack.tasks import task_names

sys.path.append(str(Path(__file__).parent.parent.parent / "docs"))
from generators.platforms import cell

PROFILES = {"onnx": "raspberry-pi", "tflite": "phone"}
SITUATIONS: list[Situation] = [
    each for path in sorted(Path(__file__).parent.glob("rows_*.py")) for each in importlib.import_module(path.stem).SITUATIONS
]
SHARE = {"onnx": 3, "tflite": 6}  # `make test` asks every third row in ONNX and every sixth in TFLite; `make oracle` asks all of them
WHOLE = os.environ.get("EDGEPACK_ORACLE") == "whole"
IN_REAL_JAVA = {  # `make test` asks these in onnxruntime's own Java; `make oracle` asks all rows in ONNX
    "bert: text-classification, weights coded to stream",
    "distilbert: feature-extraction, weights coded to expand",
    "llama: text-generation, weights coded to stream",
    "bert: token-classification",
    "bert: question-answering",
    "SparseEncoder: SPLADE",
    "static embedding: the table alone",
}


def is_asked(situation: Situation, format: str) -> bool:
    """Always the same rows: by a checksum of the name, so that a new row moves no other."""
    return WHOLE or (situation.name in IN_REAL_JAVA and format == "onnx") or zlib.crc32(situation.name.encode()) % SHARE[format] == 0


TABLE = [(each, format) for each in SITUATIONS for format in each.formats if is_asked(each, format)]


def test_names_of_situations_are_unique():
    names = [each.name for each in SITUATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("platform", platform_names())
def test_every_cell_of_the_docs_table_of_platforms_has_a_row_that_is_asked_there(platform):
    """Debian's package holds the Linux module: tests/ship/test_deb_and_docker.py."""
    path = {"deb": "linux"}.get(platform, platform)
    for task in task_names():
        promised = cell(importlib.import_module(f"edgepack.ship.platforms.{platform}"), task)
        for format, name in (("onnx", "ONNX"), ("tflite", "TFLite")):
            rows = [each for each, kind in TABLE if (each.task, kind) == (task, format) and answers_at(each, path, format)]
            assert bool(rows) is (name in promised), (task, format, promised)


def answers_at(situation: Situation, path: str, format: str) -> bool:
    """Whether `make test` compares answers of this row there."""
    if situation.refused or situation.refused_by.get(format) or refused_at(situation, path, format):
        return False
    return path != "jvm" or WHOLE or situation.name in IN_REAL_JAVA


@pytest.fixture
def exports_shared(monkeypatch, tmp_path_factory):
    share_exports(monkeypatch, tmp_path_factory)


@pytest.mark.slow
@pytest.mark.parametrize(("situation", "format"), TABLE, ids=[f"{each.name}, {format}" for each, format in TABLE])
def test_a_pack_answers_as_its_models_own_library(situation, format, tmp_path, cache, request, exports_shared):
    """A build ends with the pack's own verification, so none follows it here."""
    folder, pack = tmp_path / "model", tmp_path / "pack"
    folder.mkdir()
    situation.make(folder)
    settings = {"model": str(folder), "student": "same", "prune_heads": 0.0, "precision": "fp32", "format": format, "task": situation.task}
    stated = {key: value.format(beside=tmp_path) if isinstance(value, str) else value for key, value in situation.recipe.items()}
    recipe = Recipe.read(settings | stated, "the row")
    refused = situation.refused or situation.refused_by.get(format)
    if refused:
        with pytest.raises(EdgepackError, match=refused):
            build(recipe, load_profile(PROFILES[format]), pack, cache, effort=None)
        assert not pack.exists()
        return
    expected = situation.oracle(folder, situation.calls)
    build(recipe, load_profile(PROFILES[format]), pack, cache, effort=None)
    for name, ask in PATHS.items():
        if (name == "jvm" and not (WHOLE or situation.name in IN_REAL_JAVA)) or missing(name):
            continue
        classes = request.getfixturevalue("classes") if name in ("android", "jvm") else tmp_path
        no = refused_at(situation, name, format)
        if no:
            with pytest.raises(EdgepackError, match=no):
                ask(pack, situation.task, situation.calls, tmp_path / name, classes)
            continue
        answers = ask(pack, situation.task, situation.calls, tmp_path / name, classes)
        for call, wanted, answer in zip(situation.calls, expected, answers, strict=True):
            compare(wanted, answer, situation.tolerance, f"{name} on {str(call)[:60]!r}")


def refused_at(situation: Situation, path: str, format: str) -> str | None:
    """A pattern of what one way to ask says no with, where it does; those for web and JVM run no TFLite."""
    if path == "jvm":
        reasons = [refused_at(situation, "android", format), "the jvm module has no litert" if format == "tflite" else None]
        return "|".join(reason for reason in reasons if reason) or None
    stated = situation.refused_by.get(path) or situation.refused_by.get(f"{path}, {format}")
    return stated or ("TFLite" if path == "web" and format == "tflite" else None)
