"""A conversation becomes the text that the model was trained on: its own chat template, rendered as transformers renders it.

The template is code that came with the model. It runs in jinja2's sandbox: it reads messages and special tokens, and changes nothing. What
it may cost is limited: see chat_limits.py.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache

from .errors import BadInput, ModuleError, NotText
from .texts import check_text

_HERE = "CONTINUED_FROM_HERE "


def rendered(answers, messages) -> str:
    """The text of a conversation, up to where the model goes on: the place of its answer; of one that it began itself, the end of that.

    That is how transformers' pipeline asks it. answers: the manifest's, with `chat_template` and `chat_tokens`. BadInput: no list of
    messages, or one that the template refuses.
    """
    template = (answers or {}).get("chat_template")
    if not template:
        raise BadInput("the model has no chat template", "give a prompt in place of messages")
    check_messages(messages)
    try:
        compiled, begin = _compiled(template)
        begin()
        further = {"tools": None, "documents": None, **(answers.get("chat_tokens") or {})}
        if messages[-1]["role"] != "assistant":
            return compiled.render(messages=messages, add_generation_prompt=True, **further)
        marked = [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + _HERE}]
        return _up_to_mark(compiled.render(messages=marked, add_generation_prompt=False, **further))
    except _Refusal as error:
        raise BadInput(
            "the chat template refuses the conversation: {}".format(error), "order the messages as the model knows them"
        ) from None
    except TooCostly as error:
        raise BadInput("the chat template cannot be used, because it {}".format(error), "give a finished prompt") from None
    except ModuleError:
        raise
    except Exception as error:  # a template may fail in any way that Python can
        raise BadInput(
            "the chat template fails: {}: {}".format(type(error).__name__, error), "give messages with role and content"
        ) from None


def _up_to_mark(text) -> str:
    """Without the blanks before the mark, where the template cuts those at the end of a message."""
    before, mark, behind = text.rpartition(_HERE.strip())
    if not mark:
        raise BadInput("the chat template leaves out what the model said last, so it cannot go on there", "end with another message")
    return before if behind.startswith(" ") else before.rstrip()


def check_messages(messages) -> None:
    if not isinstance(messages, (list, tuple)) or not messages:
        raise BadInput("the messages are no list", 'give [{"role": "user", "content": "..."}]')
    for message in messages:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise BadInput("a message has other keys than role and content", 'give [{"role": "user", "content": "..."}]')
        for key in ("role", "content"):
            try:
                check_text(message[key], "a message's " + key)
            except NotText as error:
                raise BadInput(error.problem, error.fix) from None


class TooCostly(Exception):
    """A rendering went over a limit."""


class _Refusal(Exception):
    """What a template says with raise_exception."""


def _refuse(message):
    raise _Refusal(message)


@lru_cache(maxsize=8)
def _compiled(template):
    try:
        from jinja2.ext import loopcontrols

        from .chat_limits import LimitedSandbox, begin
    except ImportError:
        raise ModuleError("jinja2 is not installed, which a chat template needs", "pip install -r requirements.txt") from None
    environment = LimitedSandbox([loopcontrols, _generation_block()])
    environment.filters["tojson"] = _as_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    environment.globals["dict"] = _Dict()
    environment.globals["namespace"] = _namespace()
    return environment.template_of(template), begin


def _as_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class _Dict:
    """dict(...) without what a class has: a template gets no hold of it."""

    def __call__(self, *values, **named):
        return dict(*values, **named)

    def fromkeys(self, *values):
        return dict.fromkeys(*values)


def _namespace():
    from jinja2.exceptions import SecurityError
    from jinja2.utils import Namespace

    class Safe(Namespace):
        """A namespace whose attributes are a template's own: none that begins with _."""

        def __init__(*values, **named):
            self, values = values[0], values[1:]
            stated = dict(*values, **named)
            for name in stated:
                Safe._check(name)
            Namespace.__init__(self, stated)

        def __setitem__(self, name, value):
            Safe._check(name)
            Namespace.__setitem__(self, name, value)

        @staticmethod
        def _check(name):
            if isinstance(name, str) and name.startswith("_"):
                raise SecurityError("a template may not set {!r}".format(name))

    return Safe


def _generation_block():
    """{% generation %} marks the model's own words for training; it changes no text."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = frozenset({"generation"})

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return nodes.CallBlock(self.call_method("_same", []), [], [], body).set_lineno(line)

        def _same(self, caller):
            return caller()

    return Generation
