"""`measure` scores a pack by the same rules as its build did, whatever kind of answers it gives."""

import json

import pytest
from small import commands, make_model

from edgepack.measure.measurement import QUICK
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.measure import measure_pack
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

TEXTS = [text for text, _ in commands()["train"]][:60]
CLASSES, TAGS = "text-classification", "token-classification"
BIOES = ("O", "B-NAME", "I-NAME", "E-NAME", "S-NAME")
ABC = ("a", "b", "c")
KINDS = {  # the task, keys of config.json, the model's labels, and what a row states of the number of its text
    "several labels": (
        CLASSES,
        {"problem_type": "multi_label_classification"},
        ("a", "b", "c"),
        lambda at: {"label": list(ABC[: at % 4])},
    ),
    "a number": (CLASSES, {"problem_type": "regression"}, ("score",), lambda at: {"label": at % 7 / 7}),
    "tags with ends": (TAGS, {}, BIOES, lambda at: {"tags": [BIOES[(at + place) % 5] for place in range(len(TEXTS[at].split()))]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_data_gives_the_score_of_the_build(tmp_path, kind):
    task, config, labels, stated = KINDS[kind]
    make_model(tmp_path / "model", task=task, labels=labels)
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    (tmp_path / "data").mkdir()
    texts = [{"words": text.split()} if task == TAGS else {"text": text} for text in TEXTS]
    rows = [row | stated(at) for at, row in enumerate(texts)]
    for split, some in (("train", rows[:30]), ("dev", rows[30:45]), ("test", rows[45:])):
        (tmp_path / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    recipe = {"model": str(tmp_path / "model"), "data": str(tmp_path / "data"), "task": task, "student": "same", "prune_heads": 0.0}
    build(
        Recipe.read(recipe | {"precision": "fp32"}, "the test"),
        load_profile("raspberry-pi"),
        tmp_path / "pack",
        tmp_path / "cache",
        effort=None,
    )
    built = read_manifest(tmp_path / "pack").ladder[-1].score
    assert built is not None
    assert measure_pack(tmp_path / "pack", data=str(tmp_path / "data"), effort=QUICK).ladder[-1].score == built
