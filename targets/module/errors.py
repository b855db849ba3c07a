"""What can go wrong, each with what to do about it."""

from __future__ import annotations


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
