"""Fits a profile's rates to latencies measured on its device, and writes the profile as TOML. Pure: measures nothing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.escape import toml
from edgepack.core.showing import visible_lines
from edgepack.plan.cost_model import predict
from edgepack.plan.precision import exported_precision, precision_names
from edgepack.plan.profile import IsaFlag, PrecisionName, Profile, arch_of, load_profile, profile_names
from edgepack.plan.shape import ModelShape

_RATES = np.geomspace(0.25, 512, 400)  # products a cycle: 2 % from one to the next
_COARSE_RATES = _RATES[::20]
_BANDWIDTHS = np.geomspace(1, 500, 60)  # GB/s, as data sheets state it
_LEAST_SESSION_SCALE = 0.1  # where a read took as long as all of a load, nothing is left to compare
_LOADED_WITH = 16  # tokens, which a load does not hang on
_ISA_OF_LINUX = {"asimd": "neon", "asimddp": "dotprod", "asimdhp": "fp16"}  # as /proc/cpuinfo writes it on ARM


class Timed(NamedTuple):
    """The median latency of one inference of `length` tokens, measured on one core."""

    shape: ModelShape
    precision: PrecisionName
    length: int
    latency_ms: float


class Opened(NamedTuple):
    """The median of a cold load: from nothing in the page cache to a session that can run."""

    shape: ModelShape
    precision: PrecisionName
    load_ms: float


class Rate(NamedTuple):
    """What was fitted: products a cycle, and the mean share by which predictions with it are off on the very texts it is fitted on."""

    macs_per_cycle: float
    mean_error: float


def isa_of(machine: Mapping[str, Any]) -> tuple[IsaFlag, ...]:
    """The instruction sets of a machine's facts, by the names that profiles use."""
    return tuple(sorted({_ISA_OF_LINUX.get(flag, flag) for flag in machine["isa"] or ()} & set(get_args(IsaFlag))))


def nearest_profile(machine: Mapping[str, Any]) -> Profile:
    """The shipped profile of the machine's architecture that shares most instruction sets with it, and lacks fewest.

    EdgepackError: no profile is of this architecture.
    """
    arch, isa = arch_of(machine["arch"]), set(isa_of(machine))
    alike = [profile for profile in map(load_profile, profile_names()) if profile.cpu.arch == arch]
    if not alike:
        raise EdgepackError(f"no shipped profile is of the architecture {arch}", "write the profile by hand: see `Add a device`")
    return min(alike, key=lambda profile: (len(isa ^ set(profile.cpu.isa)), abs(profile.cpu.cores - machine["cores"])))


def described(like: Profile, machine: Mapping[str, Any]) -> Profile:
    """`like` with what a machine says of itself: its CPU, cores, instruction sets and memory."""
    cpu = like.cpu.model_copy(
        update={
            "arch": arch_of(machine["arch"]),
            "part": machine.get("cpu_part") or machine.get("cpu") or like.cpu.part,
            "cores": machine["cores"],
            "isa": isa_of(machine) or like.cpu.isa,
        }
    )
    total_mb = machine.get("memory_mb")
    memory = like.memory.model_copy(update={"total_mb": round(total_mb)}) if total_mb else like.memory
    summary = f"{machine.get('cpu') or cpu.part}, {cpu.cores} cores, {memory.total_mb / 1024:.0f} GB"
    return like.model_copy(update={"name": "fitted", "summary": summary, "cpu": cpu, "memory": memory})


def fit_rates(profile: Profile, timed: Mapping[str, Sequence[Timed]]) -> tuple[Profile, dict[str, dict[PrecisionName, Rate]]]:
    """The profile with the rates that make predictions of `timed`, by runtime, least wrong; and each rate by runtime and precision.

    The memory's bandwidth is fitted too, for all runtimes together: it bounds short texts of models that no cache holds.
    """
    trials = [_with_rates(_with_bandwidth(profile, gb_s), timed, _COARSE_RATES) for gb_s in _BANDWIDTHS]
    errors = [np.mean([rate.mean_error for each in rates.values() for rate in each.values()]) for _, rates in trials]
    return _with_rates(trials[int(np.argmin(errors))][0], timed, _RATES)


def _with_bandwidth(profile: Profile, gb_s: float) -> Profile:
    return profile.model_copy(update={"memory": profile.memory.model_copy(update={"bandwidth_gb_s": round(gb_s, 1)})})


