"""A moment after which long work is given up. It is no part of any key: what is given up leaves no result, and can go on later."""

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

from edgepack.core.errors import EdgepackError

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class TimeIsUp(EdgepackError):
    """Work was given up at its deadline."""


@contextlib.contextmanager
def deadline(at: float | None) -> Iterator[None]:
    """Work in the block is given up at this moment, by time.monotonic(). None: it is not."""
    before = _deadline.set(at)
    try:
        yield
    finally:
        _deadline.reset(before)


def check_deadline() -> None:
    """TimeIsUp: the moment is past. Work that can go on later asks between its steps."""
    at = _deadline.get()
    if at is not None and time.monotonic() > at:
        raise TimeIsUp("the time for this training is up, and what it did so far is kept", "give more --minutes: it goes on from there")
