"""What a README asks a pack: a text of the pack's own golden vectors, in the language of its data, or else the task's example."""

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgepack.pack.golden import asks_pairs, read_golden
from edgepack.tasks import task_named
from edgepack.tasks.common.nasty_texts import NASTY

Question = tuple[tuple[str, str], ...]  # the inputs' names and texts

_LONGEST, _USUAL = (120, 240), 40  # characters: of a first and a second text at most, and of a first text that reads well
_BEGINNING = 5  # words of a text that a model goes on from
_MARKS = frozenset(" ,.?¿;:-()、。，？！；：（）؟।")  # others mean something in a shell, in JSON or in a string of some language


def question_of(pack: Path, task_name: str, answers: Mapping[str, Any] | None, labels: int) -> tuple[Question, str]:
    """What to ask, and the field of the answer to look at. answers: as the pack states them; labels: how many it has."""
    task = task_named(task_name)
    example, field = task.call_of(answers, labels, asks_pairs(pack))
    texts = best_texts(pack, len(example))
    if not texts:
        return example, field
    first = _beginning(texts[0]) if task.decodes else texts[0]
    return tuple(zip((name for name, _ in example), (first, *texts[1:]), strict=True)), field


def best_texts(pack: Path, count: int) -> tuple[str, ...]:
    """The texts of the pack's data that read best, `count` for one call; empty where its golden vectors hold none that is plain."""
    golden = read_golden(pack) if (pack / "golden.jsonl").is_file() else []
    ranked = [(_rank(entry, texts), texts) for entry in golden if (texts := texts_of(entry)) and _is_fit(texts, count)]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else ()


def texts_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a golden vector: its text, and a second one where it has one. Its fields come from data that anybody wrote: what is no text
    is left out, and so are texts that every build tries."""
    words = entry.get("words")
    first = " ".join(map(str, words)) if isinstance(words, list) and words else entry.get("text")
    second = entry.get("text_pair")
    if not isinstance(first, str) or not first.strip():
        return ()
    texts = (first, second) if isinstance(second, str) and second else (first,)
    return () if any(text.split() == nasty.split() for text in texts for nasty in _VARIANTS) else texts


def _variants() -> Iterator[str]:
    """As they stand, and as a task of words splits them into characters."""
    for text in NASTY:
        yield text
        yield " ".join(character for character in text if not character.isspace())


_VARIANTS = tuple(_variants())


def _is_fit(texts: tuple[str, ...], count: int) -> bool:
    fits = all(len(text) <= most and _is_plain(text) for text, most in zip(texts, _LONGEST, strict=False))
    return len(texts) == count and fits


def _is_plain(text: str) -> bool:
    """Whether a text stands as it is in a shell, in JSON and in a string of every language, on one line."""
    kinds = [unicodedata.category(character)[0] for character in text]
    return "L" in kinds and all(kind in "LMN" or character in _MARKS for kind, character in zip(kinds, text, strict=True))


def _rank(entry: Mapping[str, Any], texts: tuple[str, ...]) -> tuple[bool, bool, int]:
    """Lower is better: an answer that says something, a text that stands as people write it, of a usual length."""
    answer = entry.get("answer") or {}
    says_nothing = any(value in ("", []) for value in answer.values()) if isinstance(answer, Mapping) else True
    return says_nothing, "words" in entry, abs(len(texts[0]) - _USUAL)


def _beginning(text: str) -> str:
    words = text.split()
    return text if len(text) <= _USUAL else " ".join(words[:_BEGINNING])[:_USUAL].rstrip()
