"""Small charts of HTML and inline SVG without scripts or network. Colours come from the page's style, in light and dark.

Positions are shares of the width that the page gives, in percent, and heights are pixels. So a chart shrinks to a phone's screen,
and its text keeps its size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from typing import TypeVar

from markupsafe import Markup

from edgepack.core.escape import visible

_Value = TypeVar("_Value")

_ROW, _THICK = 22, 14  # pixels: a row's height, and a bar's
_PLOT = 200  # pixels: the height of a plot of lines
_TICKS = 4  # about so many on an axis
_MOST_TICKS = 8
_EDGE = 6.0  # percent of an axis that stay free at both ends, so that marks there are whole


@dataclass(frozen=True)
class Bar:
    """One row: `parts` are stacked from the left; `limit` draws a line across the row."""

    label: str
    parts: tuple[float, ...]
    value: str
    limit: float | None = None


@dataclass(frozen=True)
class Interval:
    """A value with its interval, as one row of a chart. text: what stands beside it."""

    label: str
    low: float
    value: float
    high: float
    text: str


@dataclass(frozen=True)
class Line:
    """points: (x, y) with x rising."""

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
    """One row of a heat map."""

    label: str
    cells: tuple[Cell, ...]


def round_ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, from at most `low` to at least `high`."""
    rough = (high - low) / count or abs(high) or 1.0
    power = 10.0 ** floor(log10(rough))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    """Each row has its label, its bar on a common scale from 0, and its value as text."""
    longest = max([sum(row.parts) for row in rows] + [row.limit for row in rows if row.limit is not None], default=0) or 1
    drawn = []
    for row in rows:
        shapes, start = [_rect("track", 0, 100)], 0.0
        for part, size in enumerate(row.parts):
            shapes.append(_rect(f"part{part}", start, 100 * size / longest))
            start += 100 * size / longest
        if row.limit is not None:
            shapes.append(_rule("limit", min(99.6, 100 * row.limit / longest), _ROW))
        drawn.append(_row(row.label, shapes, row.value))
    return _figure(title, Markup('<div class="rows">{}</div>').format(_joined(drawn)))


def intervals(title: str, rows: Sequence[Interval], line: float | None = None) -> Markup:
    """Points with their intervals on one axis, which need not start at 0: differences matter here. line: drawn across, and named."""
    marks = [] if line is None else [line]
    ticks = round_ticks(min([row.low for row in rows] + marks), max([row.high for row in rows] + marks))

    def x(value: float) -> float:
        return _EDGE + (100 - 2 * _EDGE) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    drawn = []
    for row in rows:
        shapes = [_rule("grid", x(tick), _ROW) for tick in ticks] + [_rule("limit", x(mark), _ROW) for mark in marks]
        whisker = Markup('<line class="whisker" x1="{:.2f}%" x2="{:.2f}%" y1="{}" y2="{}"/>')
        shapes.append(whisker.format(x(row.low), x(row.high), _ROW / 2, _ROW / 2))
        shapes.append(Markup('<circle class="part0" cx="{:.2f}%" cy="{}" r="5"/>').format(x(row.value), _ROW / 2))
        drawn.append(_row(row.label, shapes, row.text))
    shown = [(x(tick), f"{tick:g}") for tick in _thinned(ticks, _TICKS + 2) if not any(abs(x(tick) - x(mark)) < 8 for mark in marks)]
    axis = _axis([*shown, *((x(mark), f"{mark:g}") for mark in marks)])
    return _figure(title, Markup('<div class="rows">{}<span></span>{}<span></span></div>').format(_joined(drawn), axis))


