"""Sizes of a student, as `--student` takes them."""

import re

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen

_SIZES = {
    "params": re.compile(r"(\d+(?:\.\d+)?)M"),
    "percent": re.compile(r"(\d+(?:\.\d+)?)%"),
    "shape": re.compile(r"(\d+)x(\d+)"),
}
_HOW_TO_SIZE = "write a size as 13M (parameters), 50% (of the teacher), 3x384 (layers x hidden width) or same"


class StudentSize(Frozen):
    """What `--student` asks for; exactly one of the fields is set, none for `same`."""

    text: str
    params: float | None = None
    rounding: float | None = None  # a size written as 13M is met by what rounds to it: within half of the last digit
    percent: float | None = None
    layers: int | None = None
    hidden: int | None = None

    @property
    def is_same(self) -> bool:
        return self.text == "same"


def parse_student(text: str) -> StudentSize:
    """`13M`, `50%`, `3x384` or `same` as a StudentSize."""
    if text == "same":
        return StudentSize(text=text)
    if match := _SIZES["params"].fullmatch(text):
        decimals = len(match[1].partition(".")[2])
        return StudentSize(text=text, params=float(match[1]) * 1e6, rounding=0.5e6 * 10.0**-decimals)
    if match := _SIZES["percent"].fullmatch(text):
        if not 0 < float(match[1]) <= 100:
            raise EdgepackError(f"a student cannot have {text} of its teacher's parameters", "choose a percentage above 0 and up to 100")
        return StudentSize(text=text, percent=float(match[1]))
    if match := _SIZES["shape"].fullmatch(text):
        return StudentSize(text=text, layers=int(match[1]), hidden=int(match[2]))
    raise EdgepackError(f"unknown student size: {text!r}", _HOW_TO_SIZE)
