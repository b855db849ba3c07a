"""Smart-home voice commands by intent: phrasings with slots, typing noise, and phrasings that only the test split has.

Everything is drawn from one seed: the same rows on every machine.
"""

import csv
import random
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

SEED = 7
ROWS = {"train": 3200, "dev": 300, "test": 900}
_HELD_OUT_SHARE = 0.15  # of the test rows
_NOISE = 0.35  # share of commands with typing errors

_OPENERS = ("", "", "", "", "please ", "hey ", "ok ", "um ", "could you ", "hi there ")
_CLOSERS = ("", "", "", "", "", " please", " now", " thanks", " will you")
_NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wqwrtyuioosasdfghjkxzxcvbn", strict=True))


@cache
def phrasings() -> dict[str, Any]:
    """intents.toml: `slots`, and for each of `intents` its `common` and `held_out` phrasings."""
    return tomllib.loads((Path(__file__).parent / "intents.toml").read_text(encoding="utf-8"))


def intents() -> list[str]:
    """The demo's labels, in alphabetical order."""
    return sorted(phrasings()["intents"])


def write_commands(folder: Path) -> None:
    """train.csv, dev.csv and test.csv with columns `text` and `intent`."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in commands().items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("text", "intent"))
            writer.writerows(rows)


def commands() -> dict[str, list[tuple[str, str]]]:
    """(text, intent) rows by split; no text stands in two splits."""
    draw = random.Random(SEED)
    used: set[str] = set()
    rows_of = {}
    for split, count in ROWS.items():
        rows: list[tuple[str, str]] = []
        while len(rows) < count:
            intent = draw.choice(intents())
            text = _typed(_spoken(_phrasing(intent, split, draw), draw), draw)
            if text not in used:
                used.add(text)
                rows.append((text, intent))
        rows_of[split] = rows
    return rows_of


def _phrasing(intent: str, split: str, draw: random.Random) -> str:
    known = phrasings()["intents"][intent]
    held_out = split == "test" and draw.random() < _HELD_OUT_SHARE
    return draw.choice(known["held_out" if held_out else "common"])


def _spoken(phrasing: str, draw: random.Random) -> str:
    filled = re.sub(r"\{(\w+)\}", lambda match: draw.choice(phrasings()["slots"][match[1]]), phrasing)
    return draw.choice(_OPENERS) + filled + draw.choice(_CLOSERS)


def _typed(text: str, draw: random.Random) -> str:
    """One or two slips of the finger: two letters swapped, one dropped, doubled or hit beside."""
    if draw.random() >= _NOISE:
        return text
    for _ in range(draw.choice((1, 1, 2))):
        at = draw.randrange(1, len(text) - 1)
        match draw.randrange(4):
            case 0:
                text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
            case 1:
                text = text[:at] + text[at + 1 :]
            case 2:
                text = text[:at] + text[at] + text[at:]
            case _:
                text = text[:at] + _NEIGHBOURS.get(text[at], text[at]) + text[at + 1 :]
    return text
