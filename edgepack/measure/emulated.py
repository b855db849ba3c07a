"""Runs a pack on an emulated CPU, and compares its answers with this machine's and with those of the build. Gives no times."""

from pathlib import Path

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar
from edgepack.measure.emulation import NOTHING_MEASURED, Agreement, Counted, Crash, Emulation, Saturation
from edgepack.measure.golden import ask_golden, gap_between
from edgepack.measure.machines.machine import Counting, Crashed, Facts, Machine, Uncountable, why_untimed
from edgepack.measure.machines.transports.local import Here
from edgepack.pack.golden import read_golden
from edgepack.pack.manifest import Manifest
from edgepack.plan.runtime import facts_in_python
from edgepack.plan.saturation import WAY_OUT
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Outputs

LENGTHS = (16, 128)
RUNS = 5  # counted at each length


def without_times(folder: Path, manifest: Manifest, on: Machine, target: str) -> Emulation | None:
    """What a machine tells of which nothing can be timed; None where it can."""
    if "instructions" in on.can:
        return emulate(folder, manifest, on, target)
    return golden_alone(folder, manifest, on, target) if why_untimed(on) else None


def emulate(folder: Path, manifest: Manifest, on: Counting, target: str, runs: int = RUNS) -> Emulation:
    """The pack's golden texts and its instructions on the CPU of `on`. A runtime that crashes there is a result too."""
    on.push(folder, manifest)
    facts = on.facts()
    common = {
        "pack_id": manifest.pack_id,
        "target": target,
        "cpu": facts.machine["cpu_part"],
        "arch": facts.machine["arch"],
        "emulator": on.emulated_by(),
        "runtime": _runtime(facts, manifest),
    }
    with bar(f"emulate {common['cpu']}", 4) as progress:
        try:
            answers = ask_golden(on, folder, manifest, exact=False)
            progress.advance()
            saturation = _saturation(on, folder, manifest, answers)
            progress.advance()
            counted, why = _instructions(on, folder, manifest, runs)
        except Crashed as crash:
            return Emulation(**common, crash=Crash(signal=crash.ended, problem=crash.problem, fix=crash.fix))
        progress.advance()
        host = _answers_here(folder, manifest)
    golden = [np.asarray(entry["output"]) for entry in read_golden(folder)]
    return Emulation(
        **common,
        host=_agreement(manifest, answers, host) if host else None,
        golden=_agreement(manifest, answers, golden),
        instructions=counted,
        instructions_why=why,
        saturation=saturation,
    )


def golden_alone(folder: Path, manifest: Manifest, on: Machine, target: str) -> Emulation:
    """The pack's golden texts on a machine that is asked for no time: others emulate it, or it computes nothing at all.

    Of one that computes nothing: that the way through edgepack holds, and no figure.
    """
    facts, by, computes = on.facts(), on.emulated_by(), "computes" in on.can
    on.push(folder, manifest)
    answers = ask_golden(on, folder, manifest, manifest.plan.exact_products)
    host = _answers_here(folder, manifest) if computes else None
    why = f"neither times nor memory, because {by} emulates it; edgepack counts instructions only on CPUs that it emulates"
    return Emulation(
        origin="emulated" if computes else "null",
        pack_id=manifest.pack_id,
        target=target,
        cpu=facts.machine["cpu"] or "unknown CPU",
        arch=facts.machine["arch"],
        emulator=by or "null machine",
        runtime=_runtime(facts, manifest),
        host=_agreement(manifest, answers, host) if host else None,
        golden=_agreement(manifest, answers, [np.asarray(entry["output"]) for entry in read_golden(folder)]),
        instructions_why=why if computes else NOTHING_MEASURED,
    )


def lengths_counted(manifest: Manifest) -> tuple[int, ...]:
    """16 and 128 tokens, or what the pack can hold."""
    most = manifest.buckets[-1] if manifest.has_fixed_lengths else manifest.positions if manifest.is_decoder else manifest.max_length
    return tuple(sorted({min(length, most) for length in LENGTHS}))


def _runtime(facts: Facts, manifest: Manifest) -> dict[str, str]:
    runtime, packages = facts_in_python(manifest.plan.runtime), facts.packages
    return {"name": runtime.name, "version": packages.get(runtime.package) or "unknown", "numpy": packages.get("numpy") or "unknown"}


def _saturation(on: Counting, folder: Path, manifest: Manifest, answers: Outputs) -> Saturation | None:
    """Whatever differs from exact products on the same CPU is saturation: all else is computed alike there, to the last bit."""
    if not ("saturates" in on.can and manifest.plan.exact_products):
        return None
    exact = ask_golden(on, folder, manifest, exact=True)
    saturates = not _equal(answers, exact)
    return Saturation(found=saturates, largest_difference=_largest(manifest, answers, exact), way_out=WAY_OUT if saturates else None)


def _instructions(on: Counting, folder: Path, manifest: Manifest, runs: int) -> tuple[tuple[Counted, ...] | None, str | None]:
    lengths = lengths_counted(manifest)
    try:
        counts = on.count(folder, manifest.plan.runtime, lengths, runs)
    except Uncountable as reason:
        return None, f"{reason.problem} ({reason.fix})"
    return tuple(_counted(length, count) for length, count in zip(lengths, counts, strict=True)), None


def _counted(length: int, runs: tuple[int, ...]) -> Counted:
    return Counted(length=length, instructions=min(runs), runs=runs, spread=round(max(runs) / min(runs) - 1, 7))


def _answers_here(folder: Path, manifest: Manifest) -> Outputs | None:
    """This machine's, as the pack's device computes them; None where the runtime is not installed here."""
    try:
        return ask_golden(Here(), folder, manifest, manifest.plan.exact_products)
    except EdgepackError:
        return None


def _agreement(manifest: Manifest, answers: Outputs, others: Outputs) -> Agreement:
    return Agreement(
        texts=len(answers),
        decided_otherwise=_decided_otherwise(manifest, answers, others),
        equal_bit_by_bit=_equal(answers, others),
        largest_difference=_largest(manifest, answers, others),
        tolerance=manifest.golden_tolerance,
    )


def _decided_otherwise(manifest: Manifest, answers: Outputs, others: Outputs) -> int | None:
    choices = task_named(manifest.task).choices
    if choices is None:
        return None
    return sum(not np.array_equal(choices(output), choices(other)) for output, other in zip(answers, others, strict=True))


def _equal(answers: Outputs, others: Outputs) -> bool:
    return all(np.array_equal(output, other) for output, other in zip(answers, others, strict=True))


def _largest(manifest: Manifest, answers: Outputs, others: Outputs) -> float:
    task = task_named(manifest.task)
    return max((gap_between(output, other, task) for output, other in zip(answers, others, strict=True)), default=0.0)
