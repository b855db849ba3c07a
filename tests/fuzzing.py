"""What the property tests and benchmarks/attack.py throw at edgepack's readers, and what a reader may do with it.

A reader takes bytes and gives a value, or raises EdgepackError with a short text for people. All else is a fault: see `fault_of`.
"""

import json
import random
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError

LONGEST_S, LONGEST_TEXT = 10.0, 8000
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 10**8, 2**63, -(2**70), 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x", "3", "\x1b[2J", "\u202e",
    "\x00", "../../etc/passwd", "x" * 5000, "{{ 7*7 }}", "\ud800", [], {}, [1], [[]], ["a", 1, None], {"a": {"b": []}}, [{}] * 50,
)  # fmt: skip

STRANGE = (b'"', b"\x00", b"\xff", b"\n", b",", b"\t", b"[" * 3000, b'{"a":' * 500, b"9" * 5000, b"\r", b"#")


def changed(value: Any, draw: random.Random) -> Any:
    """The same JSON or TOML value with one to three things in it changed, dropped, added or doubled."""
    value = json.loads(json.dumps(value))
    for _ in range(draw.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return deepcopy(draw.choice(VALUES))
        holder, key = draw.choice(places)
        match draw.randrange(6):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[draw.choice(["", "x", key.upper(), "\x1b[31m", "__class__"])] = deepcopy(draw.choice(VALUES))
            case 2 if isinstance(holder[key], int) and not isinstance(holder[key], bool):
                holder[key] = draw.choice([-holder[key], holder[key] * 10**6, holder[key] + 1, float(holder[key]), str(holder[key])])
            case 3 if isinstance(holder, list):
                holder.extend(deepcopy(holder[:20]))
            case _:
                holder[key] = deepcopy(draw.choice(VALUES))
    return value


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The same bytes with some flipped, cut, doubled, or strange ones put in."""
    result = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(result) + 1)
        match draw.randrange(5):
            case 0 if result:
                result[at % len(result)] ^= 1 << draw.randrange(8)
            case 1:
                del result[at:]
            case 2:
                result[at:at] = draw.choice(
                    [b'"', b"\x00", b"\xff", b"\n", b",", b"\t", b"[" * 3000, b'{"a":' * 500, b"9" * 5000, b"\r", b"#"]
                )
            case 3:
                result[at:at] = result[: min(len(result), 200)]
            case _:
                del result[at : at + draw.randint(1, 30)]
    return bytes(result)


def fault_of(read: Callable[[], Any]) -> str:
    """What a reader did that it must not do; empty where it gave a value, or refused in a few words."""
    began = time.monotonic()
    try:
        read()
        text = ""
    except EdgepackError as error:
        text = str(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what a library in Rust raises is no Exception
        return f"{type(error).__name__}: {str(error)[:200]} at {_place_of(error)}"
    if time.monotonic() - began > LONGEST_S:
        return f"took {time.monotonic() - began:.0f} s"
    if len(text) > LONGEST_TEXT:
        return f"a message of {len(text)} characters"
    return "a message with a control character" if any(ord(each) < 32 and each not in "\n\t" for each in text) else ""


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def _place_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _places(value[key])
