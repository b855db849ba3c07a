"""Small charts as inline SVG: no script, no network, colours from the page's own style so that they follow light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _ROW, _LABEL, _VALUE = 640, 28, 150, 110  # pixels: chart, one row, room for names on the left and values on the right


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


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    longest = max([sum(row.parts) for row in rows] + [row.limit or 0 for row in rows], default=0) or 1
    scale = (_WIDTH - _LABEL - _VALUE) / longest
    drawn = []
    for index, row in enumerate(rows):
        y, x = index * _ROW + 4, float(_LABEL)
        drawn.append(_text(0, y + 14, row.label))
        for part, width in enumerate(row.parts):
            drawn.append(
                Markup('<rect class="part{}" x="{:.1f}" y="{}" width="{:.1f}" height="18" rx="2"/>').format(part, x, y, width * scale)
            )
            x += width * scale
        drawn.append(_text(x + 6, y + 14, row.value, "value"))
        if row.limit is not None:
            at = _LABEL + row.limit * scale
            drawn.append(Markup('<line class="limit" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(at, y - 3, y + 21))
    return _svg(title, len(rows) * _ROW + 4, drawn)


def intervals(title: str, rows: Sequence[Interval]) -> Markup:
    """Points with their intervals on one common axis that need not start at 0: differences are what matters here."""
    lowest, highest = min(row.low for row in rows), max(row.high for row in rows)
    scale = (_WIDTH - _LABEL - _VALUE - 20) / ((highest - lowest) or 1)

    def x(value: float) -> float:
        return _LABEL + 10 + (value - lowest) * scale

    drawn = []
    for index, row in enumerate(rows):
        y = index * _ROW + 14
        drawn.append(_text(0, y + 4, row.label))
        drawn.append(Markup('<line class="whisker" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>').format(x(row.low), x(row.high), y, y))
        drawn.append(Markup('<circle class="part0" cx="{:.1f}" cy="{}" r="5"/>').format(x(row.value), y))
        drawn.append(_text(_WIDTH - _VALUE + 6, y + 4, row.text, "value"))
    return _svg(title, len(rows) * _ROW + 4, drawn)


def lines(title: str, rows: Sequence[Line], x_unit: str, y_unit: str) -> Markup:
    height, left, bottom = 240, 60, 40
    xs = sorted({x for row in rows for x, _ in row.points})
    top = max(y for row in rows for _, y in row.points) or 1
    x_scale, y_scale = (_WIDTH - left - 110) / (max(xs) or 1), (height - bottom - 14) / top
    drawn = [Markup('<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(left, _WIDTH - 100, height - bottom)]
    drawn += [_text(left + x * x_scale, height - bottom + 16, f"{x:g}", "tick") for x in xs]
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


def _text(x: float, y: float, text: str, kind: str = "label") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, text)


def _svg(title: str, height: int, drawn: Sequence[Markup]) -> Markup:
    opening = Markup('<figure><figcaption>{0}</figcaption><svg role="img" viewBox="0 0 {1} {2}" aria-label="{0}">').format(
        title, _WIDTH, height
    )
    return opening + Markup("").join(drawn) + Markup("</svg></figure>")
