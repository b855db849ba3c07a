"""What a module's README says of long texts and of prompts: the same on every platform, and what the task really does."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from edgepack.ship.shipping import rendered

TEMPLATES = Path(__file__).parents[2] / "edgepack" / "ship" / "templates"


def sentence_of(task, answers=None):
    return " ".join(rendered("long_texts.md.j2", manifest=SimpleNamespace(task=task, max_length=64, answers=answers)).split())


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("text-generation", "more than 64 tokens are refused."),
        ("question-answering", "more than 64 tokens are read in several windows."),
        ("text-classification", "more than 64 tokens are cut where the teacher cuts them, and the answer says `cut`."),
    ],
)
def test_a_text_that_is_too_long_is_told_as_the_task_takes_it(task, words):
    assert sentence_of(task).endswith(words)


def test_a_model_with_prompts_names_them_and_the_one_that_stands_before_a_text():
    prompts = {"query": "query: ", "document": "passage: "}
    assert "`query, document`, `query` stands before" in sentence_of("feature-extraction", {"prompts": prompts, "default_prompt": "query"})
    assert "none stands before a text unless" in sentence_of("feature-extraction", {"prompts": prompts, "default_prompt": None})
    assert "prompt" not in sentence_of("feature-extraction", {"prompts": {}})


def test_every_platforms_readme_tells_it():
    asked = {path.name.split(".")[0] for path in TEMPLATES.glob("*.README.md.j2")} - {"deb"}  # whose module is Linux's
    assert asked == {path.name.split(".")[0] for path in TEMPLATES.glob("*.README.md.j2") if "long_texts.md.j2" in path.read_text()}
