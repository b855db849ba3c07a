"""The record of what a model is predicted to cost on a device, how far it can be trusted, and whether it keeps to a limit."""

from typing import Literal

from edgepack.core.records import Frozen
from edgepack.plan.budget_words import BUDGETS

# Of latency and load, where nobody has measured how far off predictions are: they are off no less there than where somebody has
# (runtimes/onnxruntime.py). A small part of it decides nothing.
_TIMES_ARE_OFF = {"latency_ms": 0.13, "load_ms": 0.33}
_DOUBTED = ("latency_ms", "load_ms", "ram_mb")  # by a sentence on a plan: the size of a file is counted
_FAR_INSIDE = 0.25


_COMPARED_ENCODERS, _COMPARED_DECODERS = (4.4e6, 67e6), (32e6, 35e6)  # parameters of the models there
_COMPARED_TOKENS = (16, 128)
_FAR = 4  # times beyond them


class Prediction(Frozen):
    """Predicted cost on a device, on one core and on all of them.

    latency_ms: one inference of `length` tokens; of a decoder, which is waited for token by token, one token behind `length` others.
    first_token_ms, of a decoder: from a prompt of `length` tokens to the first token behind it. ram_mb: at `length` too.
    mean_error: shares by which such predictions were off on x86 CPUs whose rates were fitted, for models that nothing was fitted on; None:
    not known.
    """

    params: int
    file_mb: float
    ram_mb: float
    latency_ms: float
    latency_one_core_ms: float
    load_ms: float
    length: int
    first_token_ms: float | None = None
    mean_error: dict[str, float] | None = None
    read_mb: float = 0.0  # of the file, that a session reads as it opens
    origin: str = "predicted"

    def doubt(self) -> str:
        """How far to trust it, in one or two sentences."""
        if self.mean_error is None:
            return "Nobody has measured how far off predictions are for such a model on this runtime."
        errors = ", ".join(f"{100 * self.mean_error[name]:.0f} % in {BUDGETS[name][0]}" for name in _DOUBTED if name in self.mean_error)
        return (
            f"On x86, predictions for models that they were not fitted on were off by {errors} on average. "
            "Nobody has measured how far off they are on other CPUs." + self._far_from_what_was_compared()
        )

    def error_of(self, name: str) -> float | None:
        """The share by which such a figure is off on average. None: not known, also for a model far from those that were compared."""
        if self.mean_error is None or (name != "file_mb" and self._far_from_what_was_compared()):
            return None
        return self.mean_error.get(name)

    def _far_from_what_was_compared(self) -> str:
        """A sentence for a model or a text of another size than those whose predictions were compared with a measurement."""
        low, high = _COMPARED_ENCODERS if self.first_token_ms is None else _COMPARED_DECODERS
        if not low / _FAR <= self.params <= high * _FAR:
            return (
                f" They were compared for models of {low / 1e6:g} to {high / 1e6:g} million parameters; this one has "
                f"{self.params / 1e6:.2g} million, so its figures may be off several times over."
            )
        shortest, longest = _COMPARED_TOKENS
        if not shortest / _FAR <= self.length <= longest * _FAR:
            return (
                f" They were compared for texts of {shortest} to {longest} tokens; these are for {self.length}, so they may be off "
                "several times over."
            )
        return ""

    def fits(self, name: str, limit: float) -> Literal["yes", "likely", "unlikely", "no"]:
        """Whether the figure keeps to a limit; sure only where it is farther from it than such predictions are off on average."""
        value, error = getattr(self, name), self.error_of(name)
        if error is not None and value * (1 + error) <= limit:
            return "yes"
        if error is not None and value * (1 - error) > limit:
            return "no"
        return "likely" if nearly_within(name, value, limit) else "unlikely"


def nearly_within(name: str, value: float, limit: float) -> bool:
    """Whether a predicted figure keeps to a limit, or exceeds it by far less than such predictions are off: that decides nothing."""
    return value <= limit * (1 + _FAR_INSIDE * _TIMES_ARE_OFF.get(name, 0.0))
