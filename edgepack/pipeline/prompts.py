"""A decoder's golden prompts and conversations, which prove that a device renders and tokenizes them as the model's library does."""

from importlib import import_module
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.model.material import Material
from edgepack.model.statements.chat import PROVED, conversations, tells_the_date
from edgepack.ship.load import device_module
from edgepack.tasks.common.task import Features

_PROMPTS, _CHATS = 8, 3
_LONGEST = 48  # tokens: a device reads golden prompts one by one


def golden_prompts(material: Material, max_length: int) -> tuple[list[dict[str, Any]], list[Features]]:
    """What stands beside the ids in a golden line, and the ids, as transformers' tokenizer gives them."""
    tokenizer, longest = material.tokenizer, min(_LONGEST, max_length)
    texts = [row.text for row in material.sample[0] if row.text.strip()]
    prompts: list[tuple[dict[str, Any], list[int]]] = [({"text": text}, tokenizer(text, verbose=False)["input_ids"]) for text in texts]
    prompts = [(shown, ids) for shown, ids in prompts if 1 < len(ids) <= longest][-_PROMPTS:]
    template = _template(material)
    if template and not tells_the_date(template):  # golden ids of a dated conversation would be wrong on the next day
        chats = [(messages, _library_ids(tokenizer, messages)) for messages in conversations(PROVED, with_system=False)]
        prompts += [({"messages": messages}, ids) for messages, ids in chats if ids and len(ids) <= longest][:_CHATS]
    return [shown for shown, _ in prompts], [Features(list(ids), [0] * len(ids), row=index) for index, (_, ids) in enumerate(prompts)]


def prove_chat(material: Material) -> None:
    """EdgepackError where a device's rendering of one of PROVED conversations is not the library's own."""
    if not _template(material):
        return
    module = device_module()
    answers = material.answers.as_json() if material.answers else {}
    for messages in (*conversations(PROVED, with_system=False), *conversations(PROVED, with_system=True)):
        expected = _library_text(material.tokenizer, messages)
        try:
            text = rendered_chat(answers, messages)
        except module.ModuleError:
            text = None
        if text != expected:
            raise EdgepackError(
                f"the chat template of {material.source.name} is rendered differently than "
                f"transformers does it, for example for {messages!r:.200}",
                "remove the chat template from the model's folder, and report the template",
            )


def rendered_chat(answers: dict[str, Any] | None, messages: list[dict[str, str]]) -> str:
    """By the code of a shipped module."""
    return str(import_module(f"{device_module().__name__}.chat").rendered(answers, messages))


def _template(material: Material) -> str | None:
    return getattr(material.answers, "chat_template", None)


def _library_text(tokenizer: Any, messages: list[dict[str, str]]) -> str | None:
    """None where the template refuses the conversation."""
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except Exception:  # a template may fail in any way that Python can
        return None


def _library_ids(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    try:
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    except Exception:  # as above
        return []
    return list(ids)
