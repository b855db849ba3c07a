"""Schemes of tags, recognised from the labels, and the entities that tags state. Pure."""

from collections.abc import Sequence
from typing import Literal

Scheme = Literal["iob1", "iob2", "bioes", "bilou", "bare"]
Span = tuple[int, int, str]  # first word, past the last, type

_MARKS: dict[Scheme, frozenset[str]] = {"bioes": frozenset("BIMES"), "bilou": frozenset("BILU")}
_GO_ON, _OPEN = "IMEL", "BIM"
SHOWN = {
    "iob1": "IOB1 (B- only between two entities of a kind)",
    "iob2": "IOB2 (B- opens every entity)",
    "bioes": "BIOES (E- ends an entity, S- is a whole entity)",
    "bilou": "BILOU (L- ends an entity, U- is a whole entity)",
    "bare": "bare tags (no B- or I-; equal neighbours are one entity)",
}


def scheme_of(labels: Sequence[str]) -> Scheme:
    """BMES counts as BIOES. Labels of which one but O has no mark before a dash are bare."""
    parts = [label.partition("-") for label in labels if label != "O"]
    marks = {mark for mark, _, kind in parts}
    if not parts or not all(kind for _, _, kind in parts):
        return "bare"
    if marks <= {"B", "I"}:
        opened = {kind for mark, _, kind in parts if mark == "B"}
        return "iob2" if {kind for mark, _, kind in parts if mark == "I"} <= opened else "iob1"
    return next((scheme for scheme, known in _MARKS.items() if marks <= known), "bare")


def tags_of(kind: str, count: int, scheme: Scheme, follows_same: bool) -> list[str]:
    """Tags of an entity of `count` words: what spans_of reads as this one. follows_same: an entity of its kind ends just before it."""
    if scheme == "bare":
        return [kind] * count
    single, last = {"bioes": ("S", "E"), "bilou": ("U", "L")}.get(scheme, ("B", "I"))
    first = "I" if scheme == "iob1" and not follows_same else single if count == 1 else "B"
    middle = ["I"] * max(0, count - 2) + [last] * (count > 1)
    return [f"{mark}-{kind}" for mark in (first, *middle)]


def spans_of(tags: Sequence[str], scheme: Scheme = "iob2") -> set[Span]:
    """Entities as (first word, past the last, type). Of bare tags every word but O is one by itself: they say nothing of where one ends."""
    spans, start, last = set(), 0, "O"
    for index, tag in enumerate([*tags, "O"]):
        if last != "O" and not _joins(scheme, last, tag):
            spans.add((start, index, last if scheme == "bare" else last.partition("-")[2]))
            last = "O"
        if last == "O" and _is_entity(scheme, tag):
            start = index
        last = tag if _is_entity(scheme, tag) else "O"
    return spans


def _is_entity(scheme: Scheme, tag: str) -> bool:
    return tag != "O" and (scheme == "bare" or bool(tag.partition("-")[2]))


def _joins(scheme: Scheme, last: str, tag: str) -> bool:
    if scheme == "bare":
        return False
    (mark_before, _, kind_before), (mark, _, kind) = last.partition("-"), tag.partition("-")
    if kind != kind_before:
        return False
    return mark in _GO_ON and mark_before in _OPEN if scheme in _MARKS else mark == "I"


def tag_ids(entities: Sequence[tuple[int | None, int | None, str]], names: Sequence[str], count: int, scheme: Scheme) -> tuple[int, ...]:
    """Ids of the tags of `count` words. entities: the first word, the last word and the kind of each entity."""
    tags = ["O"] * count
    before: tuple[int, str] | None = None
    for first, last, kind in entities:
        if first is not None and last is not None:
            tags[first : last + 1] = tags_of(kind, last + 1 - first, scheme, before == (first, kind))
            before = (last + 1, kind)
    return tuple(tag_id(names, tag) for tag in tags)


def tag_id(names: Sequence[str], tag: str) -> int:
    """Of the model's label, or where it has none with this mark, of one with another mark of the kind; -1: there is none."""
    _, dash, kind = tag.partition("-")
    others = [f"{mark}-{kind}" for mark in ("I", "M", "B")] if dash else []
    return next((names.index(name) for name in (tag, *others) if name in names), -1)
