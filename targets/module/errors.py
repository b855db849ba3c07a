"""What can go wrong, each with what to do about it."""

from __future__ import annotations

from contextlib import contextmanager


class ModuleError(Exception):
    """problem: what is wrong; fix: the way out."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__("{} ({})".format(problem, fix))
        self.problem, self.fix = problem, fix


class Changed(ModuleError):
    """A file is not the one that was shipped, is missing, or is not signed by the key that the module knows. Nothing was loaded."""


class BadInput(ModuleError, ValueError):
    """A text that the model cannot take."""


class NotText(ModuleError, TypeError):
    """Something else than text."""


class Closed(ModuleError, RuntimeError):
    """A call after close()."""


@contextmanager
def errors_of_runtime(what: str):
    """A runtime has classes of errors of its own, without a common one. what: it did, as "fails on this text"."""
    try:
        yield
    except ModuleError:
        raise
    except Exception as error:
        reason = str(error).strip()[:300] or type(error).__name__
        raise ModuleError("the runtime {}: {}".format(what, reason), "install the module again") from error
