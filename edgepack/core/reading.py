"""Reads files and answers from outside with limits on size, depth and kind, so that later code can trust the values.

Whatever bytes come from a user, a stranger's folder, a board or a network goes through one of these functions. Each raises an
EdgepackError that names the place, and none takes long or much memory for what it refuses.
"""

import json
import math
import os
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Any, NoReturn

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown

_WEB_PAGE = re.compile(rb"\s*(<!doctype html|<html[^>]*>\s*<[a-z!])", re.IGNORECASE)  # a row of a table may begin with <html> too
_NO_NUMBER = re.compile(
    r'"([^"\\]{1,200})"\s*:\s*(?:\[[^\]{}"]{0,2000}?)?(?:NaN|-?Infinity)\b'
)  # a key, and its value or a list with such a one
DEPTH = 64  # of values in one another: no format that edgepack reads needs half of it
TOML_BYTES = 1_000_000
JSON_BYTES = 64_000_000  # configs are far smaller; a pack.json or a report holds samples
TOKENIZER_BYTES = 256_000_000  # of the largest vocabularies, 256,000 pieces, 34 MB
HEADER_BYTES = 100_000_000  # of a safetensors file: the format's own limit
DATA_BYTES = 4_000_000_000  # rows are held in memory
LINE_BYTES = 64_000_000
ANSWER_BYTES = 2_000_000_000  # of a target: the outputs for all rows of a test split

_SAVE_AGAIN = "write the file again"


def is_there(path: Path) -> bool:
    """Whether there is a file or folder; False too for a name that no file system takes, which `exists` raises for."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, limit_bytes: int = JSON_BYTES, fix: str = _SAVE_AGAIN) -> bytes:
    """The content of a plain file. EdgepackError: it is missing, a device or pipe, larger than the limit, or cannot be read."""
    try:
        with open(path, "rb", opener=_no_waiting) as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise EdgepackError(f"{path} is not a plain file", fix)
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise EdgepackError(
            f"{path} cannot be read: {error.strerror or type(error).__name__}", "check the path and its permissions"
        ) from None
    except ValueError:  # a path with a NUL
        raise EdgepackError(f"not a path: {shown(str(path))}", "check the path") from None
    if len(content) > limit_bytes:
        raise EdgepackError(f"{path} is larger than {limit_bytes / 1e6:g} MB, and edgepack reads no such file that is larger", fix)
    return content


def check_size(path: Path, limit_bytes: int, fix: str = _SAVE_AGAIN) -> None:
    """For a file that a library opens by its path. EdgepackError: it is missing, no plain file, or larger than the limit."""
    if not path.is_file():
        raise EdgepackError(f"{path} is not a plain file", "check the path")
    if path.stat().st_size > limit_bytes:
        raise EdgepackError(f"{path} is larger than {limit_bytes / 1e6:g} MB, and edgepack reads no such file that is larger", fix)


def read_text(path: Path, limit_bytes: int = JSON_BYTES, fix: str = _SAVE_AGAIN) -> str:
    """UTF-8. EdgepackError as in read_bytes, and where it is not UTF-8."""
    try:
        return read_bytes(path, limit_bytes, fix).decode("utf-8")
    except UnicodeDecodeError as error:
        raise EdgepackError(f"{path} is not UTF-8: {error.reason} at byte {error.start}", fix) from None


def read_json(path: Path, limit_bytes: int = JSON_BYTES, fix: str = _SAVE_AGAIN, verb: str = "is not JSON") -> Any:
    """The JSON value of a file. EdgepackError: the file is missing, too large, not UTF-8 or not JSON. See parse_json."""
    return parse_json(read_bytes(path, limit_bytes, fix), str(path), fix, verb)


def read_json_object(path: Path, limit_bytes: int = JSON_BYTES, fix: str = _SAVE_AGAIN, verb: str = "is not JSON") -> dict[str, Any]:
    """The JSON object of a file. EdgepackError as for read_json, and where the value is not an object."""
    return as_object(read_json(path, limit_bytes, fix, verb), str(path), fix)


def check_stand_in(content: str | bytes, place: str) -> None:
    """EdgepackError where what a download left stands for a file: a pointer of Git LFS, or a web page that says why there is none."""
    first = content[:200].encode("utf-8", "replace") if isinstance(content, str) else content[:200]
    if first.startswith(b"version https://git-lfs"):
        raise EdgepackError(f"{place} is a pointer of Git LFS, not the file", "run `git lfs pull` in its folder, or download the file")
    if _WEB_PAGE.match(first):
        raise EdgepackError(f"{place} is a web page, not the file", "download the file itself, not the page that shows it")


def parse_json(text: str | bytes, place: str, fix: str = _SAVE_AGAIN, verb: str = "is not JSON", finite: bool = True) -> Any:
    """One JSON value. EdgepackError: no JSON, no UTF-8, half a character, a key twice, deeper than DEPTH, NaN and infinity if `finite`."""
    check_stand_in(text, place)
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_number if finite else None)
    except RecursionError:
        raise EdgepackError(f"{place} {verb}: nested deeper than {DEPTH} levels", fix) from None
    except (ValueError, UnicodeDecodeError) as error:  # an integer of over 4,300 digits is a plain ValueError
        raise EdgepackError(f"{place} {verb}: {_reason(error)}{_key_of_no_number(text)}", fix) from None
    halves = "\\ud" in text or "\\uD" in text
    problem = _wrong_within(value, finite, halves)
    if problem:
        raise EdgepackError(f"{place} {verb}: {problem}", fix)
    return value


def as_object(value: Any, place: str, fix: str = _SAVE_AGAIN) -> dict[str, Any]:
    """EdgepackError where a JSON value is not an object."""
    if not isinstance(value, dict):
        raise EdgepackError(f"{place} is not a JSON object: {shown(value, 40)}", fix)
    return value


def json_lines(path: Path, limit_bytes: int = JSON_BYTES, fix: str = _SAVE_AGAIN) -> Iterator[dict[str, Any]]:
    """An object a line; blank lines count and hold nothing."""
    for number, line in enumerate(read_text(path, limit_bytes, fix).split("\n"), start=1):
        if line.strip():
            place = f"{path}:{number}"
            yield as_object(parse_json(line, place, fix), place, fix)


def read_toml(path: Path, fix: str = "correct the line that the message names", verb: str = "is not valid TOML") -> dict[str, Any]:
    """Tables of plain values. EdgepackError: no TOML, dates and times, NaN and infinity, nested deeper than DEPTH."""
    text = read_text(path, TOML_BYTES, fix)
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise EdgepackError(f"{path.name} {verb}: nested deeper than {DEPTH} levels", fix) from None
    except ValueError as error:
        raise EdgepackError(f"{path.name} {verb}: {_reason(error)}", fix) from None
    problem = _wrong_within(value, finite=True, halves=False)
    if problem:
        raise EdgepackError(f"{path.name} {verb}: {problem}", fix)
    return value


def answer_of(text: str | bytes, place: str) -> dict[str, Any]:
    """A target's answer: one JSON object. What it states is checked by the record that it becomes; NaN is an answer too."""
    fix = "find what else prints there, and start again"
    if len(text) > ANSWER_BYTES:
        raise EdgepackError(f"{place} answered with {len(text) / 1e6:.0f} MB", fix)
    return as_object(parse_json(text, f"the answer {place}", fix, finite=False), f"the answer {place}", fix)


