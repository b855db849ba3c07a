"""EdgepackError: the exception for mistakes of the user. Bugs of edgepack keep their traceback."""

import contextlib
from collections.abc import Iterable, Iterator

from edgepack.core.showing import message


class EdgepackError(Exception):
    """A mistake that the user can correct. problem: the wrong value and its place. fix: what to do about it.

    Values come from files of strangers: here, at one place, long ones are cut and control characters are made visible.

    The command line prints both lines without a traceback and exits with 1.
    """

    def __init__(self, problem: str, fix: str) -> None:
        self.problem = message(problem)
        self.fix = message(fix)
        super().__init__(f"{self.problem}\n  fix: {self.fix}")


def did_you_mean(wrong: str, choices: Iterable[str]) -> str:
    """A question with the nearest of `choices` to a wrong name, or a list of all `choices` where none is near."""
    import difflib  # here, for most runs make no mistake

    known = sorted(choices)
    near = difflib.get_close_matches(wrong[:100], known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"choose one of: {', '.join(known)}"


def stopped_in_rust(error: BaseException) -> EdgepackError | None:
    """What is told where a library in Rust gave up, such as tokenizers on a pattern that never ends; it raises no Exception then."""
    if type(error).__module__ != "pyo3_runtime":
        return None
    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
    return EdgepackError(
        f"a library that reads models and texts gave up: {reason}",
        "if it names a Regex, correct that pattern in the model's tokenizer.json; else save the model and its tokenizer again",
    )


@contextlib.contextmanager
def border_of_rust() -> Iterator[None]:
    """For each public function that reads strangers' texts or tokenizers: where a library in Rust gives up, it raises EdgepackError."""
    try:
        yield
    except BaseException as error:
        refusal = stopped_in_rust(error)
        if refusal is None:
            raise
        raise refusal from None
