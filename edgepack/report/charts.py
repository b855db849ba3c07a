"""Small charts as inline SVG: no script, no network, colours from the page's own style so that they follow light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgepack.core.escape import visible

_WIDTH, _ROW, _LABEL, _VALUE = 640, 28, 150, 110  # pixels: chart, one row, room for names on the left and values on the right

_MOST_TICKS = 8
_LETTER = 7.4  # pixels of an average letter at the page's size of text in charts


@dataclass(frozen=True)
class Bar:
    """One row: `parts` are stacked from the left; `limit` draws a line across the row."""

    label: str
    parts: tuple[float, ...]
    value: str
    limit: float | None = None


@dataclass(frozen=True)
class Interval:
    label: str
    low: float
    value: float
    high: float
    text: str


@dataclass(frozen=True)
class Line:
    """points: (x, y) with x rising; band: (x, highest y) drawn as a thin line above."""

    label: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Dots:
    """points: (x, y, rows), x and y in 0 to 1; a dot's area grows with its rows."""

    label: str
    points: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class Cell:
    """change: -1 (worse) to 1 (better) colours the cell."""

    text: str
    change: float


@dataclass(frozen=True)
class HeatRow:
    label: str
    cells: tuple[Cell, ...]


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    longest = max([sum(row.parts) for row in rows] + [row.limit or 0 for row in rows], default=0) or 1
    left, right = _room(_LABEL, [row.label for row in rows]), _room(_VALUE, [row.value for row in rows])
    scale = (_WIDTH - left - right) / longest
    drawn = []
    for index, row in enumerate(rows):
        y, x = index * _ROW + 4, float(left)
        drawn.append(_text(0, y + 14, row.label))
        for part, width in enumerate(row.parts):
            drawn.append(
                Markup('<rect class="part{}" x="{:.1f}" y="{}" width="{:.1f}" height="18" rx="2"/>').format(part, x, y, width * scale)
            )
            x += width * scale
        drawn.append(_text(x + 6, y + 14, row.value, "value"))
        if row.limit is not None:
            at = left + row.limit * scale
            drawn.append(Markup('<line class="limit" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(at, y - 3, y + 21))
    return _svg(title, len(rows) * _ROW + 4, drawn)


def intervals(title: str, rows: Sequence[Interval], line: float | None = None) -> Markup:
    """Points with their intervals on one common axis that need not start at 0: differences are what matters here. line: drawn across."""
    marks = [] if line is None else [line]
    left, right = _room(_LABEL, [row.label for row in rows]), _room(_VALUE, [row.text for row in rows])
    lowest, highest = min([row.low for row in rows] + marks), max([row.high for row in rows] + marks)
    scale = (_WIDTH - left - right - 20) / ((highest - lowest) or 1)

    def x(value: float) -> float:
        return left + 10 + (value - lowest) * scale

    cross = Markup('<line class="axis" x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}"/>')
    drawn = [cross.format(x(mark), len(rows) * _ROW) for mark in marks]
    for index, row in enumerate(rows):
        y = index * _ROW + 14
        drawn.append(_text(0, y + 4, row.label))
        drawn.append(Markup('<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(x(row.low), x(row.high), y, y))
        drawn.append(Markup('<circle class="part0" cx="{:.1f}" cy="{}" r="5"/>').format(x(row.value), y))
        drawn.append(_text(_WIDTH - right + 6, y + 4, row.text, "value"))
    return _svg(title, len(rows) * _ROW + 4, drawn)


def lines(title: str, rows: Sequence[Line], x_unit: str, y_unit: str) -> Markup:
    height, left, bottom = 240, 80, 40
    xs = sorted({x for row in rows for x, _ in row.points})
    top = max(y for row in rows for _, y in row.points) or 1
    x_scale, y_scale = (_WIDTH - left - 110) / (max(xs) or 1), (height - bottom - 14) / top
    drawn = [Markup('<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(left, _WIDTH - 100, height - bottom)]
    shown = xs if len(xs) <= _MOST_TICKS else xs[:: -(-len(xs) // _MOST_TICKS)]
    drawn += [_text(left + x * x_scale, height - bottom + 16, f"{x:g}", "tick") for x in shown]
    drawn.append(_text(left + (_WIDTH - left - 110) / 2, height - 4, x_unit, "tick"))
    for step in range(5):
        y = top * step / 4
        at = height - bottom - y * y_scale
        drawn.append(Markup('<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>').format(left, _WIDTH - 100, at))
        drawn.append(_text(left - 8, at + 4, f"{y:.3g}{' ' + y_unit if step == 4 else ''}", "left"))
    for index, row in enumerate(rows):
        path = " ".join(f"{left + x * x_scale:.1f},{height - bottom - y * y_scale:.1f}" for x, y in row.points)
        drawn.append(Markup('<polyline class="line{}" points="{}"/>').format(index % 4, path))
        last_x, last_y = row.points[-1]
        drawn.append(_text(left + last_x * x_scale + 8, height - bottom - last_y * y_scale + 4, row.label, "value"))
    return _svg(title, height, drawn)


def reliability(title: str, sides: Sequence[Dots], x_name: str, y_name: str) -> Markup:
    """A square from 0 to 1 with its diagonal: the first side as rings, the second as discs, so that both show where they meet."""
    side, left, top = 280, 60, 24

    def x(value: float) -> float:
        return left + value * side

    def y(value: float) -> float:
        return top + (1 - value) * side

    drawn = [_text(left, 14, y_name, "value"), _text(x(0.5), top + side + 36, x_name, "tick")]
    for at in (0, 0.25, 0.5, 0.75, 1):
        drawn.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(left, left + side, y(at), y(at)))
        drawn.append(_text(left - 8, y(at) + 4, f"{at:g}", "left"))
        drawn.append(_text(x(at), top + side + 18, f"{at:g}", "tick"))
    drawn.append(Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(x(0), x(1), y(0), y(1)))
    for index, (dots_of_side, kind) in reversed(list(enumerate(zip(sides, ("ring", "disc"), strict=False)))):
        total = sum(rows for _, _, rows in dots_of_side.points)
        dot = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>')
        drawn += [dot.format(kind, x(across), y(up), 3 + 13 * (rows / total) ** 0.5) for across, up, rows in dots_of_side.points]
        key_y = top + side + 62 + index * _ROW  # below the plot: a narrow screen would cut it off on the right
        drawn.append(dot.format(kind, left + 6, key_y, 6))
        drawn.append(_text(left + 22, key_y + 5, dots_of_side.label, "value"))
    return _svg(title, top + side + 50 + len(sides) * _ROW, drawn)


def heat(title: str, columns: Sequence[str], rows: Sequence[HeatRow], columns_name: str) -> Markup:
    """A table of values whose cells are coloured by their change; `columns_name` stands over the names on the left."""
    left = _LABEL - 10
    width = (_WIDTH - left) / len(columns)
    drawn = [_text(0, 16, columns_name, "soft")]
    drawn += [_text(left + (index + 0.5) * width, 16, name, "tick") for index, name in enumerate(columns)]
    for number, row in enumerate(rows):
        y = 26 + number * _ROW
        drawn.append(_text(0, y + 18, row.label))
        for index, cell in enumerate(row.cells):
            at, kind = left + index * width, "lost" if cell.change < 0 else "gained"
            drawn.append(
                Markup('<rect class="{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}" fill-opacity="{:.2f}"/>').format(
                    kind, at + 1, y, width - 2, _ROW - 2, 0.55 * abs(cell.change)
                )
            )
            drawn.append(_text(at + width / 2, y + 18, cell.text, "cell"))
    return _svg(title, 26 + len(rows) * _ROW, drawn)


def _room(least: int, texts: Sequence[str]) -> float:
    """Pixels for the longest of the texts, but no more than leaves half of the chart for what it shows."""
    return min(_WIDTH / 4 + 20, max([least, *(_LETTER * len(text) + 10 for text in texts)]))


def _text(x: float, y: float, text: str, kind: str = "label") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, visible(text))


def _svg(title: str, height: int, drawn: Sequence[Markup]) -> Markup:
    """A figure that takes the keyboard's focus, for a narrow screen scrolls it sideways."""
    figure = Markup('<figure tabindex="0" role="group" aria-label="{0}"><figcaption>{0}</figcaption>').format(visible(title))
    opening = Markup('<svg role="img" viewBox="0 0 {1} {2}" aria-label="{0}">').format(visible(title), _WIDTH, height)
    return figure + opening + Markup("").join(drawn) + Markup("</svg></figure>")