def _no_waiting(path: str, flags: int) -> int:
    """A named pipe that nobody writes to would be waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice one reader takes the first value, another the last: a hash or a signature would hold for both."""
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"the key {shown(counts.most_common(1)[0][0])} stands there twice")
    return content


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _key_of_no_number(text: str | bytes) -> str:
    """Where a key's value is NaN or infinity, which the parser tells without its place."""
    match = _NO_NUMBER.search(text) if isinstance(text, str) else None
    return f", the value of {shown(match[1], 60)}" if match else ""


def _reason(error: Exception) -> str:
    return shown(str(error), 160)[1:-1]


def _wrong_within(value: Any, finite: bool, halves: bool) -> str:
    """What no reader behind the border expects, in words; empty where there is nothing. Goes through containers level by level."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH:
            return f"nested deeper than {DEPTH} levels"
        below: list[Any] = []
        for entry in level:
            if isinstance(entry, dict):
                below += entry.values()
                if halves and any(_is_half(key) for key in entry):
                    return "a key holds half a character (a lone surrogate)"
            elif isinstance(entry, list):
                below += entry
            elif finite and isinstance(entry, float) and not math.isfinite(entry):
                return f"{entry} is not a number"
            elif halves and isinstance(entry, str) and _is_half(entry):
                return "a text holds half a character (a lone surrogate)"
            elif isinstance(entry, date | time):
                return f"a date or time where edgepack expects neither: {entry}"
        level = below
    return ""


def _is_half(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
