"""Two processes of torchrun with gloo compute what one does, on the same command."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file
from small import make_data, make_model

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from edgepack.model import training
from edgepack.model.material import gather
from edgepack.model.evaluation import run_model
from edgepack.model.checkpoint import load_checkpoint
from edgepack.core.distributed import is_first
from edgepack.plan.recipe import Recipe
from edgepack.plan.training_settings import Training
model, data, out = sys.argv[1:4]
material = gather(Recipe(model=model, data=data))
features = material.train[:200]
teacher = run_model(load_checkpoint(material.source), material.task, features, "")
student = load_checkpoint(material.source)
torch.manual_seed(1)
with torch.no_grad():
    for p in student.parameters(): p.add_(torch.randn_like(p) * 0.05)
curve = []
def loss(model, batch, targets):
    found = material.task.soft_loss(material.task.forward(model, batch), batch, targets["soft"], 2.0)
    mean = found.detach().clone()
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        torch.distributed.all_reduce(mean); mean /= int(os.environ["WORLD_SIZE"])
    curve.append(float(mean)); return found
targets = [{"soft": each} for each in teacher]
# SETTINGS and JUDGED stand here
student, _ = training.train(student, features, targets, loss, SETTINGS, Path(out) / "run", 0, "", *JUDGED)
if is_first():
    student.save_pretrained(out)
    (Path(out) / "curve.json").write_text(json.dumps(curve))
"""


PLACE = "# SETTINGS and JUDGED stand here\n"
STATED = "SETTINGS, JUDGED = Training(epochs=3, batch_rows=32, learning_rate=1e-3), ()\n"


def launched(processes, command):
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    done = subprocess.run([sys.executable, *together, *map(str, command)], capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.slow
def test_two_processes_reach_the_loss_curve_and_weights_of_one(tmp_path):
    make_model(tmp_path / "model")
    data, script = make_data(tmp_path / "data"), tmp_path / "script.py"
    script.write_text(SCRIPT.replace(PLACE, STATED))
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        launched(processes, [script, tmp_path / "model", data, tmp_path / str(processes)])
    each, two = (json.loads((tmp_path / name / "curve.json").read_text()) for name in "12")
    assert len(each) == len(two) == 18 and each[-1] < each[0] / 2
    assert np.allclose(each, two, atol=1e-4)
    weights, others = (load_file(tmp_path / name / "model.safetensors") for name in "12")
    assert max(np.abs(weights[name] - others[name]).max() for name in weights) < 1e-3


@pytest.mark.slow
def test_two_processes_end_a_training_by_need_at_the_same_step(tmp_path):
    """The first process judges, and both fall to 0 and stop with it."""
    make_model(tmp_path / "model")
    data, script = make_data(tmp_path / "data"), tmp_path / "script.py"
    by_need = "SETTINGS, JUDGED = Training(batch_rows=32, learning_rate=1e-3), ((lambda model: 1.0), Course(400))\n"
    script.write_text(SCRIPT.replace(PLACE, f"from edgepack.model.course import Course\n{by_need}"))
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        launched(processes, [script, tmp_path / "model", data, tmp_path / str(processes)])
    each, two = (json.loads((tmp_path / name / "curve.json").read_text()) for name in "12")
    assert 160 < len(each) == len(two) < 300 and np.allclose(each, two, atol=1e-3)


@pytest.mark.slow
def test_a_build_under_torchrun_writes_one_pack(tmp_path):
    make_model(tmp_path / "model")
    flags = ["--student", "2x64", "--precision", "fp32", "--epochs", "1", "--measure", "off", "--prune-heads", "0"]
    data = make_data(tmp_path / "data", {"train": 96, "test": 40, "dev": 40})
    build = ["-m", "edgepack", "build", tmp_path / "model", "--data", data, "--profile", "x86-server", *flags]
    launched(2, [*build, "--out", tmp_path / "pack", "--cache", tmp_path / "cache"])
    assert (tmp_path / "pack" / "model.onnx").is_file() and not list((tmp_path / "cache" / "unfinished").iterdir())


@pytest.mark.slow
def test_two_processes_train_the_rounded_weights_of_one(tmp_path):
    """Each process looks for the grids by itself, so they have to come to the same ones."""
    make_model(tmp_path / "model")
    data = make_data(tmp_path / "data", {"train": 96, "test": 40, "dev": 40})
    flags = ["--student", "2x64", "--precision", "int8", "--bits", "3", "--quantization-aware", "--epochs", "2", "--learning-rate", "1e-3"]
    flags += ["--hidden-weight", "0", "--prune-heads", "0", "--measure", "off", "--score-drop", "100"]
    build = ["-m", "edgepack", "build", tmp_path / "model", "--data", data, "--profile", "x86-server", *flags]
    trained = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        launched(processes, [*build, "--out", folder / "pack", "--cache", folder / "cache"])
        # The training is the last of the stages that leave a model.
        finished = max(folder.glob("cache/stages/*/model.safetensors"), key=lambda path: path.stat().st_mtime)
        trained.append(load_file(finished))
    alone, together = trained
    on_grid = [name for name, values in alone.items() if values.ndim == 2 and len(np.unique(values)) < 100]
    assert any("query" in name for name in on_grid) and any("word_embeddings" in name for name in on_grid)
    for name in on_grid:
        step = np.diff(np.unique(alone[name])).min()
        assert np.mean(np.abs(alone[name] - together[name]) < step / 2) > 0.98, name
