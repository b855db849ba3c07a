"""Reads a statement file as JSON, and refuses a key with a message that names the file, the key, the value and the fix."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.reading import read_json, read_json_object
from edgepack.core.showing import shown

_BYTES = 16_000_000
_SAVE_AGAIN = "save or download the model again"


def read_list(path: Path) -> list[Any]:
    """The JSON list of a file. EdgepackError where it is not a list."""
    content = read_json(path, _BYTES, _SAVE_AGAIN)
    if not isinstance(content, list):
        raise EdgepackError(f"{path} is not a JSON list: {shown(content, 40)}", _SAVE_AGAIN)
    return content


def read_object(path: Path, limit_bytes: int = _BYTES) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    return read_json_object(path, limit_bytes, _SAVE_AGAIN) if path.is_file() else {}


def refusal(file: str, key: str, value: Any, why: str, fix: str) -> EdgepackError:
    """What a folder states and a pack does not reproduce."""
    return EdgepackError(f"{file} states {key} = {shown(value)}: {why}", fix)


def check_keys(file: str, content: Mapping[str, Any], known: Iterable[str]) -> None:
    """EdgepackError names the first key that nobody here knows: it may change what the model answers."""
    known = tuple(known)
    for key, value in content.items():
        if key not in known:
            why = "edgepack does not know this key, and it may change what the model answers"
            raise refusal(file, key, value, why, f"remove it where it changes nothing; {did_you_mean(key, known)}")


def typed(file: str, content: Mapping[str, Any], key: str, kinds: type | tuple[type, ...], otherwise: Any) -> Any:
    """The value of a key; `otherwise` where it is left out or null. EdgepackError: it is of another type."""
    value = content.get(key)
    if value is None:
        return otherwise
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise refusal(file, key, value, "it is a value of another type", "save or download the model again")
    return value
