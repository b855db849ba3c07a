"""The records of a measurement: raw samples, figures from them, and the facts that are needed to doubt them."""

from math import inf
from typing import Any, Literal

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.measure.machines.targets import LOCAL
from edgepack.measure.statistics import Summary
from edgepack.pack.manifest import Manifest
from edgepack.plan.profile import Profile, arch_of


class Effort(Frozen):
    """How long to measure: all sessions together take `sessions * runs` inferences and `sessions * seconds` at least.

    sustained_s: then one session goes on for so long, for what heat and a battery's limits do. force: other work on the machine
    is told in the doubts, where otherwise it is waited for and then refused.
    """

    name: Literal["full", "quick", "mlperf"]
    sessions: int
    runs: int
    seconds: float
    loads: int
    sustained_s: float = 0.0
    force: bool = False

    def covers(self, other: "Effort") -> bool:
        """Whether it is as thorough in everything that is measured. What else may run meanwhile (force) makes no sample more or fewer."""
        counted = ("sessions", "runs", "seconds", "loads", "sustained_s")
        return all(getattr(self, name) >= getattr(other, name) for name in counted)


FULL = Effort(name="full", sessions=5, runs=40, seconds=2.0, loads=5)
QUICK = Effort(name="quick", sessions=2, runs=10, seconds=0.1, loads=2, force=True)
MLPERF = Effort(name="mlperf", sessions=5, runs=205, seconds=12.0, loads=5)  # MLPerf Mobile's 1,024 inferences and 60 s


def chosen_effort(quick: bool, mlperf: bool, sustained_minutes: float, force: bool) -> Effort:
    """What the flags of `edgepack measure` ask for; EdgepackError where they exclude one another."""
    if quick and mlperf:
        raise EdgepackError("--quick and --mlperf cannot be used together", "leave one of the two out")
    if not 0 <= sustained_minutes < inf:  # no number (nan) is neither
        raise EdgepackError(f"--sustained {sustained_minutes:g}: the minutes are a number from 0 on", "give minutes, such as 10")
    effort = QUICK if quick else MLPERF if mlperf else FULL
    return effort.model_copy(update={"sustained_s": sustained_minutes * 60, "force": force or effort.force})


class LatencyRow(Frozen):
    """Single inferences of `length` tokens, or of one token behind `length` others; samples_ms holds each session's raw samples."""

    length: int
    threads: int
    summary: Summary
    samples_ms: tuple[tuple[float, ...], ...]
    warm_up_runs: tuple[int, ...]
    others: tuple[float | None, ...] = ()  # shares of the cores that other processes took in each session, and other guests
    stolen: tuple[float | None, ...] = ()


class LoadRow(Frozen):
    """Session loads in fresh processes. cold_is_proved: the storage delivered at least half of the file's bytes each time."""

    cold: bool
    cold_is_proved: bool | None
    session_ms: tuple[float, ...]
    first_inference_ms: tuple[float, ...]
    read_bytes: tuple[int | None, ...]
    import_ms: tuple[float, ...]  # of the runtime's own module; not part of session_ms
    read_ms: tuple[float | None, ...] = ()  # parts of session_ms, of coded weights: read from the file (or from the cache, and checked),
    decode_ms: tuple[float | None, ...] = ()  # and decoded; what is left of it opens the session


class FirstStart(Frozen):
    """The start that fills the weight cache, which all loads in the other rows found there. disk_mb: what it takes beside the pack."""

    session_ms: float
    first_inference_ms: float
    disk_mb: float


class MemoryRow(Frozen):
    """Memory of one session, 10^6 bytes, less what the same process held with the runtime imported and nothing loaded."""

    threads: int
    length: int
    peak_mb: float | None
    anonymous_mb: float | None
    file_mb: float | None
    empty_runtime_mb: float | None
    peak_is_exact: bool


