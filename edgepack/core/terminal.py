"""Filters standard error: libraries print warnings there that contain names from strangers' model files."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO, cast

from edgepack.core.showing import visible_lines


class Screened:
    """A stream that shows control characters as numbers. Progress bars of edgepack draw on the stream behind it: see `drawn_on`."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        bar = text.startswith("\r")  # a library's own progress bar goes back to the start of its line
        self.stream.write("\r" * bar + visible_lines(text[bar:]))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def drawn_on(stream: TextIO) -> TextIO:
    """The stream for what edgepack itself draws with escape codes; the texts in it are made visible before."""
    return cast(TextIO, getattr(stream, "stream", stream)) if isinstance(stream, Screened) else stream


@contextmanager
def screened_errors() -> Iterator[None]:
    """For the time of a command: all that is written to standard error from Python, a traceback of ours too, is screened."""
    before, hook = sys.stderr, sys.excepthook
    sys.stderr = cast(TextIO, Screened(before))
    sys.excepthook = _show_error
    try:
        yield
    except Exception as error:  # a fault of edgepack: shown while the stream is screened
        _show_error(type(error), error, error.__traceback__)
        raise SystemExit(1) from None
    finally:
        sys.stderr, sys.excepthook = before, hook


def _show_error(kind: type[BaseException], error: BaseException, place: TracebackType | None) -> None:
    sys.stderr.write("".join(traceback.format_exception(kind, error, place)))
    sys.stderr.flush()
