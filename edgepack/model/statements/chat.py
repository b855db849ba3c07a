"""The chat template of a model folder with its special tokens; also as plain data, if that is proved to give the same text.

A platform without jinja2 joins a conversation from that data: what stands before the first message, between two roles and behind the
last. A template that depends on more than the roles (dates, places of messages, tools) has no such form.
"""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepack.model.statements.statement_file import read_object

PROVED = 50  # conversations
_FILES = ("chat_template.jinja", "tokenizer_config.json")
_ROLES = ("system", "user", "assistant")
_MARKS = ("Qxa7", "Qxb7", "Qxc7")
_WORDS = (
    "turn on the light", "naïve café", "  blanks at both ends  ", "two\nlines\n", "\n\n", "{{ 7 * 7 }} {% if %}", "北京 서울",
    "\"quoted\" 'so'", "<b>&amp;</b>", "a\tb\\n", "🔥", "x", "[INST] <|im_start|> </s>", "1, 2 and 3.",
)  # fmt: skip

Message = dict[str, str]
Render = Callable[[list[Message]], str]


def read_chat(folder: Path, load: Callable[[], Any]) -> dict[str, Any]:
    """Fields of the record of answers; empty where the folder has no template. load: the folder's tokenizer."""
    if not _states_one(folder):
        return {}
    tokenizer = load()
    template = tokenizer.chat_template
    template = template.get("default") if isinstance(template, dict) else template
    if not template:
        return {}
    named = {name: value for name, value in tokenizer.special_tokens_map.items() if re.search(rf"\b{re.escape(name)}\b", template)}

    def render(messages: list[Message]) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    return {"chat_template": template, "chat_tokens": named, "chat_form": None if tells_the_date(template) else plain_form(render)}


def tells_the_date(template: str) -> bool:
    """Whether the same conversation is another text tomorrow, as with Llama 3.2's template."""
    return "strftime_now" in template


def _states_one(folder: Path) -> bool:
    if (folder / _FILES[0]).is_file():
        return True
    return bool(read_object(folder / _FILES[1]).get("chat_template"))


def plain_form(render: Render) -> dict[str, Any] | None:
    """`render` as data: texts before the first role, between two, and behind the last; and roles whose contents lose outer blanks.

    None where that is not the same on PROVED conversations of every kind, or where not even a user's first message is rendered.
    """
    form: dict[str, Any] = {"first": {}, "between": {}, "last": {}, "trimmed": []}
    try:
        _probe(form, render, ["user"])
        _probe(form, render, ["user", "assistant", "user"])
        form["trimmed"] = [role for role in _ROLES if _is_trimmed(render, role)]
    except Exception:  # a template may refuse in any way; it then has no form
        return None
    if not _has_system(form, render):
        form["trimmed"] = [role for role in form["trimmed"] if role != "system"]
    same = all(joined(form, messages) == _rendered(render, messages) for messages in conversations(PROVED, "system" in form["first"]))
    return form if same else None


def _has_system(form: dict[str, Any], render: Render) -> bool:
    try:
        _probe(form, render, ["system", "user"])
    except Exception:
        return False
    return True


def _probe(form: dict[str, Any], render: Render, roles: list[str]) -> None:
    """Fills in what stands around the messages of these roles. ValueError: a message is not there, or not in its place."""
    marks = _MARKS[: len(roles)]
    text = render([{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)])
    rest = text
    for index, (role, mark) in enumerate(zip(roles, marks, strict=True)):
        before, mark_there, rest = rest.partition(mark)
        if not mark_there or text.count(mark) != 1:
            raise ValueError(f"a message of the {role} is not in its place")
        if index == 0:
            form["first"][role] = before
        else:
            form["between"][f"{roles[index - 1]} {role}"] = before
    form["last"][roles[-1]] = rest


def _is_trimmed(render: Render, role: str) -> bool:
    """Whether blanks at the ends of a role's messages are left out."""
    others: dict[str, list[str]] = {"system": ["system", "user"], "user": ["user"], "assistant": ["user", "assistant", "user"]}
    try:
        text = render([{"role": each, "content": f" \n{_MARKS[0]} \n" if each == role else "y"} for each in others[role]])
    except Exception:
        if role == "system":
            return False
        raise
    return f" \n{_MARKS[0]} \n" not in text


def joined(form: dict[str, Any], messages: list[Message]) -> str | None:
    """A conversation by a plain form, as devices join it; None where the form does not know its roles."""
    text, before = "", ""
    for message in messages:
        role = message["role"]
        opening = form["between"].get(f"{before} {role}") if before else form["first"].get(role)
        if opening is None:
            return None
        text += opening + (message["content"].strip() if role in form["trimmed"] else message["content"])
        before = role
    ending = form["last"].get(before)
    return None if ending is None else text + ending


def _rendered(render: Render, messages: list[Message]) -> str | None:
    try:
        return render(messages)
    except Exception:
        return None


def conversations(count: int, with_system: bool, seed: int = 0) -> list[list[Message]]:
    """Random ones of one to nine messages, the last a user's; always the same."""
    draw = random.Random(seed)
    chats = []
    for _ in range(count):
        roles = ["system"] if with_system and draw.random() < 0.5 else []
        roles += ["user", "assistant"] * draw.randint(0, 4) + ["user"]
        chats.append([{"role": role, "content": " ".join(draw.choices(_WORDS, k=draw.randint(1, 3)))} for role in roles])
    return chats
