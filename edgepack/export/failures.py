"""Shortens an exporter's error to its last reason, in one line and without colours."""

import re

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LONGEST = 300


def last_reason(error: BaseException) -> str:
    """Exporters wrap errors into errors that say no more than that a step failed; the innermost one says why."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    lines = [line.strip() for line in without_colours(str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:_LONGEST]}" if lines else type(error).__name__


def without_colours(text: str) -> str:
    """The text without the terminal's colour codes."""
    return _COLOURS.sub("", text)
