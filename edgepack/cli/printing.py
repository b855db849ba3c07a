"""All output of the command line goes through this module. It shows control characters of strangers' texts as numbers.

Names of models, labels, groups and files, answers of boards and errors of libraries stand in what is shown. JSON needs nothing: it
writes such characters as numbers.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

from edgepack.core.showing import HIDDEN, visible_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text


def show(view: RenderableType) -> None:
    """A view of rich: its own colours, and texts without any code."""
    console().print(view)


def console(**settings: Any) -> Console:
    """rich's console, where a text is never markup: brackets in a label's name are brackets."""
    from rich.console import Console

    class Visible(Console):
        def render_str(self, text: str, **how: Any) -> Text:  # type: ignore[override]
            return super().render_str(visible_lines(text), **how)

        def render(self, renderable: RenderableType, options: Any = None) -> Any:
            from rich.text import Text

            return super().render(_visible(renderable) if isinstance(renderable, Text) else renderable, options)

    return Visible(markup=False, emoji=False, highlight=False, **settings)


def show_json(content: Any) -> None:
    """Prints JSON to standard output. json.dumps escapes what is not ASCII, so no control character gets out."""
    print(json.dumps(content, indent=1, allow_nan=False))


def show_text(text: str, end: str = "\n") -> None:
    """Lines, or a piece of one."""
    print(visible_lines(text), end=end, flush=True)


def show_error(text: str) -> None:
    """Prints a text to standard error. Control characters are shown as numbers."""
    print(visible_lines(text), file=sys.stderr, flush=True)


def _visible(text: Text) -> Text:
    """The same text in the same colours, where each hidden character is its number."""
    if visible_lines(text.plain) == text.plain:
        return text
    clean = text.blank_copy()
    for match in re.finditer(f"[{HIDDEN}]|[^{HIDDEN}]+", text.plain):
        piece = text[match.start() : match.end()]
        shown = visible_lines(match[0])
        if shown != match[0]:
            piece.plain = shown
            piece.spans = [span._replace(start=0, end=len(shown)) for span in piece.spans]
        clean.append_text(piece)
    return clean
