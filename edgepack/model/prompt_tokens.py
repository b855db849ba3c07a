"""Which tokens a prompt makes at the beginning of a text, for models that leave them out of a text's vector (`include_prompt: false`).

A graph sees token ids alone. It finds the prompt by the ids that a text behind it begins with, whatever the text is.
"""

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.tasks.common.similarity import PromptTokens

_TEXTS = ("", "a", "the light", "1, 2", "Zoë — now", "北京", "\n x", "?!")  # what may stand behind a prompt


def tokens_of_prompts(tokenizer: Any, prompts: Mapping[str, str], place: str) -> dict[str, PromptTokens]:
    """By name, without empty prompts. EdgepackError: the text behind a prompt changes more than its last token, or all is cut away."""
    return {name: _tokens_of(tokenizer, name, text, place) for name, text in prompts.items() if text}


def _tokens_of(tokenizer: Any, name: str, prompt: str, place: str) -> PromptTokens:
    """count: as sentence-transformers has it, of the prompt by itself without a special token at its end."""
    alone = _ids(tokenizer, prompt)
    count = len(alone) - (bool(alone) and alone[-1] in tokenizer.all_special_ids)
    read = [_ids(tokenizer, prompt + text)[:count] for text in _TEXTS]
    begin = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*read, strict=False))]
    if not begin or len(begin) < count - 1:
        raise EdgepackError(
            f"{place} leaves the tokens of prompts out (include_prompt = false), but the tokens of the prompt {name!r} depend on the text "
            "behind it",
            "end the prompt with a blank or a line break, or remove it from config_sentence_transformers.json",
        )
    return PromptTokens(begin=tuple(begin), count=count)


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, truncation=True, verbose=False)["input_ids"])
