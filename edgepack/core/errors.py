"""The one exception of edgepack for mistakes of its user; edgepack's own bugs keep their traceback."""

import difflib
from collections.abc import Iterable


class EdgepackError(Exception):
    """A mistake that the user can mend: what is wrong (value and place) and the way out.

    The command line prints both lines without a traceback and exits with 1.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}\n  fix: {fix}")
        self.problem = problem
        self.fix = fix


def did_you_mean(wrong: str, choices: Iterable[str]) -> str:
    """The nearest of `choices` to a wrong name, or all of them where none is near."""
    known = sorted(choices)
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"choose one of: {', '.join(known)}"