class StorageRow(Frozen):
    """The model's files read one after the other as the loads began: read_mb_s is the storage's own where `is_proved`.

    is_proved: the storage delivered at least half of the bytes, and not the page cache. map_ms: mapped and touched page by page.
    """

    mb: float
    read_ms: float
    map_ms: float
    read_mb_s: float
    is_proved: bool | None


class Decoding(Frozen):
    """Coded weights decoded in memory: MB/s of decoded bytes, of the median of the samples."""

    threads: int
    mb_s: float
    samples_ms: tuple[float, ...]


class ThrottledLoad(Frozen):
    """A cold load whose file was read by a reader that was held to `mb_s`; the rates that it really read at prove that."""

    mb_s: float
    coded_mb_s: float
    coded_load_ms: float
    plain_mb_s: float
    plain_load_ms: float
    origin: Literal["throttled"] = "throttled"


class CodingRow(Frozen):
    """What coding costs and saves on this machine. break_even_mb_s: of a storage; below it coded weights load faster, on all threads."""

    decoded_mb: float
    coded_mb: float
    decoding: tuple[Decoding, ...]
    break_even_mb_s: float
    throttled: tuple[ThrottledLoad, ...]


class TextTimes(Frozen):
    """What an app does around the model on the pack's golden texts, with the code that a module runs: all in ms, a text at a time."""

    texts: int
    tokenizer: Summary
    after: Summary  # the decision: from outputs to labels with scores, entities, answers
    tokenizer_ms: tuple[float, ...]
    after_ms: tuple[float, ...]


class Slice(Frozen):
    """Ten seconds of a sustained run, from `at_s` on."""

    at_s: float
    n: int
    p50: float
    p90: float
    clock_mhz: float | None
    temperature_c: float | None


class Sustained(Frozen):
    """Inferences of `length` tokens without a pause. The first minute's median against the last's: of runs over two minutes alone."""

    length: int
    threads: int
    seconds: float
    first_minute_ms: float
    last_minute_ms: float | None
    slices: tuple[Slice, ...]

    @property
    def slowdown(self) -> float | None:
        return self.last_minute_ms / self.first_minute_ms if self.last_minute_ms else None


class Measurement(Frozen):
    """origin says what kind of number all of these are; `environment` where they come from."""

    origin: Literal["measured"] = "measured"
    pack_id: str
    target: str = LOCAL.name  # as the user named it
    where: str
    is_the_device: bool
    effort: Effort
    latency: tuple[LatencyRow, ...]  # of a decoder: of one token, by the tokens before it
    load: tuple[LoadRow, ...]
    memory: tuple[MemoryRow, ...]
    first_start: FirstStart | None = None  # where the pack keeps a weight cache
    first_token: tuple[LatencyRow, ...] = ()  # of a decoder: from a prompt of `length` tokens to the first token behind it
    storage: StorageRow | None = None
    coding: CodingRow | None = None  # of a pack whose weights are coded
    texts: TextTimes | None = None  # None where tokenizers is not installed there, and for a decoder
    sustained: Sustained | None = None
    environment: dict[str, Any]
    doubts: tuple[str, ...]
    is_steady: bool = True  # every row's sessions agree within 5 %, and nothing else took the machine

    @property
    def proves_nothing(self) -> bool:
        """A short run on a machine that is busy: no gate passes by it."""
        return self.effort.name == "quick" and not self.is_steady


def headline_length(manifest: Manifest) -> int:
    """The tokens that the latency budget is for; behind them a decoder has room for one more."""
    length = min(manifest.recipe.length, manifest.max_length)
    return min(length, manifest.positions - 1) if manifest.is_decoder else length


def is_the_device(profile: Profile, machine: dict[str, Any]) -> bool:
    """Whether this machine is the profile's: the same architecture and the CPU part that the profile names, and no emulated one."""
    if machine.get("emulated_by"):
        return False
    names = [_plain(machine[key]) for key in ("cpu", "cpu_part") if machine.get(key)]
    return arch_of(machine["arch"]) == profile.cpu.arch and any(_plain(profile.cpu.part) in name for name in names)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower().replace("(r)", "").replace("(tm)", "") if c.isalnum())
