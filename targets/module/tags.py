"""Tags of tokens become entities: as transformers' token-classification pipeline forms them, or by the scheme of tags that have an end.

Says nothing of texts and models: positions and scores in, entities out. The same as Tags.java and tags.js.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

OLDER = {"strategy": "first", "scheme": "iob2", "words": "white-space", "subword_prefix": False, "unk_id": None, "ignore": ["O"]}
_HAVE_ENDS = ("bioes", "bilou")
_GO_ON, _OPEN = ("I", "M", "E", "L"), ("B", "I", "M")


@dataclass(frozen=True)
class Unit:
    """A token, or a word: its place in the text, its scores [labels] and whether it belongs to the word before."""

    start: int
    end: int
    scores: Any
    continues: bool = False


def entities(units, labels, answers) -> list:
    """(kind, start, end, score) of units in order. answers: strategy, scheme and the labels to leave out, as the pack states them."""
    strategy = answers["strategy"]
    if strategy in ("first", "average", "max"):
        units = [_word(group, strategy) for group in _words(units)]
    tagged = [(labels[int(unit.scores.argmax())], unit, float(unit.scores.max())) for unit in units]
    if strategy == "none":
        return [(tag, unit.start, unit.end, score) for tag, unit, score in tagged if tag not in answers["ignore"]]
    results = [_entity(group) for group in _groups(tagged, answers["scheme"])]
    return [each for each in results if each[0] not in answers["ignore"]]


def _words(units):
    groups = []
    for unit in units:
        if groups and unit.continues:
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return groups


def _word(group, strategy) -> Unit:
    """first: the scores of the first token; max: of the surest; average: the mean of all."""
    if strategy == "first":
        scores = group[0].scores
    elif strategy == "max":
        scores = max(group, key=lambda unit: unit.scores.max()).scores
    else:
        scores = np.mean([unit.scores for unit in group], axis=0)
    return Unit(group[0].start, group[-1].end, scores)


def _groups(tagged, scheme):
    groups = []
    for each in tagged:
        if groups and joins(scheme, groups[-1][-1][0], each[0]):
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def joins(scheme: str, last: str, tag: str) -> bool:
    """Whether a tag goes on with the entity of the tag before it."""
    if scheme in _HAVE_ENDS:
        (mark_before, _, kind_before), (mark, _, kind) = last.partition("-"), tag.partition("-")
        return kind == kind_before and mark in _GO_ON and mark_before in _OPEN
    return not tag.startswith("B-") and _kind(last) == _kind(tag)


def _kind(tag: str) -> str:
    return tag[2:] if tag.startswith(("B-", "I-")) else tag


def _entity(group) -> tuple:
    name = group[0][0].split("-", 1)[-1]
    return name, group[0][1].start, group[-1][1].end, float(np.mean([score for _, _, score in group]))


def continues_word(text: str, start: int, end: int, token: str, token_id: int, answers) -> bool:
    """Whether a token belongs to the word before, as the pipeline finds it: by the tokens' own mark of it, or by the blank before."""
    if token_id == answers["unk_id"]:
        return False
    if answers["subword_prefix"]:
        return len(token) != end - start
    return start > 0 and " " not in text[start - 1 : start + 1]
