"""Progress bars with the time left, on standard error; where that is not a terminal, a line every half minute."""

import contextlib
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from edgepack.core.distributed import is_first
from edgepack.core.showing import visible_lines
from edgepack.core.terminal import drawn_on

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


_LINE_EVERY_S = 30.0
_hushed: ContextVar[bool] = ContextVar("hushed", default=False)


class Bar(Protocol):
    """A progress bar. advance: so much more of its total is done. rename: another title, for what changes on the way."""

    def advance(self, amount: float = 1) -> None: ...

    def rename(self, title: str) -> None: ...


class _Silent:
    def advance(self, amount: float = 1) -> None:
        pass

    def rename(self, title: str) -> None:
        pass


class _Lines:
    """What a log shows of a bar. Nothing, where the work ends within half a minute."""

    def __init__(self, title: str, total: float) -> None:
        self._title, self._total, self._done = title, total, 0.0
        self._start = self._last = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_S or not 0 < self._done < self._total:
            return
        self._last = now
        left_s = (now - self._start) * (self._total - self._done) / self._done
        say(f"  {self._title}: {self._done / self._total:.0%} after {now - self._start:.0f} s, about {left_s:.0f} s left")

    def rename(self, title: str) -> None:
        self._title = title


class _Drawn:
    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(self._task, amount)

    def rename(self, title: str) -> None:
        self._progress.update(self._task, description=visible_lines(title))


@contextlib.contextmanager
def bar(title: str, total: float) -> Iterator[Bar]:
    """A bar of `total` units for as long as the block runs; it vanishes afterwards."""
    if not is_first() or _hushed.get():
        yield _Silent()
        return
    if not sys.stderr.isatty():
        yield _Lines(title, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=drawn_on(sys.stderr)), transient=True) as progress:
        yield _Drawn(progress, progress.add_task(visible_lines(title), total=total))


def say(line: str) -> None:
    """One line of what is happening, on standard error, so that standard output stays the result."""
    if not is_first() or _hushed.get():
        return
    line = visible_lines(line)
    if sys.stderr.isatty():
        from rich.console import Console

        Console(file=drawn_on(sys.stderr), highlight=False).print(line, markup=False, emoji=False)
    else:
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """No line and no bar while the block runs: for work of which there is so much that whoever asks for it shows a bar of its own."""
    before = _hushed.set(True)
    try:
        yield
    finally:
        _hushed.reset(before)
