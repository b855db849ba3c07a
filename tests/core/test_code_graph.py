"""A changed file moves the keys of the stages whose code imports it, and no others: tried with a file of every room."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgepack.core.code_graph import code_sha256, library_versions_of, module_sha256, modules_of, target_sha256

ROOT = Path(__file__).parent.parent.parent
FILES = {"export onnx", "export tflite", "quantize int8", "quantize fp16"}
EVERY = FILES | {"teacher", "cut_vocabulary", "prune_heads", "distill"}

# A file of every room, and the stages whose keys a change of it has to move.
MOVES = {
    "core/records.py": EVERY,
    "core/code_graph.py": {"teacher", "cut_vocabulary", "prune_heads"},  # they make keys: of the teacher's outputs, of what is important
    "tasks/text_classification.py": EVERY,
    "tasks/common/metrics.py": EVERY,
    "plan/architectures/bert.py": EVERY,
    "model/evaluation.py": EVERY,
    "model/training.py": {"distill"},
    "compress/pruning.py": {"prune_heads"},
    "compress/distillation.py": {"distill"},
    "compress/vocabulary.py": {"cut_vocabulary"},
    "pack/runnable.py": EVERY,
    "pack/golden.py": set(),
    "export/tflite_export.py": {"export tflite"},
    "export/onnx_decoder.py": {"export onnx"},
    "quantize/schemes/onnx_fp16.py": {"quantize fp16"},
    "quantize/onnx_int8_ops.py": {"quantize int8"},
    "quantize/torch_smoothing.py": {"export tflite"},
    "measure/answers.py": EVERY,
    "measure/decoding.py": FILES,
    "measure/machines/transports/ssh.py": set(),
    "report/write.py": set(),
    "search/study.py": set(),
    "ship/shipping.py": set(),
    "cli/app.py": set(),
    "pipeline/gate.py": {"quantize int8", "quantize fp16"},
    "pipeline/checks.py": FILES,
    "pipeline/packing.py": set(),
}
DIGESTS = """
import json, sys
from pathlib import Path
import edgepack
from edgepack.core import code_graph
from edgepack.pipeline.keys import CHOOSERS
from edgepack.pipeline.stages import doer_of
from edgepack.plan import steps
package, files = Path(edgepack.__file__).parent, sys.argv[1:]
roots = {
    "teacher": ("edgepack.pipeline.teacher",),
    "cut_vocabulary": doer_of(steps.CutVocabulary(corpus="data", why=""), "onnx")[1],
    "prune_heads": doer_of(steps.PruneHeads(fraction=0.5, scope="layer", why=""), "onnx")[1],
    "distill": doer_of(steps.Distill(layers=2, hidden=64, epochs=1, batch_rows=1, learning_rate=1, temperature=1, why=""), "onnx")[1],
    "export onnx": doer_of(steps.Export(why=""), "onnx")[1],
    "export tflite": doer_of(steps.Export(format="tflite", why=""), "tflite")[1],
    "quantize int8": doer_of(steps.Quantize(precision="int8", why=""), "onnx")[1],
    "quantize fp16": doer_of(steps.Quantize(precision="fp16", method="storage", why=""), "onnx")[1],
}
def digests():
    code_graph._file_sha256.cache_clear()
    return {name: code_graph.code_sha256(modules, CHOOSERS) for name, modules in roots.items()}
before, moved = digests(), {}
for file in files:
    text = (package / file).read_text()
    (package / file).write_text(text + "# another line\\n")
    moved[file] = [name for name, digest in digests().items() if digest != before[name]]
    (package / file).write_text(text)
