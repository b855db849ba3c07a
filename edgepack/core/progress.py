"""Progress bars with the time left, on standard error; where that is not a terminal, a line every half minute."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from edgepack.core.distributed import is_first
from edgepack.core.showing import visible_lines
from edgepack.core.terminal import drawn_on

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


_LINE_EVERY_S = 30.0
_hushed: ContextVar[bool] = ContextVar("hushed", default=False)
_shown: ContextVar["_Drawn | _Lines | None"] = ContextVar("shown", default=None)  # the bar around hushed work

Left = Callable[[], str]


def _no_words() -> str:
    return ""


class Bar(Protocol):
    """A progress bar. advance: so much more of its total is done. rename: another title, for what changes on the way."""

    def advance(self, amount: float = 1) -> None: ...

    def rename(self, title: str) -> None: ...


class _Silent:
    def advance(self, amount: float = 1) -> None:
        pass

    def rename(self, title: str) -> None:
        pass


class _Inner:
    """A bar of hushed work: the bar around it says how far the work is."""

    def __init__(self, outer: "_Drawn | _Lines", title: str, total: float) -> None:
        self._outer, self._title, self._total, self._done = outer, title, total, 0.0
        self._start = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        spent_s = time.monotonic() - self._start
        left_s = spent_s * (self._total - self._done) / self._done if self._done else 0.0
        self._outer.within(f"{self._title} {self._done:.0f} of {self._total:.0f}, about {max(0.0, left_s):.0f} s left")

    def rename(self, title: str) -> None:
        self._title = title


class _Lines:
    """What a log shows of a bar. Nothing, where the work ends within half a minute. left: what else to say in a line."""

    def __init__(self, title: str, total: float, left: Left) -> None:
        self._title, self._total, self._done, self._left = title, total, 0.0, left
        self._start = self._last = time.monotonic()

    def within(self, text: str) -> None:
        """How far the work inside is."""
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY_S:
            self._last = now
            say_always(f"  {self._title}: {text}{self._left()}")

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
    def __init__(self, progress: "Progress", task: "TaskID", title: str, left: Left) -> None:
        self._progress, self._task, self._title, self._left = progress, task, title, left

    def within(self, text: str) -> None:
        """How far the work inside is."""
        self._progress.update(self._task, description=visible_lines(f"{self._title}: {text}{self._left()}"))

    def advance(self, amount: float = 1) -> None:
        self._progress.advance(self._task, amount)

    def rename(self, title: str) -> None:
        self._title = title
        self._progress.update(self._task, description=visible_lines(title))


@contextlib.contextmanager
def bar(title: str, total: float, left: Left = _no_words) -> Iterator[Bar]:
    """A bar of `total` units for as long as the block runs; it vanishes afterwards.

    Bars of hushed work inside it are not drawn: this one says how far they are, and then what left() gives.
    """
    outer = _shown.get()
    if not is_first() or _hushed.get():
        yield _Inner(outer, title, total) if outer is not None and is_first() else _Silent()
        return
    if not sys.stderr.isatty():
        with _as_shown(_Lines(title, total, left)) as lines:
            yield lines
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
    progress = Progress(*columns, console=Console(file=drawn_on(sys.stderr)), transient=True)
    drawn = _Drawn(progress, progress.add_task(visible_lines(title), total=total), title, left)
    with progress, _as_shown(drawn):
        yield drawn


@contextlib.contextmanager
def _as_shown(shown: "_Drawn | _Lines") -> Iterator[Bar]:
    before = _shown.set(shown)
    try:
        yield shown
    finally:
        _shown.reset(before)


def say(line: str) -> None:
    """One line of what is happening, on standard error, so that standard output stays the result."""
    if not _hushed.get():
        say_always(line)


def say_always(line: str) -> None:
    """As `say`, in hushed work too."""
    if not is_first():
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
