"""Renders a chat template by the code of a shipped module, in a child process under limits: see core/limited.py."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.limited import Call, OverLimit, limited
from edgepack.ship.load import device_module


def text_of_chat(answers: Mapping[str, Any] | None, messages: Sequence[Mapping[str, str]], place: str) -> str:
    """answers: a pack's. place: of the pack. EdgepackError: no template, or one that refuses the conversation or reaches a limit."""
    module = device_module()
    setting = {"template": (answers or {}).get("chat_template"), "tokens": (answers or {}).get("chat_tokens") or {}}
    try:
        import_module(f"{module.__name__}.chat").check_messages(messages)
        with limited(_answering, setting) as call:
            answer = call({"messages": messages})
    except module.ModuleError as error:
        raise EdgepackError(error.problem, error.fix) from None
    except OverLimit as error:
        raise EdgepackError(f"the chat template of {place} cannot be used, because it {error}", "give a finished prompt") from None
    if "text" in answer:
        return str(answer["text"])
    raise EdgepackError(answer["problem"], answer["fix"])


def by_module(setting: dict[str, Any]) -> Call:
    """In the child. setting: `template` and special `tokens`. A call gives the text, and fails where the template refuses."""
    answering = _answering(setting)

    def text(request: dict[str, Any]) -> str:
        answer = answering(request)
        if "text" not in answer:
            raise ValueError(answer["problem"])
        return str(answer["text"])

    return text


def _answering(setting: dict[str, Any]) -> Call:
    module = device_module()
    chat = import_module(f"{module.__name__}.chat")
    answers = {"chat_template": setting["template"], "chat_tokens": setting["tokens"]}

    def answer(request: dict[str, Any]) -> dict[str, str]:
        try:
            return {"text": chat.rendered(answers, request["messages"])}
        except module.ModuleError as error:
            if isinstance(error.__context__, MemoryError | RecursionError):  # a limit, and no refusal
                raise error.__context__ from None
            return {"problem": error.problem, "fix": error.fix}

    return answer
