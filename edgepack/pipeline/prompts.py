"""A decoder's golden prompts and conversations, which prove that a device renders and tokenizes them as the model's library does."""

from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.model.material import Material
from edgepack.model.statements.chat import PROVED, conversations, tells_the_date, template_of
from edgepack.model.statements.chat_rendering import Message, Refused, Rendering, Template, rendering
from edgepack.ship.chat_rendering import by_module
from edgepack.tasks.common.nasty_texts import NASTY
from edgepack.tasks.common.task import Features

_PROMPTS, _CHATS = 8, 3
_LONGEST = 48  # tokens: a device reads golden prompts one by one


def golden_prompts(material: Material, max_length: int) -> tuple[list[dict[str, Any]], list[Features]]:
    """What stands beside the ids in a golden line, and the ids, as transformers' tokenizer gives them."""
    tokenizer, longest = material.tokenizer, min(_LONGEST, max_length)
    texts = [row.text for row in material.sample[0] if row.text.strip()]
    prompts: list[tuple[dict[str, Any], list[int]]] = [({"text": text}, tokenizer(text, verbose=False)["input_ids"]) for text in texts]
    prompts = [(shown, ids) for shown, ids in prompts if 1 < len(ids) <= longest]
    of_data = [prompt for prompt in prompts if prompt[0]["text"] not in NASTY][-_PROMPTS // 2 :]
    prompts = of_data + [prompt for prompt in prompts if prompt[0]["text"] in NASTY][-(_PROMPTS - len(of_data)) :]
    prompts += _golden_chats(material, longest)
    return [shown for shown, _ in prompts], [Features(list(ids), [0] * len(ids), row=index) for index, (_, ids) in enumerate(prompts)]


def _golden_chats(material: Material, longest: int) -> list[tuple[dict[str, Any], list[int]]]:
    template = _template(material)
    if template is None or tells_the_date(template.text):  # golden ids of a dated conversation would be wrong on the next day
        return []
    chats = []
    with rendering(template) as library:
        for messages in conversations(PROVED, with_system=False):
            text = _text_of(library, messages)
            ids = [] if text is None else list(material.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
            if ids and len(ids) <= longest:
                chats.append(({"messages": messages}, ids))
    return chats[:_CHATS]


def prove_chat(material: Material) -> None:
    """EdgepackError where a device's rendering of one of PROVED conversations is not the library's own."""
    template = _template(material)
    if template is None:
        return
    with rendering(template) as library, rendering(template, by_module) as module:
        for messages in (*conversations(PROVED, with_system=False), *conversations(PROVED, with_system=True)):
            if _text_of(module, messages) != _text_of(library, messages):
                raise EdgepackError(
                    f"the chat template of {material.source.name} is rendered differently than "
                    f"transformers does it, for example for {messages!r:.200}",
                    "remove the chat template from the model's folder, and report the template",
                )


def _template(material: Material) -> Template | None:
    return template_of(material.tokenizer, material.source.name) if getattr(material.answers, "chat_template", None) else None


def _text_of(chats: Rendering, messages: list[Message]) -> str | None:
    """None where the template refuses the conversation."""
    try:
        return chats.render(messages)
    except Refused:
        return None
