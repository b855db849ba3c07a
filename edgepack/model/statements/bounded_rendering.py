"""Renders a chat template under limits: it is code that came with the model, and its loops may never end."""

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

CPU_S = 5.0  # of this thread for all conversations together, so that a busy machine changes no result; templates in use take below 1 s
CHARACTERS = 1_000_000  # of one conversation
_TEMPLATE = "<template>"  # jinja2's name of the file that it compiles


class CostlyTemplate(Exception):
    """A template took too long, or wrote too much."""


def bounded(render: Callable[[Any], str], cpu_s: float = CPU_S) -> Callable[[Any], str]:
    """`render`, which raises CostlyTemplate once a limit is reached, and from then on for every conversation.

    A trace looks at the clock at each line of the template, and at each call of a function.
    """
    spent_s, is_costly = 0.0, False

    def bounded_render(messages: Any) -> str:
        nonlocal spent_s, is_costly
        if is_costly:
            raise CostlyTemplate
        start_s, before = time.thread_time(), sys.gettrace()
        sys.settrace(_trace(start_s + cpu_s - spent_s))
        try:
            text = render(messages)
        except (CostlyTemplate, MemoryError, OverflowError):
            is_costly = True
            raise CostlyTemplate from None
        finally:
            sys.settrace(before)
            spent_s += time.thread_time() - start_s
        if len(text) > CHARACTERS or spent_s > cpu_s:
            is_costly = True
            raise CostlyTemplate
        return text

    return bounded_render


def _trace(end_s: float) -> Callable[[FrameType, str, Any], Any]:
    def look(frame: FrameType, event: str, argument: Any) -> Any:
        if time.thread_time() > end_s:
            raise CostlyTemplate
        return look if frame.f_code.co_filename == _TEMPLATE else None

    return look
