"""More texts for a student than few rows hold: parts of them, and copies with masked tokens. Its teacher then says what they mean.

A run of tokens out of a text is a text of the same kind with other contents (n-gram sampling: Tang 2019, "Distilling task-specific
knowledge from BERT into simple neural networks"); so is one with tokens masked (Jiao 2020, TinyBERT, who fills the gaps anew).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.tasks.common.task import Features, Task

_ENOUGH_TEXTS = 3000  # a train split with more is left as it is
_MOST_OF_EACH = 12  # made of one text
_SHORTEST = 2  # tokens, of a run
_MASKED = (0.1, 0.4)  # share of a text's tokens, drawn between these


@dataclass(frozen=True)
class SpecialTokens:
    """Ids that a tokenizer sets around texts, and its mask; None where it has none."""

    ids: frozenset[int]
    mask: int | None


def special_tokens_of(task: Task, tokenizer: Any) -> SpecialTokens | None:
    """None where rows are running text, which is one long text already."""
    if task.joins_rows:
        return None
    return SpecialTokens(frozenset(tokenizer.all_special_ids), tokenizer.mask_token_id)


def stretched(features: Sequence[Features], special: SpecialTokens, with_labels: bool, seed: int) -> list[Features]:
    """Texts to add to `features`; none where they are many. with_labels: only such as a row's labels still hold for, token by token."""
    wanted = min(_ENOUGH_TEXTS - len(features), _MOST_OF_EACH * len(features))
    known, added = {tuple(item.ids) for item in features}, []
    for number in range(max(0, wanted)):
        item, draw = features[number % len(features)], np.random.default_rng((seed, number))
        runs = not with_labels and number // len(features) % 2 == 0
        variant = _run(item, special, draw) if runs else _masked(item, special, draw)
        if variant is not None and tuple(variant.ids) not in known:
            known.add(tuple(variant.ids))
            added.append(variant)
    return added


def _run(item: Features, special: SpecialTokens, draw: np.random.Generator) -> Features | None:
    """A run of the text's tokens between the same special tokens; None of a pair of texts, and of a text that is too short."""
    inner = [at for at, token in enumerate(item.ids) if token not in special.ids]
    if not inner or inner[-1] - inner[0] + 1 != len(inner) or len(inner) <= _SHORTEST:
        return None
    starts = [at for at in inner if not item.words or at == inner[0] or item.words[at] != item.words[at - 1]]
    first = starts[draw.integers(0, len(starts))]
    longest = inner[-1] + 1 - first
    if longest < _SHORTEST:
        return None
    end = first + int(draw.integers(_SHORTEST, longest + 1))
    places = [*range(inner[0]), *range(first, end), *range(inner[-1] + 1, len(item.ids))]
    return Features([item.ids[at] for at in places], [item.type_ids[at] for at in places], item.row)


def _masked(item: Features, special: SpecialTokens, draw: np.random.Generator) -> Features | None:
    """The text with some of its tokens masked. Everything else of it stays, so that it is still the row that it was."""
    if special.mask is None:
        return None
    inner = [at for at, token in enumerate(item.ids) if token not in special.ids]
    count = round(len(inner) * draw.uniform(*_MASKED))
    if count == 0:
        return None
    ids = list(item.ids)
    for at in draw.choice(inner, count, replace=False):
        ids[at] = special.mask
    return Features(ids, item.type_ids, item.row, item.words, item.offsets)
