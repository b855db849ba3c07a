"""The demo's data: the same rows everywhere, no row in two splits, phrasings that only the test split has; its teacher errs a little."""

import csv
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import gather
from edgepack.model.quality import score_outputs
from edgepack.pipeline.build import plan_build
from edgepack.pipeline.demo.commands import commands, intents, phrasings, write_commands
from edgepack.pipeline.demo.teacher import demo_recipe
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe


def test_there_are_at_least_twenty_intents_and_each_is_in_every_split():
    assert len(intents()) >= 20
    for rows in commands().values():
        assert {intent for _, intent in rows} == set(intents())


def test_no_text_stands_in_two_splits():
    texts = [text for rows in commands().values() for text, _ in rows]
    assert len(texts) == len(set(texts))


def test_the_rows_do_not_hang_on_the_process(tmp_path):
    """Hash seeds differ between processes; the files may not."""
    write_commands(tmp_path / "here")
    code = "from pathlib import Path; from edgepack.pipeline.demo.commands import write_commands; write_commands(Path('there'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONHASHSEED": "77"}, check=True)
    for split in ("train", "dev", "test"):
        here, there = ((tmp_path / folder / f"{split}.csv").read_bytes() for folder in ("here", "there"))
        assert hashlib.sha256(here).digest() == hashlib.sha256(there).digest()


def test_every_slot_is_known_and_no_phrasing_belongs_to_two_intents():
    known = phrasings()
    records: dict[str, str] = {}
    for intent, result in known["intents"].items():
        assert not set(result["common"]) & set(result["held_out"])
        for phrasing in (*result["common"], *result["held_out"]):
            assert set(re.findall(r"\{(\w+)\}", phrasing)) <= set(known["slots"]), phrasing
            assert records.setdefault(phrasing, intent) == intent


def test_some_test_commands_are_phrased_as_no_train_command_is():
    """The longest piece of each held-out phrasing between two slots; typing noise hides some."""
    split = {name: " | ".join(text for text, _ in rows) for name, rows in commands().items()}
    pieces = [max(re.split(r"\{\w+\}", phrasing), key=len) for result in phrasings()["intents"].values() for phrasing in result["held_out"]]
    common = " | ".join(phrasing for result in phrasings()["intents"].values() for phrasing in result["common"])
    distinct = [piece for piece in pieces if len(piece) > 8 and piece not in common]
    assert not [piece for piece in distinct if piece in split["train"]]
    assert sum(piece in split["test"] for piece in distinct) > len(distinct) / 4


def test_the_plan_of_the_demo_needs_no_weights(tmp_path):
    model, data = demo_recipe(tmp_path, with_weights=False)
    plan = plan_build(Recipe(model=model, data=data), load_profile("raspberry-pi"))
    assert plan.teacher.labels == len(intents()) and not plan.broken
    assert not list(tmp_path.rglob("*.safetensors"))
    with (Path(data) / "test.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == ["text", "intent"]


@pytest.mark.slow
def test_the_teacher_is_right_on_90_to_98_percent(tmp_path):
    """Trained once: a second call takes it from the cache."""
    model, data = demo_recipe(tmp_path)
    assert demo_recipe(tmp_path) == (model, data)
    material = gather(Recipe(model=model, data=data))
    outputs = run_model(load_checkpoint(material.source, material.task.name), material.task, material.test, "")
    score = score_outputs(material.task, outputs, material.test, material.rows("test"), material.labels, outputs)
    assert 0.90 <= score.value <= 0.98
