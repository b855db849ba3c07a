"""Checks a target's answer to each kind of job, because a board may be a stranger's. Later code trusts the types."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown

Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]  # ms, MB, bytes, seconds
Bytes = Annotated[int, Field(ge=0, le=10**15)]
Lasting = Annotated[float, Field(ge=1e-6, le=1e15, allow_inf_nan=False)]  # ms of what cannot take no time
Times = Annotated[list[Amount], Field(min_length=1, max_length=10_000_000)]
Words = Annotated[str, Field(max_length=1000)]
FIX = "use this edgepack's targets folder there, and check that no other program prints into its output"


class Answer(BaseModel):
    """More keys are no mistake: newer targets tell more."""

    model_config = ConfigDict(extra="allow", strict=True)


class About(Answer):
    """A machine, as targets/machine.py describes it."""

    arch: Annotated[str, Field(pattern=r"^\w[\w.-]{0,39}$")]
    cores: Annotated[int, Field(ge=1, le=100_000)]
    cpu: Words | None = None
    cpu_part: Words | None = None
    os: Words | None = None
    isa: Annotated[list[Words], Field(max_length=1000)] | None = None
    load_average: Amount | None = None
    clock_mhz: Amount | None = None
    memory_mb: Amount | None = None
    memory_free_mb: Amount | None = None
    emulated_by: Words | None = None


class _Runtime(Answer):
    name: Words
    version: Words | None  # null where a machine was not asked to start a runtime
    numpy: Words | None = None
    import_ms: Amount | None = None


class _Load(Answer):
    session_ms: Amount | None
    first_inference_ms: Amount | None
    read_bytes: Bytes | None
    weight_cache_bytes: Bytes | None
    read_ms: Amount | None = None  # of coded weights
    decode_ms: Amount | None = None


class _Contention(Answer):
    others: Annotated[float, Field(ge=0, le=1)] | None
    stolen: Annotated[float, Field(ge=0, le=1)] | None


class _Timed(Answer):
    samples_ms: Times
    warm_up_runs: Annotated[int, Field(ge=0, le=10**9)]
    machine_before: About
    contention: _Contention


class _Resident(Answer):
    peak: Amount | None
    resident: Amount | None
    anonymous: Amount | None
    file: Amount | None


class _Memory(Answer):
    empty_mb: _Resident
    running_mb: _Resident
    peak_is_exact: bool


class _Slice(Answer):
    at_s: Amount
    n: Annotated[int, Field(ge=1, le=10**9)]
    p50: Lasting
    p90: Lasting
    clock_mhz: Amount | None = None
    temperature_c: Annotated[float, Field(ge=-300, le=10_000, allow_inf_nan=False)] | None = None


class _Sustained(Answer):
    slices: Annotated[list[_Slice], Field(min_length=1)]


class _Outputs(Answer):
    outputs: list[list[Any]]


class _Certain(Answer):
    tokens: list[list[Annotated[int, Field(ge=0)]]]
    steps: list[Annotated[int, Field(ge=0)]]


class _Storage(Answer):
    bytes: Amount
    read_ms: Lasting
    read_bytes: Amount | None
    map_ms: Amount


class _Decoded(Answer):
    threads: Annotated[int, Field(ge=1, le=100_000)]
    samples_ms: Annotated[list[Lasting], Field(min_length=1)]


class _Held(Answer):
    read_bytes: Annotated[Bytes, Field(gt=0)]
    read_ms: Lasting
    load_ms: Amount


class _Throttled(Answer):
    mb_s: Lasting
    coded: _Held
    plain: _Held


class _Coding(Answer):
    decode: Annotated[list[_Decoded], Field(min_length=1)]
    throttled: list[_Throttled]
    decoded_bytes: Annotated[Bytes, Field(gt=0)]
    coded_bytes: Annotated[Bytes, Field(gt=0)]


class _Texts(Answer):
    texts: Annotated[int, Field(ge=1, le=10**9)] | None
    tokenizer_ms: Times | None = None
    after_ms: Times | None = None


class _Op(Answer):
    op: Words
    ms: Amount
    integers: bool
    inside: bool | None
    provider: Words | None = None


class _Ops(Answer):
    ops: list[_Op]
    partitions: Annotated[int, Field(ge=0, le=100_000)] | None = None  # of a runtime that does not tell ops in the order of the run
    threads: Annotated[int, Field(ge=1, le=100_000)] | None


class _Count(Answer):
    marks: Annotated[int, Field(ge=0, le=10**9)]


class _Quiet(Answer):
    contention: _Contention


_KINDS: dict[str, type[Answer]] = {
    "load": _Load,
    "latency": _Timed,
    "decode": _Timed,
    "prefill": _Timed,
    "memory": _Memory,
    "decode_memory": _Memory,
    "sustained": _Sustained,
    "sustained_decode": _Sustained,
    "answer": _Outputs,
    "certain": _Certain,
    "storage": _Storage,
    "coding": _Coding,
    "texts": _Texts,
    "ops": _Ops,
    "count": _Count,
    "quiet": _Quiet,
}


def checked(answer: dict[str, Any], job: dict[str, Any], place: str) -> dict[str, Any]:
    """The same answer, in which a machine that leaves out what it cannot tell says null.

    EdgepackError names the first key that is missing or is not what such a job tells.
    """
    check_answer(_KINDS[job["kind"]], answer, f"{job['kind']} {place}")
    for key, kind in (("machine", About), ("runtime", _Runtime)):
        check_answer(kind, answer.get(key), f"{key} of {job['kind']} {place}")
    if job["kind"] == "answer":
        _check_count(answer["outputs"], len(job["rows"]), place)
    return answer | {key: whole_machine(answer[key]) for key in ("machine", "machine_before") if key in answer}


def required(answer: dict[str, Any], key: str) -> Any:
    """What a target may leave out where it cannot be timed, and has to tell here. EdgepackError: it is null."""
    if answer.get(key) is None:
        raise EdgepackError(f"the target does not tell {key}, which a measurement needs", FIX)
    return answer[key]


def whole_machine(machine: dict[str, Any]) -> dict[str, Any]:
    """With null for what it does not tell."""
    return machine | {key: None for key in About.model_fields if key not in machine}


def check_answer(kind: type[Answer], content: Any, what: str) -> None:
    try:
        kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "all of it"
        raise EdgepackError(
            f"the answer to {what} is wrong at {key}: {shown(first['input'])}",
            FIX,
        ) from None


def _check_count(outputs: list[Any], rows: int, place: str) -> None:
    """So many outputs as rows, of numbers, with no row longer than another within one output."""
    import numpy as np

    fix = "check whether the pack is the one that was built: edgepack verify"
    if len(outputs) != rows:
        raise EdgepackError(f"{len(outputs)} outputs came for {rows} texts {place}", fix)
    for index, output in enumerate(outputs):
        try:
            array = np.asarray(output)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "iuf":
            raise EdgepackError(f"output {index} {place} is not an array of numbers: {shown(output)}", fix)
