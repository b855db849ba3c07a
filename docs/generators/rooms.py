"""The picture of the rooms, from import-linter's contract and the first line of each room."""

import ast
import re
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
WIDTH, HEIGHT, GAP, MARGIN = 960, 62, 26, 12


def layers() -> list[list[str]]:
    """Rooms by floor, the top first, as the layers contract in pyproject.toml has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    floors = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip().removeprefix("edgepack.") for room in re.split(r"[|:]", floor)] for floor in floors]


def purpose(room: str) -> str:
    """What the room is for: the first sentence of its docstring."""
    path = ROOT / "edgepack" / room / "__init__.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\w)[.:;](?:\s|$)", text.replace("\n", " "))[0]


def picture() -> str:
    floors = layers()
    height = 2 * MARGIN + len(floors) * HEIGHT + (len(floors) - 1) * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif">',
        "<title>The rooms of edgepack: a room imports those below it</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for at, floor in enumerate(floors):
        top = MARGIN + at * (HEIGHT + GAP)
        wide = (WIDTH - 2 * MARGIN - GAP * (len(floor) - 1)) / len(floor)
        for column, room in enumerate(floor):
            parts += _box(MARGIN + column * (wide + GAP), top, wide, room)
        if at:
            parts.append(f'<path d="M{WIDTH / 2:g} {top - GAP + 2}V{top - 2}" stroke="#57606a" marker-end="url(#head)"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(left: float, top: float, wide: float, room: str) -> list[str]:
    middle = left + wide / 2
    return [
        f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" height="{HEIGHT}" rx="8" fill="#eef4fb" stroke="#0969da"/>',
        f'<text x="{middle:.1f}" y="{top + 25}" text-anchor="middle" font-size="17" font-weight="600" fill="#1f2328">{room}/</text>',
        f'<text x="{middle:.1f}" y="{top + 46}" text-anchor="middle" font-size="12" fill="#424a53">{escape(_short(room, wide))}</text>',
    ]


def _short(room: str, wide: float) -> str:
    text, most = purpose(room), int(wide / 7)
    return text if len(text) <= most else text[: most - 1].rsplit(" ", 1)[0] + " …"
