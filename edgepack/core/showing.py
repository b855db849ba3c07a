"""Shows values of strangers in messages: without control characters, and cut where they are long."""

import re
from typing import Any

# What moves the cursor, ends a line, or turns the order of what stands around it: shown as its number, in every language.
HIDDEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff"
MOST_CHARACTERS = 80  # of one value in a message

_HIDDEN = re.compile(f"[{HIDDEN}]")
_LONGEST_MESSAGE = 6000
LONGEST_QUOTED = 300  # a path may be as long; what is longer is a value that nobody reads to its end
_QUOTED = re.compile(rf"""(['"])((?:(?!\1)[^\\\n]|\\.){{{LONGEST_QUOTED},}})\1""")
_UNBROKEN = re.compile(rf"\S{{{LONGEST_QUOTED + 1},}}")  # a path that no quotes stand around


def visible_lines(text: str) -> str:
    """The same text with its lines, where a character that moves or hides others is replaced by its number: `\\u202e`."""
    return _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def shown(value: Any, most: int = MOST_CHARACTERS) -> str:
    """A value as Python writes it, cut in the middle where it is long. It never builds the text of what is far larger."""
    if isinstance(value, str | bytes) and len(value) > 4 * most:
        return _cut(repr(value[: 2 * most])[:-1] + repr(value[-most:])[1:], most)
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 400:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, dict | list | tuple) and _is_large(value):
        return f"a {type(value).__name__} of {len(value)}"
    try:
        return _cut(repr(value), most)
    except (RecursionError, ValueError):
        return f"a {type(value).__name__}"


def message(text: str) -> str:
    """A whole message for people: quoted values of unusual length are cut, and no escape code of a stranger reaches the terminal."""
    text = _cut(text, 4 * _LONGEST_MESSAGE)
    text = _QUOTED.sub(lambda match: f"{match[1]}{_cut(match[2], MOST_CHARACTERS)}{match[1]}", text)
    text = _UNBROKEN.sub(lambda match: _cut(match[0], MOST_CHARACTERS), text)
    return visible_lines(_cut(text, _LONGEST_MESSAGE))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - most // 4]} … {text[-(most // 4) :]}"


def _is_large(value: Any) -> bool:
    """Whether there are more than a few dozen values in it, or one that is long."""
    waiting, count = [value], 0
    while waiting:
        part = waiting.pop()
        count += 1
        if count > 60:
            return True
        if isinstance(part, str | bytes) and len(part) > 400:
            return True
        if isinstance(part, dict):
            waiting += [*list(part)[:60], *list(part.values())[:60]]
        elif isinstance(part, list | tuple):
            waiting += part[:60]
    return False


def without_folders(text: str) -> str:
    """The same text, where of each absolute path or path from a home folder only the last part is left."""
    return re.sub(r"(?<![\w./:-])(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\\\][^/\\\\\s'\"=,]*)*[/\\\\](?=[^\s])", "", text)
