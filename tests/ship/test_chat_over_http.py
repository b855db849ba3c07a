"""Conversations over HTTP: the Linux module's own server writes what transformers' apply_chat_template and generate give."""

import json

import libraries
import pytest
from rows_generation import SITUATIONS
from test_server import asked, served

from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.shipping import ship

CHATS = [
    [{"role": "user", "content": "turn on the light"}],
    [
        {"role": "user", "content": "play music"},
        {"role": "assistant", "content": "which one?"},
        {"role": "user", "content": "  Zoë's ☃ song \n"},
    ],
]


@pytest.fixture(scope="module")
def chatting(tmp_path_factory, cache):
    """The model's folder, and the Linux module of a pack of it."""
    place = tmp_path_factory.mktemp("chat")
    (place / "model").mkdir()
    next(each for each in SITUATIONS if each.name == "chat: ChatML").make(place / "model")
    recipe = Recipe(model=str(place / "model"), student="same", prune_heads=0.0, precision="fp32")
    build(recipe, load_profile("raspberry-pi"), place / "pack", cache, effort=None)
    ship(place / "pack", "linux", place / "module", name="intents")
    return place / "model", place / "module"


@pytest.mark.slow
def test_messages_are_answered_as_by_the_models_own_library(chatting):
    from transformers import AutoTokenizer

    model, module = chatting
    expected = libraries.generate(model, [(messages,) for messages in CHATS], max_tokens=12)
    tokenizer = AutoTokenizer.from_pretrained(model)
    with served(module) as place:
        for messages, wanted in zip(CHATS, expected, strict=True):
            status, body = asked(place, json.dumps({"messages": messages, "max_tokens": 12}))
            answer = json.loads(body)
            ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
            assert status == 200 and answer["tokens"] == wanted["tokens"] and answer["prompt_tokens"] == len(ids)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_body", "says"),
    [
        ({"messages": []}, "no list"),
        ({"messages": [{"role": "user"}]}, "role and content"),
        ({"messages": [{"role": "user", "content": 1}]}, "must be str"),
        ({"messages": CHATS[0], "prompt": "x"}, "either a prompt or messages"),
    ],
    ids=["none", "no content", "a number", "a prompt too"],
)
def test_what_is_not_a_conversation_is_refused_by_name(chatting, request_body, says):
    with served(chatting[1]) as place:
        status, body = asked(place, json.dumps(request_body))
        assert status == 422 and says in body.decode()
