"""Chat templates: a module's rendering and the plain form for Java, against transformers' apply_chat_template."""

import json
import sys
import time
from importlib import import_module

import pytest
from small import make_model, make_tokenizer

from edgepack.core.errors import EdgepackError
from edgepack.model.material import gather
from edgepack.model.statements.chat import MOST_TEXTS, PROVED, conversations, joined, plain_form, raises_to_powers, texts_of
from edgepack.pipeline.prompts import golden_prompts
from edgepack.plan.recipe import Recipe
from edgepack.ship.generate import read_messages
from edgepack.ship.load import device_module

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for message in messages %}{{ '<' + message['role'] + '>\n\n' }}{{ message['content'] | trim }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<assistant>\n\n' }}{% endif %}"
)
STRICT = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ '[' + message['role'] + ']' + message['content'] }}{% endfor %}"
)
THINKING = (
    "{% for message in messages %}{{ '<' + message.role + '>' + (message.content.split('</think>')[-1] if message.role == 'assistant' else "
    "message.content) }}{% endfor %}{% if messages[0].content.startswith('/quiet') %}{{ '<hush>' }}{% endif %}"
)
NUMBERED = "{% for message in messages %}{{ loop.index ~ '. ' ~ message['content'] ~ '\n' }}{% endfor %}"
DATED = "{{ strftime_now('%Y') }}{% for message in messages %}{{ message | tojson }}{% if loop.last %}{% break %}{% endif %}{% endfor %}"
HOSTILE = "{{ messages.__class__.__base__.__subclasses__() }}"


def rendering(tmp_path, template):
    """The module's way and the library's, each as a function of messages."""
    tokenizer = make_tokenizer(tmp_path)
    tokenizer.add_special_tokens({"bos_token": "[CLS]", "eos_token": "[SEP]"})
    tokenizer.chat_template = template
    module = import_module(f"{device_module().__name__}.chat")
    answers = {"chat_template": template, "chat_tokens": {"bos_token": "[CLS]", "eos_token": "[SEP]"}}
    return (
        lambda messages: module.rendered(answers, messages),
        lambda messages: tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True),
    )


@pytest.mark.parametrize("template", [CHATML, LLAMA, STRICT, NUMBERED, DATED], ids=["chatml", "llama", "strict", "numbered", "dated"])
def test_a_module_renders_as_transformers(tmp_path, template):
    ours, theirs = rendering(tmp_path, template)
    for messages in conversations(PROVED, with_system=template in {CHATML, LLAMA}):
        assert ours(messages) == theirs(messages)


@pytest.mark.parametrize(("template", "has_form"), [(CHATML, True), (LLAMA, True), (STRICT, True), (NUMBERED, False)])
def test_a_plain_form_is_proved_or_there_is_none(tmp_path, template, has_form):
    _, theirs = rendering(tmp_path, template)
    form = plain_form(theirs)
    assert (form is not None) == has_form
    if form:
        fresh = conversations(40, "system" in form["first"], seed=7)
        assert [joined(form, messages) for messages in fresh] == [theirs(messages) for messages in fresh]
        assert ("system" in form["first"]) == (template is not STRICT)


def test_a_plain_form_names_the_texts_that_a_template_looks_for_in_messages(tmp_path):
    _, theirs = rendering(tmp_path, THINKING)
    form = plain_form(theirs, texts_of(THINKING))
    assert form["looked_for"] == ["</think>", "/quiet"]
    assert plain_form(rendering(tmp_path, CHATML)[1], texts_of(CHATML))["looked_for"] == []


COSTLY = {
    "nested loops": "{% for a in range(9999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}" + CHATML,
    "loops behind a few messages": CHATML
    + "{% if messages | length > 3 %}{% for a in range(9999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}",
    "a long text": "{{ 'a' * 400000000 }}" + CHATML,
    "thousands of texts": CHATML + "{% if false %}" + "".join(f"{{{{ 'text {index}' }}}}" for index in range(4000)) + "{% endif %}",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTLY)
def test_a_template_that_costs_too_much_has_no_plain_form_and_stops_nothing(name, tmp_path):
    _, theirs = rendering(tmp_path, COSTLY[name])
    start_s = time.thread_time()
    assert plain_form(theirs, texts_of(COSTLY[name])) is None
    assert time.thread_time() - start_s < 10


def test_a_trace_that_was_set_is_set_again(tmp_path):
    before = sys.gettrace()
    assert plain_form(rendering(tmp_path, CHATML)[1]) is not None and sys.gettrace() is before


def test_a_power_is_seen_in_a_template():
    assert raises_to_powers("{{ 2 ** (10 ** 9) }}") and not raises_to_powers(THINKING + "{# 2 ** 3 #} 2 ** 3 {{ '2 ** 3' }}{{ 2 * 3 }}")


def test_a_template_with_as_many_texts_as_may_be_has_a_plain_form(tmp_path):
    template = CHATML + "{% if false %}" + "".join(f"{{{{ 'text {index}' }}}}" for index in range(MOST_TEXTS - 10)) + "{% endif %}"
    texts = texts_of(template)
    assert MOST_TEXTS - 10 < len(texts) <= MOST_TEXTS and plain_form(rendering(tmp_path, template)[1], texts)["looked_for"] == []


@pytest.mark.parametrize(("opening", "is_golden"), [("", True), ("{{ strftime_now('%d %b %Y') }}", False)])
def test_a_conversation_that_tells_the_date_is_no_golden_text(tmp_path, opening, is_golden):
    make_model(tmp_path, "llama", task="text-generation")
    path, template = tmp_path / "tokenizer_config.json", opening + "{% for each in messages %}{{ each.content }}{% endfor %}"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))
    shown, _ = golden_prompts(gather(Recipe(model=str(tmp_path))), 96)
    assert any("messages" in each for each in shown) is is_golden


def test_what_a_template_refuses_or_must_not_do_is_said(tmp_path):
    errors = device_module().BadInput
    with pytest.raises(errors, match="roles must alternate"):
        rendering(tmp_path, STRICT)[0]([{"role": "assistant", "content": "hi"}])
    with pytest.raises(errors, match="SecurityError"):
        rendering(tmp_path, HOSTILE)[0]([{"role": "user", "content": "hi"}])
    for wrong in ([], "hi", [{"role": "user"}], [{"role": "user", "content": 1}], [["user", "hi"]]):
        with pytest.raises(errors):
            rendering(tmp_path, CHATML)[0](wrong)


def test_a_plain_text_is_a_users_message_and_a_list_is_json():
    assert read_messages("hi") == [{"role": "user", "content": "hi"}]
    assert read_messages('[{"role": "user", "content": "a"}]') == [{"role": "user", "content": "a"}]
    with pytest.raises(EdgepackError, match="not JSON"):
        read_messages('[{"role"')
