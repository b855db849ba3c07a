"""Fixtures that several test files share. No test reaches a network."""

import gc
import os
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has cores of its own: torch's threads wait for each other by spinning
    number, workers = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[number::workers] or os.sched_getaffinity(0))

import hypothesis
import pytest
from session_folders import made_once, of_all_workers
from slow_share import left_out, third_of_commit

# What is large is imported where it is used: the process that hands tests out to workers reads this file too, before they start.
SHARED = Path(__file__).parent.parent.parent / "shared"

# The longest tests, longest first. They begin first, so that no worker is left alone with one of them at the end.
LONGEST = (
    "test_demo.py::test_the_teacher_is_right_on_90_to_98_percent",
    "test_docs.py::test_following_a_page",
    "test_pipeline.py::test_a_build_that_is_killed",
    "test_targets.py::test_a_board_that_falls_silent",
    "test_formats.py::test_auto_ships",
    "test_examples.py::test_the_programs",
    "test_tflite_decoder.py::test_litert_torchs_own_export",
    "test_emulated_board.py::",
    "test_browser.py::test_a_pack_for_the_browser",
    "test_emulation.py::",
)

hypothesis.settings.register_profile("a busy machine", deadline=None)
hypothesis.settings.load_profile("a busy machine")
gc.set_threshold(50_000, 20, 20)  # each search for cycles walks over all that torch and others hold: a tenth of the time of a build


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    others = set(left_out(items, third_of_commit()))
    config.hook.pytest_deselected(items=list(others))
    items[:] = [item for item in items if item not in others]
    ranks = {item: next((rank for rank, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST)) for item in items}
    items.sort(key=ranks.__getitem__)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    third = third_of_commit()
    if third is not None:
        terminalreporter.write_line(f"slow tests: third {third + 1} of 3, by the commit. `make test-all` runs all of them")


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # modules live as long as the session: no search for cycles looks at them again


@pytest.fixture(scope="session", autouse=True)
def jars(tmp_path_factory):
    """A module's Java is compiled once for all tests that ship the same sources."""
    from shared_jars import jars_shared

    with jars_shared(tmp_path_factory):
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Models and data that lie beside the project on its developers' machines and in CI."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared with models and data: not part of the project")
    return SHARED


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    from small import make_data

    return made_once(tmp_path_factory, "data", make_data)


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory, data_folder) -> Path:
    """A tiny BERT that really learned the four intents, in a few seconds."""
    return made_once(tmp_path_factory, "teacher", partial(_teach, data_folder=data_folder))


def _teach(folder: Path, data_folder: Path) -> None:
    import numpy as np
    import torch
    from small import INTENTS, make_model
    from transformers import AutoTokenizer

    from edgepack.model.data import load_data
    from edgepack.model.training import train
    from edgepack.plan.training_settings import Training
    from edgepack.tasks import task_named

    model = make_model(folder)
    rows = load_data(str(data_folder), "text-classification").splits["train"]
    features = task_named("text-classification").encode(AutoTokenizer.from_pretrained(folder), rows, 96)
    truth = np.array([INTENTS.index(row.label) for row in rows])

    def loss(model, batch, truth):
        return torch.nn.functional.cross_entropy(model(**batch).logits, truth)

    with TemporaryDirectory() as run:
        train(model, features, truth, loss, Training(epochs=12, learning_rate=1e-3), Path(run), 0, "teacher")
    model.save_pretrained(folder)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """One cache for all builds of a session, those of other workers too."""
    return of_all_workers(tmp_path_factory, "cache")


@pytest.fixture(scope="session")
def pack_folder(tmp_path_factory, teacher_folder, data_folder, cache) -> Path:
    """A whole pack of the tiny teacher: heads pruned, distilled, int8, measured shortly. No test writes into it."""
    from edgepack.measure.measurement import QUICK
    from edgepack.pipeline.build import build
    from edgepack.plan.profile import load_profile
    from edgepack.plan.recipe import Recipe

    recipe = Recipe.read(
        {
            "model": str(teacher_folder),
            "data": str(data_folder),
            "student": "2x64",
            "prune_heads": 0.25,
            "precision": "int8",
            "training": {"epochs": 3, "learning_rate": 1e-3},
            "budget": {"score_drop": 50},  # what a tiny student loses hangs on the processor's rounding
        },
        "tests",
    )
    profile = load_profile("raspberry-pi")
    return made_once(tmp_path_factory, "tiny-pack", lambda out: build(recipe, profile, out, cache, QUICK))


@pytest.fixture(scope="session")
def old_pack(tmp_path_factory, teacher_folder, data_folder, cache) -> Path:
    """A pack in fp32, in the form that onnxruntime 1.17 opens: the same graph, under older numbers."""

    def make(out: Path) -> None:
        import onnx

        from edgepack.pack.manifest import read_manifest, seal
        from edgepack.pipeline.build import build
        from edgepack.plan.profile import load_profile
        from edgepack.plan.recipe import Recipe

        wishes = {"model": str(teacher_folder), "data": str(data_folder), "student": "same", "prune_heads": 0.0, "precision": "fp32"}
        build(Recipe.read(wishes, "tests"), load_profile("raspberry-pi"), out, cache, effort=None)
        graph = onnx.load(str(out / "model.onnx"), load_external_data=False)
        graph.ir_version = 9
        used = [entry for entry in graph.opset_import if entry.domain in ("", "com.microsoft")]
        del graph.opset_import[:]
        graph.opset_import.extend(used)
        (out / "model.onnx").write_bytes(graph.SerializeToString())
        seal(out, read_manifest(out))

    return made_once(tmp_path_factory, "old-pack", make)


@pytest.fixture(scope="session")
def stories(shared) -> Path:
    """A real Llama of 260 K parameters that writes children's stories."""
    return shared / "models" / "stories260k"


@pytest.fixture(scope="session")
def stories_pack(stories, tmp_path_factory, cache) -> Path:
    """A whole pack of it in fp32, not measured."""
    from edgepack.pipeline.build import build
    from edgepack.plan.profile import load_profile
    from edgepack.plan.recipe import Recipe

    recipe, profile = Recipe(model=str(stories), student="same", prune_heads=0.0, precision="fp32"), load_profile("raspberry-pi")
    return made_once(tmp_path_factory, "stories-pack", lambda out: build(recipe, profile, out, cache, effort=None))


@pytest.fixture(scope="session")
def board(tmp_path_factory):
    """A board behind a real sshd on loopback."""
    from boards import running

    with running(tmp_path_factory.mktemp("sshd")) as result:
        yield result
    assert result.left() == []


@pytest.fixture
def named(board, tmp_path):
    """named(python=...): the board as a target called pi, with other settings where they are given."""
    from edgepack.measure.machines.targets import find_targets

    def named(**more):
        file = tmp_path / "targets.toml"
        file.write_text(board.table("pi", **({"python": sys.executable} | more)))
        return find_targets(["pi"], file)[0]

    return named


@pytest.fixture(scope="session")
def emulated_cache(tmp_path_factory) -> Path:
    return of_all_workers(tmp_path_factory, "emulated-cache")


@pytest.fixture(scope="session")
def classes(tmp_path_factory) -> Path:
    """The Android module's Java and that of the tests, compiled."""
    return made_once(tmp_path_factory, "jvm", _compile) / "classes"


def _compile(folder: Path) -> None:
    from jvm import compiled

    folder.mkdir()
    compiled(folder)
