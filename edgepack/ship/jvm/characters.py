"""The properties of each character as Hugging Face's tokenizers uses them, so that Java code on any Unicode version agrees.

unicode.json beside this file is made by `python -m edgepack.ship.jvm.characters`: the library itself is asked, over all of
Unicode, because its parts follow Unicode versions of different years. Only grapheme clusters, which it does not show, come from
the package regex. A module carries of it what its tokenizer needs, as characters.json.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

TABLES = Path(__file__).with_name("unicode.json")
_MARK = "\u01c0"  # between characters: a letter that nothing becomes, that becomes nothing, and that no mark grows together with
_HANGUL = range(0xAC00, 0xD7A4)  # composed and decomposed by arithmetic
_WORD_CATEGORIES = "LMN"  # what no word loses at its ends when an app's text is split into words
_PATTERN_CLASSES = (
    *(rf"\p{{{name}}}" for name in ("L", "N", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "P", "S")),
    r"\s",
    *(f"(?i:{letter})" for letter in "stremvld"),
)
GRAPHEMES = {
    "grapheme_control": r"[\p{GCB=Control}\p{GCB=CR}\p{GCB=LF}]",
    "grapheme_extend": r"\p{GCB=Extend}",
    "grapheme_prepend": r"\p{GCB=Prepend}",
    "grapheme_spacing": r"\p{GCB=SpacingMark}",
    "pictographic": r"\p{Extended_Pictographic}",
    "conjunct_consonant": r"\p{InCB=Consonant}",
    "conjunct_linker": r"\p{InCB=Linker}",
    "conjunct_extend": r"\p{InCB=Extend}",
}
_NEEDS = {  # classes, maps, whether the order of marks, whether compositions
    "BertNormalizer": (("bert_removed", "bert_blank", "chinese", "nonspacing"), ("lowercase", "nfd"), True, False),
    "NFC": ((), ("nfd",), True, True),
    "NFD": ((), ("nfd",), True, False),
    "NFKC": ((), ("nfkd",), True, True),
    "NFKD": ((), ("nfkd",), True, False),
    "Lowercase": ((), ("lowercase",), False, False),
    "StripAccents": (("combining",), (), False, False),
    "Precompiled": (tuple(GRAPHEMES), (), False, False),
    "BertPreTokenizer": (("punctuation",), (), False, False),
    "Punctuation": (("punctuation",), (), False, False),
    "Digits": (("numeric",), (), False, False),
    "ByteLevel": ((r"\p{L}", r"\p{N}", r"\s"), (), False, False),
}


def parts_of(content: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A part of a tokenizer.json, or those inside a Sequence one by one."""
    if content is None:
        return
    if content["type"] != "Sequence":
        yield content
        return
    for key in ("normalizers", "pretokenizers", "processors", "decoders"):
        for part in content.get(key, ()):
            yield from parts_of(part)


def characters(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """What characters.json holds for the content of a tokenizer.json, out of what unicode.json holds."""
    tables = json.loads(TABLES.read_text(encoding="utf-8"))
    classes, maps, ordered, composes = {"white_space", "word", "word_blank"}, set(), False, False
    for part in (*parts_of(tokenizer.get("normalizer")), *parts_of(tokenizer.get("pre_tokenizer"))):
        more, mapped, order, compose = _NEEDS.get(part["type"], ((), (), False, False))
        classes |= {*more, *named_classes(part.get("pattern", {}).get("Regex", ""))}
        maps |= set(mapped)
        ordered, composes = ordered or order, composes or compose
    return {
        "classes": {name: tables["classes"][name] for name in sorted(classes)},
        "maps": {name: tables["maps"][name] for name in sorted(maps)},
        "composed": tables["composed"] if composes else [],
        "order": tables["order"] if ordered else [],
    }


def named_classes(expression: str) -> set[str]:
    r"""The classes that a regular expression names: `\p{L}`, `\s`, and for each letter inside `(?i:...)` that letter in any case."""
    named = {name.replace("S", "s") if name == r"\S" else name for name in re.findall(r"\\p\{\w+\}|\\[sS]", expression)}
    for group in re.findall(r"\(\?i:([^()]*)\)", expression):
        named |= {f"(?i:{letter})" for letter in re.sub(r"\\[pP]\{\w+\}|\\.", "", group) if letter.isalpha()}
    return named


def tables() -> dict[str, Any]:
    """The content of unicode.json.

    classes: how many code points are outside, inside, outside ... maps: a code point, what it becomes, in turn. composed: a
    composed character, its two parts. order: a mark, its canonical combining class.
    """
    from tokenizers import Regex, normalizers, pre_tokenizers

    everything = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    bert = dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False)
    cleaned = _results(normalizers.BertNormalizer(**bert | {"clean_text": True}), everything)
    spaced = _results(normalizers.BertNormalizer(**bert | {"handle_chinese_chars": True}), everything)
    unaccented = _results(normalizers.BertNormalizer(**bert | {"strip_accents": True}), everything)
    without_marks = _results(normalizers.StripAccents(), everything)
    split = {name: pre_tokenizers.Split(Regex(f"(?:{name})+"), "removed") for name in _PATTERN_CLASSES}
    split |= {"white_space": pre_tokenizers.WhitespaceSplit(), "punctuation": pre_tokenizers.Punctuation("removed")}
    decomposed = _results(normalizers.NFD(), everything)
    classes = {
        "bert_removed": (character for character, clean in zip(everything, cleaned, strict=True) if not clean),
        "bert_blank": (character for character, clean in zip(everything, cleaned, strict=True) if clean == " "),
        "chinese": (character for character, space in zip(everything, spaced, strict=True) if space != character),
        "nonspacing": (character for character, bare in zip(everything, unaccented, strict=True) if not bare),
        "combining": (character for character, bare in zip(everything, without_marks, strict=True) if not bare),
        "numeric": _set_apart(pre_tokenizers.Digits(individual_digits=True), everything),
        "word_blank": (character for character in everything if character.isspace()),
        "word": (character for character in everything if unicodedata.category(character)[0] in _WORD_CATEGORIES),
        **{name: _left_out(splitter, everything) for name, splitter in split.items()},
        **{name: _matching(pattern, everything) for name, pattern in GRAPHEMES.items()},
    }
    return {
        "classes": {name: _runs(members) for name, members in sorted(classes.items())},
        "maps": {
            "lowercase": _changed(_results(normalizers.Lowercase(), everything), everything),
            "nfd": _changed(decomposed, everything),
            "nfkd": _changed(_results(normalizers.NFKD(), everything), everything),
        },
        "composed": _compositions(decomposed, everything),
        "order": _orders(everything),
    }