def _with_rates(
    profile: Profile, timed: Mapping[str, Sequence[Timed]], tried: np.ndarray
) -> tuple[Profile, dict[str, dict[PrecisionName, Rate]]]:
    """fp32 comes first in each runtime: what other precisions do not round is computed in it."""
    rates: dict[str, dict[PrecisionName, Rate]] = {}
    for runtime, rows in timed.items():
        rates[runtime] = {}
        for precision in (name for name in precision_names() if any(row.precision == name for row in rows)):
            judged = [row for row in rows if row.precision == precision]
            trials = [with_rate(profile, runtime, precision, round(float(rate), 2)) for rate in tried]
            errors = [mean_error(trial, runtime, judged) for trial in trials]
            profile = trials[int(np.argmin(errors))]
            rate = profile.runtimes[runtime].precisions[precision].macs_per_cycle
            rates[runtime][precision] = Rate(rate, min(errors))
    return profile, rates


def mean_error(profile: Profile, runtime: str, timed: Sequence[Timed]) -> float:
    """The mean share by which the profile's predictions are off from what was measured, on one core."""
    return float(np.mean([abs(_predicted_ms(profile, runtime, row) / row.latency_ms - 1) for row in timed]))


def _predicted_ms(profile: Profile, runtime: str, row: Timed) -> float:
    return predict(row.shape, row.precision, profile, runtime, row.length).latency_one_core_ms


def with_rate(profile: Profile, runtime: str, precision: PrecisionName, macs_per_cycle: float) -> Profile:
    """The profile with another number of products a cycle."""
    stated = profile.runtimes[runtime]
    speed = stated.precisions[precision].model_copy(update={"macs_per_cycle": macs_per_cycle})
    changed = stated.model_copy(update={"precisions": stated.precisions | {precision: speed}})
    return profile.model_copy(update={"runtimes": profile.runtimes | {runtime: changed}})


def fit_session_scale(profile: Profile, runtime: str, opened: Sequence[Opened]) -> Profile:
    """The profile with the median of how many times as long sessions took as the cost model counts, beside reading their files.

    The storage's speed must be the profile's already.
    """
    plain = _with_session_scale(profile, runtime, 1.0)
    ratios = [_session_ratio(plain, runtime, row) for row in opened]
    return _with_session_scale(profile, runtime, max(_LEAST_SESSION_SCALE, round(float(np.median(ratios)), 2)))


def _session_ratio(profile: Profile, runtime: str, row: Opened) -> float:
    predicted = predict(row.shape, row.precision, profile, runtime, _LOADED_WITH)
    read_ms = predicted.read_mb / profile.storage.read_mb_s * 1e3
    return (row.load_ms - read_ms) / (predicted.load_ms - read_ms)


def _with_session_scale(profile: Profile, runtime: str, scale: float) -> Profile:
    stated = profile.runtimes[runtime].model_copy(update={"session_scale": scale})
    return profile.model_copy(update={"runtimes": profile.runtimes | {runtime: stated}})


def scaled_with_fp32(profile: Profile, like: Profile, runtime: str, fitted: Mapping[PrecisionName, Rate]) -> Profile:
    """Precisions that were not measured keep the rate that `like` gives them beside fp32's."""
    base = like.runtimes[runtime].precisions
    share = profile.runtimes[runtime].precisions[exported_precision()].macs_per_cycle / base[exported_precision()].macs_per_cycle
    for precision in base.keys() - fitted.keys():
        profile = with_rate(profile, runtime, precision, base[precision].macs_per_cycle * share)
    return profile


def profile_toml(profile: Profile, notes: Mapping[str, str]) -> str:
    """The profile as a file in device_profiles is written. notes: a comment for a key, such as `cpu.clock_ghz`, or for a table."""
    return "\n".join(_toml_lines(profile.model_dump(exclude={"name"}, exclude_none=True), notes)) + "\n"


def _toml_lines(table: Mapping[str, Any], notes: Mapping[str, str], path: str = "") -> Iterator[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    for key, value in table.items():
        if key not in tables:
            yield _commented(f"{key} = {_toml_value(value)}", notes.get(f"{path}{key}"))
    for key, value in tables.items():
        if not value:
            continue
        if all(isinstance(each, Mapping) and "macs_per_cycle" in each for each in value.values()):
            yield from ("", f"[{path}{key}]")
            for name, speed in value.items():
                inside = ", ".join(f"{field} = {_toml_value(each)}" for field, each in speed.items())
                yield _commented(f"{name} = {{ {inside} }}", notes.get(f"{path}{key}.{name}"))
            continue
        if not all(isinstance(each, Mapping) for each in value.values()):
            yield from ("", _commented(f"[{path}{key}]", notes.get(f"{path}{key}")))
        yield from _toml_lines(value, notes, f"{path}{key}.")


def _commented(line: str, note: str | None) -> str:
    return f"{line}  # {visible_lines(' '.join(note.split()))}" if note else line


def _toml_value(value: object) -> str:
    if isinstance(value, str):
        return f'"{toml(value)}"'
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml_value, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