print(json.dumps(moved))
"""


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """The stages whose code hash moves when a line is added to each file, in a copy of the package."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "edgepack", copy / "edgepack", ignore=shutil.ignore_patterns("__pycache__"))
    for beside in ("targets", "device_profiles"):
        shutil.copytree(ROOT / beside, copy / beside, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS, *MOVES], cwd=copy, env={"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("file", MOVES)
def test_a_changed_file_moves_the_keys_of_the_stages_that_import_it(moved, file):
    assert set(moved[file]) == MOVES[file]


def test_every_room_is_tried():
    rooms = {path.name for path in (ROOT / "edgepack").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {file.partition("/")[0] for file in MOVES} == rooms


def test_imports_inside_functions_count_and_those_for_a_type_checker_do_not():
    assert "edgepack.model.checkpoint" in modules_of(["edgepack.pipeline.scoring"])  # inside load_model
    assert "edgepack.pack.manifest" not in modules_of(["edgepack.report.ladder"])  # under TYPE_CHECKING


def test_what_is_found_by_name_counts_unless_the_stage_names_its_own():
    assert "edgepack.tasks.text_classification" in modules_of(["edgepack.tasks"])
    assert "edgepack.quantize.schemes.onnx_fp16" in modules_of(["edgepack.quantize.schemes"])
    assert "edgepack.quantize.schemes.onnx_fp16" not in modules_of(["edgepack.quantize.schemes"], ["edgepack.quantize.schemes"])


def test_a_stage_depends_on_the_libraries_that_compute_it():
    pruning, export = library_versions_of(["edgepack.compress.pruning"]), library_versions_of(["edgepack.pipeline.export_onnx"])
    assert {"torch", "transformers", "tokenizers", "safetensors", "numpy"} <= set(pruning)
    assert {"onnx", "onnxruntime", "onnxscript", "onnxslim", "onnx_ir"} <= set(export) and "onnx" not in pruning
    assert all(pruning.values()) and "rich" not in pruning and "sys" not in pruning


def test_a_target_script_is_hashed_with_what_it_imports(tmp_path, monkeypatch):
    from edgepack.core import code_graph

    targets = shutil.copytree(ROOT / "targets", tmp_path / "targets", ignore=shutil.ignore_patterns("node_modules"))
    monkeypatch.setattr(code_graph, "shipped", lambda folder: targets)
    before = target_sha256("run_onnxruntime.py")
    for file, moves in (("machine.py", True), ("run_onnxruntime.py", True), ("run_litert.py", False), ("board.py", False)):
        text = (targets / file).read_text()
        (targets / file).write_text(text + "# another line\n")
        assert (target_sha256("run_onnxruntime.py") != before) is moves, file
        (targets / file).write_text(text)


def test_the_code_of_a_module_is_hashed_with_all_that_it_runs_on(tmp_path, monkeypatch):
    from edgepack.core import code_graph

    targets = shutil.copytree(ROOT / "targets", tmp_path / "targets", ignore=shutil.ignore_patterns("node_modules"))
    monkeypatch.setattr(code_graph, "shipped", lambda folder: targets)
    before = module_sha256()
    for file in ("module/tags.py", "open_onnxruntime.py"):
        text = (targets / file).read_text()
        (targets / file).write_text(text + "# another line\n")
        assert module_sha256() != before, file
        (targets / file).write_text(text)


@pytest.mark.parametrize(
    "file", ["targets/board.py", "targets/javascript/decoder.mjs", "targets/java/Jobs.java", "targets/web/src/sampling.js",
             "edgepack/ship/jvm/java/core/Bpe.java"]
)  # fmt: skip
def test_what_answers_on_any_machine_is_hashed_in_every_language(file, tmp_path, monkeypatch):
    from edgepack.core import code_graph

    for folder in ("edgepack", "targets"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    monkeypatch.setattr(code_graph, "_PACKAGE", tmp_path / "edgepack")
    monkeypatch.setattr(code_graph, "shipped", lambda folder: tmp_path / folder)
    before = code_graph.device_code_sha256()
    (tmp_path / "edgepack" / "cli" / "app.py").write_text("# in the graph of imports, where it is one of a study's\n")
    assert code_graph.device_code_sha256() == before
    (tmp_path / file).write_text((tmp_path / file).read_text() + "\n")
    assert code_graph.device_code_sha256() != before


def test_the_graph_is_there_at_once():
    began = time.process_time()
    code_sha256(["edgepack.pipeline.teacher"])
    code_sha256(["edgepack.pipeline.export_onnx"])
    assert time.process_time() - began < 0.5  # 0.1 s on a quiet machine


def test_the_hash_of_all_code_changes_with_any_file_of_it(tmp_path, monkeypatch):
    from edgepack.core import code_graph

    package = shutil.copytree(ROOT / "edgepack", tmp_path / "edgepack", ignore=shutil.ignore_patterns("__pycache__"))
    targets = shutil.copytree(ROOT / "targets", tmp_path / "targets", ignore=shutil.ignore_patterns("node_modules"))
    monkeypatch.setattr(code_graph, "_PACKAGE", package)
    monkeypatch.setattr(code_graph, "shipped", lambda folder: targets)
    before = code_graph.whole_code_sha256()
    changing = ("core/errors.py", "ship/published.toml", "ship/wheels.json", "report/templates/page.css", "measure/machines/instructions.c")
    for file in (*(package / name for name in changing), targets / "javascript" / "decoder.mjs", targets / "java" / "Jobs.java"):
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        assert code_graph.whole_code_sha256() != before, file
        file.write_bytes(content)
    (package / "core" / "__pycache__").mkdir()
    (package / "core" / "__pycache__" / "errors.pyc").write_bytes(b"1")
    (package / ".editor").write_bytes(b"1")
    assert code_graph.whole_code_sha256() == before
    monkeypatch.setattr(code_graph, "shipped", lambda folder: package / "targets")
    targets.rename(package / "targets")  # as in a wheel
    shutil.copytree(ROOT / "device_profiles", package / "device_profiles")
    assert code_graph.whole_code_sha256() == before


def test_the_code_of_a_stage_is_hashed_with_the_data_files_that_it_names(tmp_path, monkeypatch):
    from edgepack.core import code_graph

    package = shutil.copytree(ROOT / "edgepack", tmp_path / "edgepack", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_graph, "_PACKAGE", package)

    def hashed(*roots):
        code_graph._file_sha256.cache_clear()
        return code_sha256(roots)

    demo, other = "edgepack.pipeline.demo.commands", "edgepack.compress.pruning"
    before = hashed(demo), hashed(other)
    with (package / "pipeline" / "demo" / "intents.toml").open("a") as file:
        file.write("# another line\n")
    assert hashed(demo) != before[0] and hashed(other) == before[1]
    monkeypatch.undo()
    code_graph._file_sha256.cache_clear()
