"""A task is added by a file alone: no other file of edgepack asks which task it is, and a new one goes all the way to a pack."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small import make_model

from edgepack.core.errors import EdgepackError
from edgepack.tasks import task_named, task_names

PACKAGE = Path(__file__).parent.parent.parent / "edgepack"

NEW_TASK = '''
"""text-regression: a text gets a number, as reviews get stars."""

import numpy as np

from edgepack.tasks.common.columns import parts_of, text_columns
from edgepack.tasks.common.encoding import encode_text
from edgepack.tasks.common.losses import logits_of
from edgepack.tasks.common.metrics import Metric, spearman
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Task


def _metrics(answers):
    truth = np.array([row.gold for row in answers.rows])
    return (Metric("spearman", np.arange(len(truth)), spearman(np.concatenate(answers.outputs), truth)),)


TASK = Task(
    name="text-regression",
    auto_class="AutoModelForSequenceClassification",
    architectures=("ForTextRegression",),
    outputs=("logits",),
    per_token=False,
    metric="spearman",
    example=(("text", "turn on the light"),),
    answer_field="number",
    columns=lambda first, records, wished: text_columns(first, records, wished) | {"gold": "stars"},
    row=lambda place, value, group: Row(place, text=value["text"], gold=float(value["gold"]), group=group),
    row_of_text=lambda text: Row("", text=text),
    texts=parts_of,
    encode=encode_text,
    decide=lambda outputs, features, rows: [None] * len(outputs),
    metrics=_metrics,
    forward=logits_of,
    soft_loss=lambda outputs, batch, soft, temperature: (outputs.float() - soft.float()).square().mean(),
    head_outputs=1,
    dense_head=True,
    default_importance="activation",
)
'''

BUILD = """
import json, sys
from pathlib import Path
import edgepack.tasks
folder, new = Path(sys.argv[1]), sys.argv[2]
edgepack.tasks.__path__.append(new)
from importlib import import_module
from edgepack import Recipe, build, load_profile, verify
from edgepack.ship.load import device_module
on_device = import_module(device_module().__name__ + ".tasks")  # what the page on tasks adds there
on_device.ANSWERS["text-regression"] = on_device.embed
recipe = Recipe.read({
    "model": str(folder / "model"), "data": str(folder / "data.jsonl"), "task": "text-regression", "student": "1x32",
    "prune_heads": 0.5, "precision": "int8", "training": {"epochs": 1},
}, "test")
build(recipe, load_profile("x86-server"), folder / "pack", folder / "cache", None)
texts = verify(folder / "pack").golden_texts
pack = json.loads((folder / "pack" / "pack.json").read_text())
print(json.dumps({"texts": texts, "task": pack["task"], "metrics": [row["score"]["metric"] for row in pack["ladder"]]}))
"""


@pytest.fixture
def new_task(tmp_path) -> Path:
    """A folder with the file of a task that edgepack does not have."""
    folder = tmp_path / "more_tasks"
    folder.mkdir()
    (folder / "text_regression.py").write_text(NEW_TASK)
    return folder


def test_a_file_in_the_folder_is_a_task(new_task, monkeypatch):
    with pytest.raises(EdgepackError, match="unknown task"):
        task_named("text-regression")
    monkeypatch.setattr("edgepack.tasks.__path__", [*sys.modules["edgepack.tasks"].__path__, str(new_task)])
    monkeypatch.delitem(sys.modules, "edgepack.tasks.text_regression", raising=False)
    try:
        assert "text-regression" in task_names() and task_named("text-regression").head_outputs == 1
    finally:
        task_named.cache_clear()
        sys.modules.pop("edgepack.tasks.text_regression", None)


@pytest.mark.slow
def test_a_new_task_is_cut_distilled_quantized_and_verified_without_another_line_in_edgepack(new_task, tmp_path):
    make_model(tmp_path / "model", labels=("stars",))
    lines = [{"text": f"{'very ' * (index % 7)}good light {index}", "stars": index % 7} for index in range(60)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", BUILD, str(tmp_path), str(new_task)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["task"] == "text-regression" and answer["texts"] > 0 and set(answer["metrics"]) == {"spearman"}


def test_importing_every_task_loads_no_torch():
    code = "import sys\nfrom edgepack.tasks import all_tasks\nall_tasks()\nprint('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.split() == ["False", "False"]


def test_no_file_outside_of_tasks_asks_which_task_it_is():
    """Neither compares with a task's name nor keeps a table by task; a platform's module may state which tasks it has code for."""
    wrong = [place for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "tasks" for place in _questions(path)]
    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        'decodes = shape.task == "text-generation"',
        'shown = manifest.task in ("text-classification", "token-classification")',
        'match task.name:\n    case "question-answering" | "feature-extraction":\n        pass',
        'weights = {"text-classification": 1.0}',
    ],
)
def test_such_a_question_is_seen(tmp_path, code):
    (tmp_path / "asks.py").write_text(code)
    assert list(_questions(tmp_path / "asks.py"))


def _questions(path: Path):
    names, platform = set(task_names()), path.parent.name == "platforms"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        elif isinstance(node, (ast.Dict, ast.Set, ast.Tuple, ast.List)) and not platform:
            sides = [key for key in (node.keys if isinstance(node, ast.Dict) else node.elts) if key is not None]
        else:
            continue
        for side in sides:
            for part in ast.walk(side):
                if isinstance(part, ast.Constant) and part.value in names:
                    yield f"{path.name}:{part.lineno}: {part.value}"
