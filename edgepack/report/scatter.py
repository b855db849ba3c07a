"""A chart of points with two costs, such as score against latency. HTML and SVG as charts.py draws them, without scripts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgepack.core.escape import visible
from edgepack.report.charts import round_ticks

_PLOT = 260  # pixels high
_EDGE = 6.0  # percent of an axis that stay free at both ends
_MOST_TICKS = 6
_FAR = 1.6  # times the largest value


@dataclass(frozen=True)
class Dot:
    """x and y; low and high: of an interval along y. label: a number or letter beside it. link: where a click leads. kind: its look."""

    x: float
    y: float
    kind: str
    text: str
    label: str = ""
    link: str | None = None
    low: float | None = None
    high: float | None = None


def _known(limit: float | None) -> list[float]:
    return [] if limit is None else [limit]


def scatter(title: str, dots: Sequence[Dot], x_unit: str, y_unit: str, limits: tuple[float | None, float | None] = (None, None)) -> Markup:
    """Dots on two axes with round ticks. limits: of x and of y; what lies beyond is shaded, where it is near. Lower is better on both."""
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    x_limit, y_limit = (_near(limit, values) for limit, values in zip(limits, (xs, ys), strict=True))
    ys += [value for dot in dots for value in (dot.low, dot.high) if value is not None]
    x_ticks = round_ticks(0, max([0.0, *xs, *_known(x_limit)]) or 1.0)
    y_ticks = round_ticks(min([0.0, *ys]), max([0.0, *ys, *_known(y_limit)]) or 1.0)

    def x(value: float) -> float:
        return _EDGE + (100 - 2 * _EDGE) * value / x_ticks[-1]

    def y(value: float) -> float:
        return 10 + (_PLOT - 20) * (1 - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    shapes = _beyond(x_limit and x(x_limit), None if y_limit is None else y(y_limit))
    shapes += [Markup('<line class="grid" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(y(tick)) for tick in y_ticks]
    for dot in dots:
        shapes.append(_dot(dot, x(dot.x), y))
    names = [Markup('<span style="top:{:.1f}px">{}</span>').format(y(tick), f"{tick:g}") for tick in y_ticks]
    below = [
        Markup('<span style="left:{:.2f}%">{}</span>').format(x(tick), f"{tick:g}") for tick in x_ticks[:: -(-len(x_ticks) // _MOST_TICKS)]
    ]
    drawing = Markup('<svg role="group" width="100%" height="{}" aria-label="{}">{}</svg>').format(
        _PLOT, visible(title), Markup("").join(shapes)
    )
    plot = Markup(
        '<div class="plot"><div class="y" aria-hidden="true">{}</div>{}<span></span><div class="x" aria-hidden="true">{}</div></div>'
    )
    far = f"; the limit of {limits[0]:g} lies beyond the chart" if limits[0] is not None and x_limit is None else ""
    units = Markup('<p class="units">{} by {}{}</p>').format(visible(y_unit), visible(x_unit), far)
    figure = Markup('<figure tabindex="0" role="group" aria-label="{0}"><figcaption>{0}</figcaption>{1}{2}</figure>')
    return figure.format(visible(title), units, plot.format(Markup("").join(names), drawing, Markup("").join(below)))


def _near(limit: float | None, values: Sequence[float]) -> float | None:
    """A limit that is so far above all dots that they would be squeezed together is not drawn."""
    return None if limit is None or limit > _FAR * max(values, default=limit) else limit


def _beyond(x: float | None, y: float | None) -> list[Markup]:
    """The regions over a limit, shaded, with a line at the limit."""
    shapes = []
    if x is not None:
        shapes.append(Markup('<rect class="beyond" x="{0:.2f}%" y="0" width="{1:.2f}%" height="{2}"/>').format(x, 100 - x, _PLOT))
        shapes.append(Markup('<line class="limit" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="{1}"/>').format(x, _PLOT))
    if y is not None:
        shapes.append(Markup('<rect class="beyond" x="0" y="0" width="100%" height="{:.1f}"/>').format(y))
        shapes.append(Markup('<line class="limit" x1="0" x2="100%" y1="{0:.1f}" y2="{0:.1f}"/>').format(y))
    return shapes


def _dot(dot: Dot, x: float, y: Callable[[float], float]) -> Markup:
    parts = [Markup("<title>{}</title>").format(visible(dot.text))]
    if dot.low is not None and dot.high is not None:
        whisker = Markup('<line class="whisker" x1="{0:.2f}%" x2="{0:.2f}%" y1="{1:.1f}" y2="{2:.1f}"/>')
        parts.append(whisker.format(x, y(dot.low), y(dot.high)))
    parts.append(Markup('<circle class="{}" cx="{:.2f}%" cy="{:.1f}" r="{}"/>').format(dot.kind, x, y(dot.y), 9 if dot.label else 3.5))
    if dot.label:
        parts.append(Markup('<text class="on-dot" x="{:.2f}%" y="{:.1f}">{}</text>').format(x, y(dot.y) + 4, visible(dot.label)))
    shape = Markup("").join(parts)
    return (
        Markup('<a href="{}" aria-label="{}">{}</a>').format(dot.link, visible(dot.text), shape)
        if dot.link
        else Markup("<g>{}</g>").format(shape)
    )