def lines(title: str, rows: Sequence[Line], x_unit: str, y_unit: str) -> Markup:
    """Both axes have round ticks; the y axis starts at 0. The legend stands above the plot."""
    xs = sorted({x for row in rows for x, _ in row.points})
    ticks = round_ticks(0, max(y for row in rows for _, y in row.points) or 1)
    right = max(xs) or 1

    def x(value: float) -> float:
        return _EDGE + (100 - 2 * _EDGE) * value / right

    def y(value: float) -> float:
        return 6 + (_PLOT - 12) * (1 - value / ticks[-1])

    shapes = [Markup('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(y(tick)) for tick in ticks]
    for index, row in enumerate(rows):
        part = Markup('<line class="line{}" x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}"/>')
        pairs = pairwise(row.points)
        shapes += [part.format(index % 4, x(a[0]), y(a[1]), x(b[0]), y(b[1])) for a, b in pairs]
        dot = Markup('<circle class="part{}" cx="{:.2f}%" cy="{:.1f}" r="3.5"/>')
        shapes += [dot.format(index % 4, x(across), y(up)) for across, up in _thinned(row.points, 24)]
    names = [Markup('<span style="top:{:.1f}px">{}</span>').format(y(tick), f"{tick:g}") for tick in ticks]
    plot = Markup('<div class="plot"><div class="y" aria-hidden="true">{}</div>{}<span></span>{}</div>').format(
        _joined(names), _svg(title, _PLOT, shapes), _axis([(x(value), f"{value:g}") for value in _spread(xs, right)])
    )
    legend = _legend([row.label for row in rows]) if len(rows) > 1 else Markup("")
    units = Markup('<p class="units">{} by {}{}</p>').format(y_unit, x_unit, f", {rows[0].label}" if len(rows) == 1 else "")
    return _figure(title, legend + units + plot)


def reliability(title: str, sides: Sequence[Dots], x_name: str, y_name: str) -> Markup:
    """A square from 0 to 1 with its diagonal: the first side as rings, the second as discs, so that both show where they meet."""
    side, left, top, width = 240, 40, 24, 300

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
    dot = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>')
    for dots_of_side, kind in reversed(list(zip(sides, ("ring", "disc"), strict=False))):
        total = sum(rows for _, _, rows in dots_of_side.points)
        drawn += [dot.format(kind, x(across), y(up), 3 + 11 * (rows / total) ** 0.5) for across, up, rows in dots_of_side.points]
    keys = Markup('<p><span class="key ring-key">{}</span> <span class="key disc-key">{}</span></p>')
    names = [side.label for side in sides] + [""] * (2 - len(sides))
    legend = keys.format(*names[:2]) if len(sides) > 1 else Markup('<p><span class="key ring-key">{}</span></p>').format(names[0])
    return _figure(title, legend + _svg(title, top + side + 44, drawn, width))


def heat(title: str, columns: Sequence[str], rows: Sequence[HeatRow], columns_name: str) -> Markup:
    """A table of values whose cells are coloured by their change; `columns_name` stands over the names on the left."""
    head = Markup('<th scope="col">{}</th>').format(visible(columns_name))
    head += _joined(Markup('<th scope="col" class="n">{}</th>').format(visible(name)) for name in columns)
    lines_of_table = [Markup("<tr>{}</tr>").format(head)]
    for row in rows:
        cell = Markup('<td class="n cell {}" style="--strength:{:.2f}">{}</td>')
        cells = _joined(
            cell.format("lost" if each.change < 0 else "gained", 0.5 * abs(each.change), visible(each.text)) for each in row.cells
        )
        lines_of_table.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(visible(row.label), cells))
    return _figure(title, Markup("<table>{}</table>").format(_joined(lines_of_table)))


def _thinned(values: Sequence[_Value], most: int) -> Sequence[_Value]:
    return values if len(values) <= most else values[:: -(-len(values) // most)]


def _spread(values: Sequence[float], right: float) -> list[float]:
    """Those of the x values that have room for a name: none is nearer than a tenth of the axis to the one on its right."""
    shown: list[float] = []
    for value in reversed(_thinned(values, 2 * _MOST_TICKS)):
        if not shown or shown[-1] - value >= right / _MOST_TICKS:
            shown.append(value)
    return shown[::-1]


def _row(label: str, shapes: Sequence[Markup], value: str) -> Markup:
    drawing = _svg(f"{label}: {value}", _ROW, shapes)
    return Markup('<span class="label">{}</span>{}<span class="value">{}</span>').format(visible(label), drawing, visible(value))


def _axis(names: Sequence[tuple[float, str]]) -> Markup:
    ticks = [Markup('<span style="left:{:.2f}%">{}</span>').format(at, name) for at, name in names]
    return Markup('<div class="x" aria-hidden="true">{}</div>').format(_joined(ticks))


def _legend(names: Sequence[str]) -> Markup:
    return Markup("<p>{}</p>").format(
        Markup(" ").join(Markup('<span class="key key{}">{}</span>').format(index % 4, visible(name)) for index, name in enumerate(names))
    )


def _rect(kind: str, start: float, width: float) -> Markup:
    shape = Markup('<rect class="{}" x="{:.2f}%" y="{}" width="{:.2f}%" height="{}"/>')
    return shape.format(kind, start, (_ROW - _THICK) / 2, width, _THICK)


def _rule(kind: str, at: float, height: float) -> Markup:
    return Markup('<line class="{0}" x1="{1:.2f}%" x2="{1:.2f}%" y1="0" y2="{2}"/>').format(kind, at, height)


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, visible(text))


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def _svg(name: str, height: float, shapes: Sequence[Markup], width: int | None = None) -> Markup:
    """width: in pixels; None: all that there is."""
    opening = Markup('<svg role="img" width="{}" height="{}" aria-label="{}">')
    return opening.format("100%" if width is None else width, height, visible(name)) + _joined(shapes) + Markup("</svg>")


def _figure(title: str, content: Markup) -> Markup:
    """A figure that takes the keyboard's focus, for a table in it may scroll sideways."""
    opening = Markup('<figure tabindex="0" role="group" aria-label="{0}"><figcaption>{0}</figcaption>').format(visible(title))
    return opening + content + Markup("</figure>")
