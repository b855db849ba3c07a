"""Chat templates: a module's rendering and the plain form for Java, against transformers' apply_chat_template."""

import json
import time
from importlib import import_module

import pytest
from small import make_model, make_tokenizer

from edgepack.core.errors import EdgepackError
from edgepack.model.material import gather
from edgepack.model.statements.chat import MOST_TEXTS, PROVED, conversations, joined, plain_form, read_chat, texts_of
from edgepack.model.statements.chat_rendering import Refused, Template
from edgepack.model.statements.chat_rendering import rendering as limited_rendering
from edgepack.pipeline.prompts import golden_prompts, prove_chat
from edgepack.plan.recipe import Recipe
from edgepack.ship.chat_rendering import by_module, text_of_chat
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


TOKENS = {"bos_token": "[CLS]", "eos_token": "[SEP]"}
SAYS = [{"role": "user", "content": "hi"}]


def form_of(template):
    """The plain form of a template, by the library's rendering in a child process."""
    with limited_rendering(Template(template, TOKENS, "a model")) as chats:
        return plain_form(chats.render, texts_of(chats))


def rendering(tmp_path, template):
    """The module's way and the library's, each as a function of messages."""
    tokenizer = make_tokenizer(tmp_path)
    tokenizer.add_special_tokens(TOKENS)
    tokenizer.chat_template = template
    module = import_module(f"{device_module().__name__}.chat")
    answers = {"chat_template": template, "chat_tokens": TOKENS}
    return (
        lambda messages: module.rendered(answers, messages),
        lambda messages: tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True),
    )


@pytest.mark.parametrize("template", [CHATML, LLAMA, STRICT, NUMBERED, DATED], ids=["chatml", "llama", "strict", "numbered", "dated"])
def test_a_module_renders_as_transformers(tmp_path, template):
    ours, theirs = rendering(tmp_path, template)
    stated = Template(template, TOKENS, "a model")
    with limited_rendering(stated) as library, limited_rendering(stated, by_module) as module:
        for messages in conversations(PROVED, with_system=template in {CHATML, LLAMA}):
            assert ours(messages) == theirs(messages) == library.render(messages) == module.render(messages)


@pytest.mark.parametrize(("template", "has_form"), [(CHATML, True), (LLAMA, True), (STRICT, True), (NUMBERED, False)])
def test_a_plain_form_is_proved_or_there_is_none(tmp_path, template, has_form):
    _, theirs = rendering(tmp_path, template)
    form = form_of(template)
    assert (form is not None) == has_form
    if form:
        fresh = conversations(40, "system" in form["first"], seed=7)
        assert [joined(form, messages) for messages in fresh] == [theirs(messages) for messages in fresh]
        assert ("system" in form["first"]) == (template is not STRICT)


def test_a_plain_form_names_the_texts_that_a_template_looks_for_in_messages():
    assert form_of(THINKING)["looked_for"] == ["</think>", "/quiet"]
    assert form_of(CHATML)["looked_for"] == []


def test_a_template_with_thousands_of_texts_has_no_plain_form():
    many = "".join(f"{{{{ 'text {index}' }}}}" for index in range(4000))
    assert form_of(CHATML + "{% if false %}" + many + "{% endif %}") is None


def test_a_template_with_as_many_texts_as_may_be_has_a_plain_form():
    assert form_of(CHATML + "{% if false %}" + "".join(f"{{{{ 'text {index}' }}}}" for index in range(MOST_TEXTS - 10)) + "{% endif %}")


LOOPS = "{% for a in range(9999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
COSTLY = {
    "nested loops": (LOOPS + CHATML, "takes more than 5 s of computing"),
    "loops behind a few messages": (CHATML + "{% if messages | length > 3 %}" + LOOPS + "{% endif %}", "takes more than 5 s of computing"),
    "a power": ("{{ (2 ** (10 ** 9)) % 7 ** (10 ** 9) }}" + CHATML, "takes more than|no conversation"),
    "a long text": ("{{ 'a' * 100000000 }}" + CHATML, "gives more than 1,000,000 characters|MB of memory"),
    "more memory than there is": ("{{ ('a' * 100000000000) | length }}" + CHATML, "takes more than 500 MB of memory"),
    "a text that doubles": (
        "{% set n = namespace(t='a') %}{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}" + CHATML,
        "takes more than 500 MB of memory",
    ),
    "a wide field": ("{{ '%099999999999d' % 1 }}" + CHATML, "MB of memory|no conversation"),
    "a macro that calls itself": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}" + CHATML, "calls itself without an end"),
    "deep brackets": ("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}" + CHATML, "nested too deeply|no conversation"),
    "deep blocks": ("{% if true %}" * 3000 + CHATML + "{% endif %}" * 3000, "nested too deeply|no conversation"),
    "a loop of a loop": ("{% for i in range(1000000000) %}{% endfor %}" + CHATML, "no conversation: OverflowError"),
    "no end of a block": ("{% for message in messages %}{{ message.content }}", "no conversation: TemplateSyntaxError"),
    "no such character": ("{{ ` }}" + CHATML, "no conversation: TemplateSyntaxError"),
    "a number of many digits": ("{{ " + "9" * 9000 + " }}" + CHATML, "no conversation: ValueError|cannot be read"),
    "a megabyte": (CHATML + "{# " + "a" * 1_000_000 + " #}", "has 1,000,2"),
    "no conversation": ("{{ raise_exception('not today') }}", "renders no conversation: TemplateError: not today"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTLY)
