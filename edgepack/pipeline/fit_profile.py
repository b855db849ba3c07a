"""fit_profile(): a device's profile, from what it says of itself and from small models that are timed there."""

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgepack.core.cache import cache_folder
from edgepack.core.errors import EdgepackError
from edgepack.core.locks import only_one
from edgepack.core.records import Frozen
from edgepack.measure.machines.boards import way_to_install
from edgepack.measure.machines.machine import Facts, Machine, check_times
from edgepack.measure.machines.targets import Target, transport
from edgepack.pipeline.reference_packs import PRECISIONS, reference_packs, time_packs
from edgepack.plan.fitting import Rate, Timed, described, fit_rates, fit_session_scale, nearest_profile, profile_toml, scaled_with_fp32
from edgepack.plan.precision import exported_precision
from edgepack.plan.profile import Precision, Profile, Runtime
from edgepack.plan.runtime import RuntimeFacts, default_runtime, missing_builders, python_runtimes

_UNKNOWN_CLOCK = "assumption: the machine does not tell; the rates below are fitted to this clock"


class Fitted(Frozen):
    """A profile, its TOML with a comment for where each figure comes from, and what was timed.

    rates: products a cycle by runtime and precision. mean_error: shares by which predictions with them are off on what was timed.
    missing: sentences, one for each runtime that was left out.
    """

    profile: Profile
    toml: str
    rates: dict[str, dict[str, float]]
    mean_error: dict[str, dict[str, float]]
    measured: tuple[dict[str, str | int | float], ...]
    missing: tuple[str, ...]
    seconds: float


def fit_profile(target: Target, like: Profile | None = None, cache: Path | None = None, force: bool = False) -> Fitted:
    """Times two small models with random weights on `target`, and fits the products a cycle of each runtime that is there.

    What cannot be asked or timed (the clock where the machine hides it, budgets) is taken from `like`, or from the shipped profile whose
    CPU is nearest; a comment says so.
    force: other work on the machine is taken. EdgepackError: it is emulated, cannot be timed, has no runtime, is busy, or is being fitted.
    """
    start = time.monotonic()
    with transport(target).opened(target) as machine, _place(cache or cache_folder(), target) as place:
        check_times(machine, target.name)
        facts = machine.facts()
        like = like or nearest_profile(facts.machine)
        profile = described(like, facts.machine)
        runtimes, missing = _runtimes(facts, target, machine)
        profile = profile.model_copy(update={"runtimes": {each.name: _starting(each, like) for each in runtimes}})
        packs = reference_packs(profile, runtimes, place, cache)
        timed, opened, read_mb_s, clock_ghz = time_packs(machine, packs, target.name, force)
    notes = {
        "summary": f"what is not measured here comes from {like.name}",
        "memory.bandwidth_gb_s": "fitted with the rates below: twice of what a core reads",
    }
    profile = _with_clock(profile, clock_ghz, notes)
    profile = _with_storage(profile, read_mb_s, target, notes)
    Profile.read(profile.model_dump(mode="json", exclude_none=True), f"what {target.name} says of itself")  # so that it can be read again
    source = profile
    profile, rates = fit_rates(profile, timed)
    for runtime in rates:
        profile = scaled_with_fp32(profile, source, runtime, rates[runtime])
        if opened[runtime] and read_mb_s:
            profile = fit_session_scale(profile, runtime, opened[runtime])
            notes[f"runtimes.{runtime}.session_scale"] = f"measured: cold loads at {target.name}, beside reading the files"
        notes |= _rate_notes(profile, runtime, rates[runtime], facts, target)
    notes["budget"] = f"assumptions: {like.name}'s; put in what your app needs"
    return Fitted(
        profile=profile,
        toml=profile_toml(profile, notes),
        rates={runtime: {key: rate.macs_per_cycle for key, rate in each.items()} for runtime, each in rates.items()},
        mean_error={runtime: {key: round(rate.mean_error, 3) for key, rate in each.items()} for runtime, each in rates.items()},
        measured=tuple(_rows(timed)),
        missing=missing,
        seconds=round(time.monotonic() - start, 1),
    )