def _results(normalizer: Any, everything: list[str]) -> list[str]:
    """What each character alone becomes."""
    asked = _MARK.join("q" if character == _MARK else character for character in everything)
    cleaned = normalizer.normalize_str(asked).split(_MARK)
    assert len(cleaned) == len(everything)
    return [_MARK if character == _MARK else result for character, result in zip(everything, cleaned, strict=True)]


def _left_out(pre_tokenizer: Any, everything: list[str]) -> Iterator[str]:
    present = bytearray(len(everything))
    for _, (start, end) in pre_tokenizer.pre_tokenize_str("".join(everything)):
        present[start:end] = b"\1" * (end - start)
    return (character for character, there in zip(everything, present, strict=True) if not there)


def _set_apart(pre_tokenizer: Any, everything: list[str]) -> Iterator[str]:
    """Characters that become pieces of their own, each asked between two others that do not."""
    pieces = pre_tokenizer.pre_tokenize_str("".join(f"{character}qq" for character in everything))
    return (piece for piece, _ in pieces if len(piece) == 1)


def _changed(results: list[str], everything: list[str]) -> list[int | str]:
    changed = (pair for pair in zip(everything, results, strict=True) if pair[0] != pair[1] and ord(pair[0]) not in _HANGUL)
    return [entry for character, result in changed for entry in (ord(character), result)]


def _orders(everything: list[str]) -> list[int]:
    """Every mark with its class, found by where normalization puts it among marks whose classes are known."""
    from tokenizers import normalizers

    nfd = normalizers.NFD()
    known = sorted((unicodedata.combining(character), character) for character in everything if unicodedata.combining(character))
    steps = [next(group) for _, group in groupby(known, key=lambda entry: entry[0])]
    marks = {*_moved(nfd, everything, "", steps[0][1]), *_moved(nfd, everything, steps[-1][1], "")}
    pairs: list[int] = []
    for mark in sorted(marks):
        behind = sum(nfd.normalize_str(mark + step) == mark + step for _, step in steps)  # classes that may follow it
        pairs += [ord(mark), steps[len(steps) - behind][0]]
    return pairs


def _moved(nfd: Any, everything: list[str], before: str, behind: str) -> Iterator[str]:
    """Characters that change places with the mark before or behind them: only marks do."""
    texts = [before + ("q" if character == _MARK else character) + behind for character in everything]
    for character, text, result in zip(everything, texts, nfd.normalize_str(_MARK.join(texts)).split(_MARK), strict=True):
        if result == text[::-1] != text:
            yield character


def _compositions(decomposed: list[str], everything: list[str]) -> list[int | str]:
    from tokenizers import normalizers

    nfc = normalizers.NFC()
    composed: list[int | str] = []
    for character, parts in zip(everything, decomposed, strict=True):
        if len(parts) < 2 or ord(character) in _HANGUL:
            continue
        pair = nfc.normalize_str(parts[:-1]) + parts[-1]
        if len(pair) == 2 and nfc.normalize_str(pair) == character:
            composed += [ord(character), pair]
    return composed


def _matching(pattern: str, everything: list[str]) -> Iterable[str]:
    import regex

    return regex.findall(pattern, "".join(everything))


def _runs(members: Iterable[str]) -> list[int]:
    runs, at = [], 0
    codes = sorted({ord(member) for member in members})
    for _, group in groupby(enumerate(codes), key=lambda entry: entry[1] - entry[0]):
        run = [code for _, code in group]
        runs += [run[0] - at, len(run)]
        at = run[-1] + 1
    return runs


def write_tables() -> None:
    """One line for each class and map, so that a change of the library can be read as a change of lines."""
    content = tables()

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"))

    named = {part: ",\n".join(f"{json.dumps(name)}:{line(value)}" for name, value in content[part].items()) for part in ("classes", "maps")}
    rest = ",\n".join(f'"{part}":{line(content[part])}' for part in ("composed", "order"))
    TABLES.write_text(f'{{"classes":{{\n{named["classes"]}}},\n"maps":{{\n{named["maps"]}}},\n{rest}}}\n', encoding="utf-8")


if __name__ == "__main__":
    write_tables()