def test_a_template_that_costs_too_much_or_is_none_is_refused_by_name(name, tmp_path):
    template, reason = COSTLY[name]
    tokenizer = make_tokenizer(tmp_path)
    tokenizer.chat_template = template
    (tmp_path / "chat_template.jinja").write_text(template)
    start_s = time.monotonic()
    with pytest.raises(EdgepackError, match=f"chat template of {tmp_path.name}.* ({reason})"):
        read_chat(tmp_path, lambda: tokenizer)
    assert time.monotonic() - start_s < 110  # beside other work; 5 s of computing


@pytest.mark.parametrize("name", ["a macro that calls itself", "a wide field"])
def test_a_stranger_s_pack_renders_under_the_same_limits(name):
    template, reason = COSTLY[name]
    with pytest.raises(EdgepackError, match=f"chat template of a pack cannot be used, because it .*({reason})"):
        text_of_chat({"chat_template": template}, SAYS, "a pack")


ROUNDS, CHARACTERS = "more than 1,000,000 rounds of its loops", "more than 100,000,000 characters"
COSTLY_IN_AN_APP = {
    "nested loops": (LOOPS, ROUNDS),
    "a macro that calls itself twice": (
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}", ROUNDS,
    ),
    "loops in a block": ("{% generation %}" + LOOPS + "{% endgeneration %}", ROUNDS),
    "a text that doubles by ~": ("{% set n = namespace(t='a') %}{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}", CHARACTERS),
    "a text that doubles by +": ("{% set n = namespace(t='a') %}{% for i in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}", CHARACTERS),
    "a text that doubles by a block": (
        "{% set n = namespace(t='a') %}{% for i in range(60) %}{% set n.t %}{{ n.t }}{{ n.t }}{% endset %}{% endfor %}", CHARACTERS,
    ),
    "its own text in a loop": ("{% for a in range(9999) %}{% for b in range(99) %}" + "x" * 999 + "{% endfor %}{% endfor %}", CHARACTERS),
    "a long text": ("{{ 'a' * 100000000000 }}", CHARACTERS),
    "a long list": ("{{ ([1] * 100000000000) | length }}", CHARACTERS),
    "a power": ("{{ 2 ** (10 ** 9) }}", CHARACTERS),
    "a number that is squared": ("{% set n = namespace(t=3) %}{% for i in range(60) %}{% set n.t = n.t * n.t %}{% endfor %}", CHARACTERS),
    "constants": ("{{ " + " * ".join(["10"] * 9) + " * 'a' }}", CHARACTERS),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTLY_IN_AN_APP)
def test_an_app_s_module_ends_a_rendering_that_costs_too_much_and_answers_again(name):
    """In the app's own process, where nothing else could end it."""
    module = import_module(f"{device_module().__name__}.chat")
    template, reason = COSTLY_IN_AN_APP[name]
    only_then = "{% if messages | length > 1 %}" + template + "{% endif %}ok"
    for _ in range(2):
        with pytest.raises(device_module().BadInput, match=f"chat template cannot be used, because it .*{reason}"):
            module.rendered({"chat_template": only_then}, SAYS * 2)
        assert module.rendered({"chat_template": only_then}, SAYS) == "ok"


def test_a_template_cannot_take_the_count_s_place():
    template = "{% set step = 1 %}{% set joined = 1 %}{% set environment = 1 %}{% macro count() %}{% endmacro %}" + LOOPS
    module = import_module(f"{device_module().__name__}.chat")
    with pytest.raises(device_module().BadInput, match=ROUNDS):
        module.rendered({"chat_template": template}, SAYS)


def test_a_long_conversation_that_a_template_joins_again_and_again_is_within_the_limits():
    module = import_module(f"{device_module().__name__}.chat")
    template = "{% set n = namespace(t='') %}{% for m in messages %}{% set n.t = n.t + m.content ~ '|' %}{% endfor %}{{ n.t }}"
    messages = [{"role": "user", "content": "a" * 200}] * 500
    assert module.rendered({"chat_template": template}, messages) == ("a" * 200 + "|") * 500


def test_a_template_that_costs_too_much_is_refused_wherever_it_is_rendered(tmp_path):
    """Also where it tells the date, and where the answers were read before."""
    make_model(tmp_path, "llama", task="text-generation")
    (tmp_path / "chat_template.jinja").write_text(CHATML)
    material = gather(Recipe(model=str(tmp_path)))
    material.tokenizer.chat_template = COSTLY["a text that doubles"][0]
    for step in (prove_chat, lambda known: golden_prompts(known, 96)):
        with pytest.raises(EdgepackError, match="chat template of .* cannot be used, because it takes more than 500 MB"):
            step(material)
    (tmp_path / "chat_template.jinja").write_text("{{ strftime_now('%Y') }}" + COSTLY["a text that doubles"][0])
    with pytest.raises(EdgepackError, match="cannot be used, because it takes more than 500 MB"):
        gather(Recipe(model=str(tmp_path)))


def test_once_a_limit_is_reached_every_later_conversation_is_refused():
    with limited_rendering(Template("{{ 'a' * (2000000 if messages[0].content == 'x' else 1) }}", {}, "a model")) as chats:
        assert chats.render(SAYS) == "a"
        for messages in ([{"role": "user", "content": "x"}], SAYS):
            with pytest.raises(EdgepackError, match="gives more than"):
                chats.render(messages)


def test_a_conversation_that_a_template_refuses_ends_no_rendering():
    with limited_rendering(Template(STRICT, {}, "a model")) as chats:
        with pytest.raises(Refused, match="roles must alternate"):
            chats.render([{"role": "assistant", "content": "hi"}])
        assert chats.render(SAYS) == "[user]hi"


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
