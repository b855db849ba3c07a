"""What the modules' READMEs ask: texts of the pack's data in its language, and conversations where the model has a chat template."""

import json
import re
from functools import partial

import pytest
from rows_generation import SITUATIONS
from small import make_model

from edgepack.pipeline.build import build
from edgepack.pipeline.verify import verify
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.load import device_module
from edgepack.ship.platforms import platform_names
from edgepack.ship.shipping import ship

pytestmark = pytest.mark.slow
CHINESE = [
    ("我在北京的大学学习。", "北京"),
    ("她住在上海。", "上海"),
    ("明天去广州旅行", "广州"),
    ("南京很大。", "南京"),
    ("今天天气很好。", ""),
]
CALLS = {
    "android": 'val messages = listOf(Message("user", "What can you do?"))',
    "deb": 'intents --chat "What can you do?"',
    "jvm": 'List.of(new Message("user", "What can you do?"))',
    "linux": '{"messages": [{"role": "user", "content": "What can you do?"}]}',
    "python": 'answer(messages=[{"role": "user", "content": "What can you do?"}])',
    "web": 'const messages = [{ role: "user", content: "What can you do?" }]',
}


def tagged(text, place):
    start = text.find(place) if place else len(text)
    tags = ["B-LOC" if at == start else "I-LOC" if start < at < start + len(place) else "O" for at in range(len(text))]
    return json.dumps({"words": list(text), "tags": tags}, ensure_ascii=False)


def packed(place, make, cache, **recipe):
    (place / "model").mkdir()
    make(place / "model")
    settings = {"model": str(place / "model"), "student": "same", "prune_heads": 0.0, "precision": "fp32"}
    build(Recipe(**settings | recipe), load_profile("raspberry-pi"), place / "pack", cache, effort=None)
    return place / "pack"


def readme_of(pack, platform, out):
    ship(pack, platform, out, name="intents", **({"package": "com.example.intents"} if platform in ("android", "jvm") else {}))
    return (out / "README.md").read_text(encoding="utf-8")


def test_a_chinese_taggers_readmes_ask_in_chinese(tmp_path, cache):
    (tmp_path / "data").mkdir()
    for split in ("train", "dev", "test"):
        lines = [tagged(*row) for row in CHINESE] * 2
        (tmp_path / "data" / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    make = partial(make_model, task="token-classification", labels=("O", "B-LOC", "I-LOC"))
    pack = packed(tmp_path, make, cache, data=str(tmp_path / "data"), words="characters", task="token-classification")
    for platform in platform_names():
        readme = readme_of(pack, platform, tmp_path / platform)
        assert any(text in readme for text, _ in CHINESE) and "Ada Lovelace" not in readme, platform


@pytest.fixture(scope="module")
def chat_packs(tmp_path_factory, cache):
    """A model whose template every platform renders, and one whose template needs jinja2."""
    packs = {}
    for name in ("ChatML", "numbered"):
        situation = next(each for each in SITUATIONS if each.name == f"chat: {name}")
        packs[name] = packed(tmp_path_factory.mktemp(name), situation.make, cache)
    return packs


@pytest.mark.parametrize("platform", platform_names())
def test_a_chat_models_readme_shows_a_conversation(platform, chat_packs, tmp_path):
    assert CALLS[platform] in readme_of(chat_packs["ChatML"], platform, tmp_path / "out")


@pytest.mark.parametrize("platform", platform_names())
def test_a_readme_shows_no_conversation_that_the_module_refuses(platform, chat_packs, tmp_path):
    readme = readme_of(chat_packs["numbered"], platform, tmp_path / "out")
    renders = platform in ("python", "linux", "deb")
    assert (CALLS[platform] in readme) is renders and ("A list of messages is refused" in readme) is not renders


def test_a_self_test_tells_what_came_as_ids_from_what_it_asked_as_text(chat_packs, tmp_path, capsys):
    pack = chat_packs["ChatML"]
    entries = [json.loads(line) for line in (pack / "golden.jsonl").read_text(encoding="utf-8").splitlines()]
    as_text = sum("text" in entry or "messages" in entry for entry in entries)
    assert 0 < as_text < len(entries)  # a block of running text is kept as ids
    tested = device_module().self_test(pack, manifest_file="pack.json")
    assert tested.ok and (tested.ids_equal, tested.ids_asked, tested.from_ids, tested.texts) == (
        as_text, as_text, len(entries) - as_text, len(entries),
    )  # fmt: skip
    assert verify(pack).from_ids == len(entries) - as_text
    ship(pack, "python", tmp_path / "out", name="intents")
    output = capsys.readouterr()
    pattern = rf"token ids of {as_text} of {as_text} and decisions of \d+ equal; {len(entries) - as_text} came as token ids"
    assert re.search(pattern, " ".join((output.out + output.err).split()))
