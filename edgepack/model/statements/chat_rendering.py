"""Renders a model folder's chat template as transformers does, under limits: it is a program that came with the model."""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.limited import CHARACTERS, Call, Failed, OverLimit, limited

_FIX = "correct the chat template, or remove it from the model's folder: chat_template.jinja, or the key in tokenizer_config.json"

Message = dict[str, str]


class Refused(Exception):
    """The template renders no text of this conversation."""


@dataclass(frozen=True)
class Template:
    """tokens: the special tokens that it may name. place: of the folder, for messages."""

    text: str
    tokens: dict[str, str | list[str]]
    place: str

    def named_tokens(self) -> dict[str, str | list[str]]:
        return {name: value for name, value in self.tokens.items() if re.search(rf"\b{re.escape(name)}\b", self.text)}


@dataclass(frozen=True)
class Rendering:
    """render: a conversation's text, or Refused. texts: those in quotes in the template. EdgepackError where a limit is reached."""

    render: Callable[[list[Message]], str]
    texts: Callable[[], list[str]]


@contextlib.contextmanager
def rendering(template: Template, maker: Callable[[Any], Call] | None = None) -> Iterator[Rendering]:
    """maker: what renders, in place of transformers: see `by_library`. EdgepackError: a template that is no template."""
    if len(template.text) > CHARACTERS:
        raise unusable(template.place, f"has {len(template.text):,} characters, more than {CHARACTERS:,}")
    with limited(maker or by_library, {"template": template.text, "tokens": template.tokens}) as call:

        def ask(request: dict[str, Any]) -> Any:
            try:
                return call(request)
            except OverLimit as error:
                raise unusable(template.place, f"cannot be used, because it {error}") from None

        def render(messages: list[Message]) -> str:
            try:
                return str(ask({"messages": messages}))
            except Failed as error:
                raise Refused(str(error)) from None

        def texts() -> list[str]:
            try:
                return list(ask({"texts": True}))
            except Failed as error:
                raise unusable(template.place, f"cannot be read: {error}") from None

        yield Rendering(render, texts)


def unusable(place: str, reason: str) -> EdgepackError:
    return EdgepackError(f"the chat template of {place} {reason}", _FIX)


def by_library(setting: dict[str, Any]) -> Call:
    """In the child: transformers' own rendering, as `apply_chat_template` calls it; without torch, which it does not need."""
    from jinja2 import Environment
    from transformers.utils.chat_template_utils import render_jinja_template

    template, tokens = setting["template"], setting["tokens"]

    def answer(request: dict[str, Any]) -> Any:
        if "texts" in request:
            return [str(token.value) for token in Environment().lexer.tokenize(template) if token.type == "string"]
        return render_jinja_template([request["messages"]], chat_template=template, add_generation_prompt=True, **tokens)[0][0]

    return answer