@contextmanager
def _place(cache: Path, target: Target) -> Iterator[Path]:
    """A folder for the models, of one process: two that time on one machine at once would both be wrong. It vanishes with the block."""
    place = cache / "fits" / re.sub(r"[^\w.-]+", "-", target.name)
    with only_one(place, f"the profile of {target.name} that is made in", "wait for it"):
        shutil.rmtree(place, ignore_errors=True)  # left by a process that was killed
        place.mkdir(parents=True)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _runtimes(facts: Facts, target: Target, machine: Machine) -> tuple[list[RuntimeFacts], tuple[str, ...]]:
    """Those that are installed there and whose files can be written here, one for each format; and why others are left out."""
    present = [runtime for runtime in python_runtimes() if facts.packages.get(runtime.package)]
    if not present:
        way = way_to_install(target, machine, default_runtime()) if facts.python else "name a machine with Python"
        raise EdgepackError(f"no runtime is installed for Python on {target.name}", way)
    by_format: dict[str, RuntimeFacts] = {}
    absent = [runtime.name for runtime in python_runtimes() if runtime not in present]
    missing = [f"{name}: not installed on {target.name}, so the profile does not list it" for name in absent]
    for runtime in present:
        lacks = missing_builders(runtime.format)
        if lacks:
            missing.append(f"{runtime.name}: its files need {', '.join(lacks)} here: pip install 'edgepack[tflite]'")
        elif other := by_format.get(runtime.format):
            missing.append(f"{runtime.name}: {other.name} opens the same files, and is the one that is timed")
        else:
            by_format[runtime.format] = runtime
    return list(by_format.values()), tuple(missing)


def _starting(runtime: RuntimeFacts, like: Profile) -> Runtime:
    """What `like` states of the runtime, its words and the rates to start from; of a runtime that it lacks, what is timed and no more."""
    stated = like.runtimes.get(runtime.name)
    timed = {precision: Precision(macs_per_cycle=8, why=_why(precision)) for precision in PRECISIONS}
    return Runtime(version=".".join(runtime.version.split(".")[:2]), precisions=timed | (stated.precisions if stated else {}))


def _why(precision: str) -> str:
    return "exact" if precision == exported_precision() else f"its rate was measured on this device, beside {exported_precision()}'s"


def _with_clock(profile: Profile, clock_ghz: float | None, notes: dict[str, str]) -> Profile:
    notes["cpu.clock_ghz"] = "measured: the highest while models were timed" if clock_ghz else _UNKNOWN_CLOCK
    return profile.model_copy(update={"cpu": profile.cpu.model_copy(update={"clock_ghz": round(clock_ghz, 3)})}) if clock_ghz else profile


def _with_storage(profile: Profile, read_mb_s: float | None, target: Target, notes: dict[str, str]) -> Profile:
    if read_mb_s is None:
        notes["storage.read_mb_s"] = "assumption: the machine does not prove that a read came from its storage"
        return profile
    notes["storage.read_mb_s"] = f"measured: the models' files, read at {target.name}"
    return profile.model_copy(update={"storage": profile.storage.model_copy(update={"read_mb_s": round(read_mb_s, 1)})})


def _rate_notes(profile: Profile, runtime: str, rates: Mapping[str, Rate], facts: Facts, target: Target) -> dict[str, str]:
    there = facts.packages.get(next(each.package for each in python_runtimes() if each.name == runtime))
    notes = {}
    for precision in profile.runtimes[runtime].precisions:
        fitted = rates.get(precision)
        notes[f"runtimes.{runtime}.precisions.{precision}"] = (
            f"fitted to latencies measured at {target.name} ({runtime} {there}); off by {fitted.mean_error:.0%} on average there"
            if fitted
            else f"not measured: scaled as {exported_precision()}"
        )
    return notes


def _rows(timed: Mapping[str, list[Timed]]) -> Iterator[dict[str, str | int | float]]:
    for runtime, rows in timed.items():
        for row in rows:
            layers, hidden = len(row.shape.layers), row.shape.hidden
            yield {
                "runtime": runtime,
                "model": f"{layers} x {hidden}",
                "precision": row.precision,
                "length": row.length,
                "latency_ms": round(row.latency_ms, 4),
            }
