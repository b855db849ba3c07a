"""Writes the pages that come from the code: commands, settings, profiles, the pack's format, what is reproduced, the picture of the
rooms, README's example.

python docs/generate.py            # writes what is not current
python docs/generate.py --check    # writes nothing; exit code 1 where a page is not current
"""

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from generators import commands, example, models, pack, platforms, profiles, reproduced, rooms, settings  # noqa: E402

PAGES: dict[str, Callable[[str], str]] = {
    "docs/reference/commands.md": lambda _: commands.page(),
    "docs/reference/settings.md": lambda _: settings.page(),
    "docs/reference/profiles.md": lambda _: profiles.page(),
    "docs/reference/models.md": lambda _: models.page(),
    "docs/reference/pack.md": lambda _: pack.page(),
    "docs/reference/platforms.md": lambda _: platforms.page(),
    "docs/reference/reproduced.md": reproduced.page,
    "docs/images/rooms.svg": lambda _: rooms.picture(),
    "README.md": example.with_example,
    "docs/quick-start.md": example.with_example,
}


def outdated() -> dict[str, str]:
    """The text that each page should have, for the pages that have another."""
    wanted = {}
    for name, write in PAGES.items():
        path = ROOT / name
        present = path.read_text(encoding="utf-8") if path.is_file() else ""
        text = write(present)
        if text != present:
            wanted[name] = text
    return wanted


def main() -> None:
    pages = outdated()
    for name, text in pages.items():
        if "--check" in sys.argv:
            print(f"{name} is not current: run `python docs/generate.py`")
        else:
            (ROOT / name).write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    sys.exit(1 if pages and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
