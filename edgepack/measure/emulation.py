"""The record of an emulated run: whether the pack runs, its answers, and its instructions. It has no field for time or memory."""

from typing import Literal

from edgepack.core.records import Frozen

NOTHING_MEASURED = "null machine: nothing was measured"
NOT_SAID = ("latency", "load", "memory", "energy")


class Agreement(Frozen):
    """Answers to the golden texts beside others. largest_difference: of any output; tolerance: the pack's own.

    decided_otherwise: texts in which another class, token or place is the likeliest; None where nothing is decided.
    """

    texts: int
    decided_otherwise: int | None
    equal_bit_by_bit: bool
    largest_difference: float
    tolerance: float

    @property
    def within(self) -> bool:
        return self.largest_difference <= self.tolerance


class Counted(Frozen):
    """Instructions of single inferences of `length` tokens on one thread. spread: between the most and the fewest, of the fewest."""

    length: int
    instructions: int  # the fewest: what others take more is the interpreter's and the allocator's tidying
    runs: tuple[int, ...]
    spread: float


class Saturation(Frozen):
    """Whether sums of u8 x s8 products overflow on this CPU: its answers beside its own with products that cannot."""

    found: bool
    largest_difference: float
    way_out: str | None


class Crash(Frozen):
    """How the runtime was ended; signal: such as SIGILL, of an instruction that the CPU lacks."""

    signal: str
    problem: str
    fix: str


class Emulation(Frozen):
    """A pack on an emulated CPU. Instructions are not time, and compare within one CPU alone. crash: nothing else is known then."""

    origin: Literal["emulated", "null"] = "emulated"  # null: the machine computed nothing, and gave back what the pack says itself
    pack_id: str
    target: str
    cpu: str
    arch: str
    emulator: str
    runtime: dict[str, str]  # its name and version, and numpy's
    host: Agreement | None = None  # with this machine's answers
    golden: Agreement | None = None  # with those that the pack was built with, which are rounded to six digits
    instructions: tuple[Counted, ...] | None = None
    instructions_why: str | None = None  # where there are none
    saturation: Saturation | None = None  # None: neither this CPU nor this pack could
    crash: Crash | None = None
    not_said: tuple[str, ...] = NOT_SAID

    @property
    def where(self) -> str:
        if self.origin == "null":
            return NOTHING_MEASURED
        return f"{self.arch} emulated ({self.cpu}, {self.emulator})"

    def in_words(self) -> str:
        """One line for a table."""
        if self.origin == "null":
            return NOTHING_MEASURED
        if self.crash:
            return f"emulated: ended by {self.crash.signal}"
        parts = [f"answers {_in_words(self.host)}"] if self.host else []
        parts += [f"{counted.instructions / 1e6:.1f} M instructions at {counted.length} tokens" for counted in self.instructions or ()]
        parts += ["int8 sums saturate"] if self.saturation and self.saturation.found else []
        return f"emulated: {', '.join(parts)}"


def _in_words(answers: Agreement) -> str:
    if answers.equal_bit_by_bit:
        return "equal bit by bit"
    return f"equal within {answers.largest_difference:.2g}" if answers.within else f"differ by {answers.largest_difference:.2g}"
