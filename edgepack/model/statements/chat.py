"""The chat template of a model folder with its special tokens; also as plain data, if that is proved to give the same text.

A platform without jinja2 joins a conversation from that data: what stands before the first message, between two roles and behind the
last. A template that depends on more than the roles (dates, places of messages, tools) has no such form. Where it looks for a text in
messages, as Qwen 3's for </think>, the form says so, and a message that holds this text is refused there.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgepack.model.statements.chat_rendering import Message, Refused, Rendering, Template, rendering, unusable
from edgepack.model.statements.statement_file import read_object

PROVED = 50  # conversations
MOST_TEXTS = 100  # in quotes: each is rendered in 25 conversations
_FILES = ("chat_template.jinja", "tokenizer_config.json")
_SEVERAL = "additional_chat_templates"  # a folder with a file for each name, `default` among them where it counts
_ROLES = ("system", "user", "assistant")
_MARKS = ("Qxa7", "Qxb7", "Qxc7")
_WORDS = (
    "turn on the light", "naïve café", "  blanks at both ends  ", "two\nlines\n", "\n\n", "{{ 7 * 7 }} {% if %}", "北京 서울",
    "\"quoted\" 'so'", "<b>&amp;</b>", "a\tb\\n", "🔥", "x", "[INST] <|im_start|> </s>", "1, 2 and 3.",
)  # fmt: skip

Render = Callable[[list[Message]], str]


def read_chat(folder: Path, load: Callable[[], Any]) -> dict[str, Any]:
    """Fields of the record of answers; empty where the folder has no template. load: the folder's tokenizer.

    EdgepackError: a template that cannot be read, that renders no conversation, or that reaches a limit.
    """
    if not states_chat(folder):
        return {}
    tokenizer = load()
    template = template_of(tokenizer, folder.name)
    if template is None:
        return {}
    with rendering(template) as chats:
        _check_renders(chats, template.place)
        form = None if tells_the_date(template.text) else plain_form(chats.render, texts_of(chats))
    return {"chat_template": template.text, "chat_tokens": template.named_tokens(), "chat_form": form}


def template_of(tokenizer: Any, place: str) -> Template | None:
    """The template that transformers takes where a call names none."""
    text = tokenizer.chat_template
    text = text.get("default") if isinstance(text, dict) else text
    if not text:
        return None
    if not isinstance(text, str):
        raise unusable(place, f"is no text, but a {type(text).__name__}")
    tokens = {
        name: list(map(str, value)) if isinstance(value, list) else str(value) for name, value in tokenizer.special_tokens_map.items()
    }
    return Template(text, tokens, place)


def tells_the_date(template: str) -> bool:
    """Whether the same conversation is another text tomorrow, as with Llama 3.2's template."""
    return "strftime_now" in template


def _check_renders(chats: Rendering, place: str) -> None:
    reason = ""
    for messages in (*conversations(PROVED, with_system=False), *conversations(PROVED, with_system=True)):
        try:
            chats.render(messages)
        except Refused as error:
            reason = reason or str(error)
        else:
            return
    raise unusable(place, f"renders no conversation: {reason}")


def states_chat(folder: Path) -> bool:
    """Whether a folder has a chat template."""
    if (folder / _FILES[0]).is_file() or any((folder / _SEVERAL).glob("*.jinja")):
        return True
    return bool(read_object(folder / _FILES[1]).get("chat_template"))


def texts_of(chats: Rendering) -> list[str]:
    """The texts in quotes that stand in a template, without blanks at their ends: it may look for one of them in a message."""
    texts = (text.strip() for text in chats.texts())
    return [text for text in dict.fromkeys(texts) if text]


def plain_form(render: Render, texts: Sequence[str] = ()) -> dict[str, Any] | None:
    """`render` as data: texts before the first role, between two, and behind the last; and roles whose contents lose outer blanks.

    texts: what the template may look for in messages; those that make another text of one are the form's `looked_for`.
    None where that is not the same on PROVED conversations of every kind, or where not even a user's first message is rendered. Also None
    where the texts are more than MOST_TEXTS.
    """
    if len(texts) > MOST_TEXTS:
        return None
    form: dict[str, Any] = {"first": {}, "between": {}, "last": {}, "trimmed": [], "looked_for": []}
    try:
        _probe(form, render, ["user"])
        _probe(form, render, ["user", "assistant", "user"])
        form["trimmed"] = [role for role in _ROLES if _is_trimmed(render, role)]
    except (Refused, ValueError):  # it then has no form
        return None
    if not _has_system(form, render):
        form["trimmed"] = [role for role in form["trimmed"] if role != "system"]
    form["looked_for"] = [text for text in texts if not _is_same(form, render, _holding(text, "system" in form["first"]))]
    usual = [text for text in texts if not any(each in text for each in form["looked_for"])]
    proofs = conversations(PROVED, "system" in form["first"]) + conversations(PROVED, "system" in form["first"], words=usual)
    return form if _is_same(form, render, proofs) else None


def _is_same(form: dict[str, Any], render: Render, chats: list[list[Message]]) -> bool:
    return all(joined(form, messages) == _rendered(render, messages) for messages in chats)


def _holding(text: str, with_system: bool) -> list[list[Message]]:
    """Conversations in which each role's message is the text, begins with it, ends with it or holds it."""
    roles = [*(["system"] if with_system else []), "user", "assistant", "user"]
    contents = (text, f"{text}\n y", f"x {text}", f"x \n{text} y", f"x{text}\n\ny{text}z")
    others = [{"role": role, "content": "x"} for role in roles]
    chats = [[{"role": role, "content": content} for role in roles] for content in contents]
    for place, role in enumerate(roles):
        chats += [[*others[:place], {"role": role, "content": content}, *others[place + 1 :]] for content in contents]
    return chats


def _has_system(form: dict[str, Any], render: Render) -> bool:
    try:
        _probe(form, render, ["system", "user"])
    except (Refused, ValueError):
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
    except Refused:
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
    except Refused:
        return None


def conversations(count: int, with_system: bool, seed: int = 0, words: Sequence[str] = ()) -> list[list[Message]]:
    """Random ones of one to nine messages, the last a user's; always the same. words: further ones that stand in them."""
    draw = random.Random(seed)
    known = (*_WORDS, *words)
    chats = []
    for _ in range(count):
        roles = ["system"] if with_system and draw.random() < 0.5 else []
        roles += ["user", "assistant"] * draw.randint(0, 4) + ["user"]
        chats.append([{"role": role, "content": " ".join(draw.choices(known, k=draw.randint(1, 3)))} for role in roles])
    return chats
