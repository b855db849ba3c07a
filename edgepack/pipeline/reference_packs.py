"""Small models with random weights that show how fast a machine is: written, built for it, and timed there in turn.

Times do not hang on what weights say, so no model of a user is needed.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar, say
from edgepack.measure.doubts import wait_for_quiet
from edgepack.measure.figures import storage
from edgepack.measure.machines.job_answers import required
from edgepack.measure.machines.machine import Machine
from edgepack.measure.measurement import Effort
from edgepack.measure.workload import load_job, timing_job
from edgepack.pack.manifest import Manifest, read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.fitting import Opened, Timed
from edgepack.plan.profile import Budget, Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.runtime import RuntimeFacts

PRECISIONS = ("fp32", "int8")
_SHAPES = ((6, 384, 12, 1536), (4, 256, 4, 1024))  # layers, hidden, heads, FFN: MiniLM's, and a smaller one
_LENGTHS = (16, 64, 128)
_PIECES = 2000  # of the vocabulary: a text reads a row for each token, so its size costs no time
_EFFORT = Effort(name="quick", sessions=3, runs=20, seconds=0.4, loads=0)


class Pack(NamedTuple):
    """A reference model as a runtime opens it."""

    folder: Path
    manifest: Manifest


class Timings(NamedTuple):
    """Latencies and cold loads by runtime; the storage's MB/s; the highest clock in GHz that the machine told meanwhile.

    No loads and no MB/s: the machine does not prove that a read came from its storage.
    """

    timed: dict[str, list[Timed]]
    opened: dict[str, list[Opened]]
    read_mb_s: float | None
    clock_ghz: float | None


def reference_packs(profile: Profile, runtimes: Sequence[RuntimeFacts], place: Path, cache: Path | None) -> dict[str, list[Pack]]:
    """A pack of each shape and precision for each runtime, built for this very CPU."""
    packs: dict[str, list[Pack]] = {runtime.name: [] for runtime in runtimes}
    say(f"builds {len(_SHAPES) * len(PRECISIONS) * len(runtimes)} small models with random weights, which the device then times")
    for number, shape in enumerate(_SHAPES):
        model = place / f"model{number}"
        _write_model(shape, model)
        for precision in PRECISIONS:
            for runtime in runtimes:
                only = profile.model_copy(update={"runtimes": {runtime.name: profile.runtimes[runtime.name]}, "budget": Budget()})
                recipe = Recipe(model=str(model), task="feature-extraction", student="same", prune_heads=0.0, precision=precision)
                folder = place / f"{runtime.name}-{precision}-{number}"
                build(recipe.model_copy(update={"format": runtime.format}), only, folder, cache or place / "cache", effort=None)
                packs[runtime.name].append(Pack(folder, read_manifest(folder)))
    return packs


def _write_model(shape: tuple[int, int, int, int], folder: Path) -> None:
    """A BERT with random weights, and a tokenizer for it that nobody asks anything."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    layers, hidden, heads, ffn = shape
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": ffn}
    BertModel(BertConfig(**sizes, vocab_size=_PIECES)).eval().save_pretrained(folder)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = special + [f"w{index}" for index in range(_PIECES - len(special))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=512).save_pretrained(folder)


def time_packs(machine: Machine, packs: Mapping[str, list[Pack]], target: str, force: bool = False) -> Timings:
    """Times the packs on `machine`, in turn, so that heat or a drift touches all of them alike. force: other work is taken.

    EdgepackError where the machine is busy.
    """
    samples: dict[tuple[str, int, int], list[float]] = {}
    loads: dict[tuple[str, int], list[float]] = {}
    speeds, clocks = [], []
    jobs = [(runtime, number, length) for runtime, each in packs.items() for number in range(len(each)) for length in _LENGTHS]
    if "quiet" in machine.can and not force:
        first, pack = next((runtime, each[0]) for runtime, each in packs.items())
        machine.push(pack.folder, pack.manifest)
        wait_for_quiet(partial(machine.run_job, pack.folder, first), target)
    with bar(f"time on {target}", _EFFORT.sessions * len(jobs)) as progress:
        for _ in range(_EFFORT.sessions):
            for runtime, number, length in jobs:
                pack = packs[runtime][number]
                machine.push(pack.folder, pack.manifest)  # a board keeps the files; it only makes them the pack that answers
                result = machine.run_job(pack.folder, runtime, timing_job("latency", length, 1, _EFFORT))
                samples.setdefault((runtime, number, length), []).append(float(np.median(result["samples_ms"])))
                clocks.append(_clock_ghz(result))
                progress.advance()
            if "storage" in machine.can:
                row = storage(partial(machine.run_job, pack.folder, runtime))
                speeds.append(row.read_mb_s if row and row.is_proved else None)
                _time_loads(machine, packs, loads)
    timed = {
        runtime: [
            Timed(pack.manifest.plan.student, pack.manifest.plan.precision, length, float(np.median(samples[runtime, number, length])))
            for number, pack in enumerate(each)
            for length in _LENGTHS
        ]
        for runtime, each in packs.items()
    }
    if not all(row.latency_ms for rows in timed.values() for row in rows):
        raise EdgepackError(f"{target} takes no time for an inference: its clock is too coarse", "fit the profile on another machine")
    opened = {
        runtime: [
            Opened(pack.manifest.plan.student, pack.manifest.plan.precision, float(np.median(loads[runtime, number])))
            for number, pack in enumerate(each)
            if (runtime, number) in loads
        ]
        for runtime, each in packs.items()
    }
    return Timings(timed, opened, _largest(speeds), _largest(clocks))


def _time_loads(machine: Machine, packs: Mapping[str, list[Pack]], loads: dict[tuple[str, int], list[float]]) -> None:
    """Adds a cold load of each pack, where the storage delivered what a session reads as it opens."""
    for runtime, each in packs.items():
        for number, pack in enumerate(each):
            machine.push(pack.folder, pack.manifest)
            result = machine.run_job(pack.folder, runtime, load_job(cold=True))
            read_bytes = result["read_bytes"]
            if read_bytes is not None and read_bytes >= pack.manifest.predictions.read_mb * 1e6 / 2:
                loads.setdefault((runtime, number), []).append(required(result, "session_ms"))


def _clock_ghz(result: Mapping) -> float | None:
    """The clock that a job's answer tells, in GHz."""
    clock = (result.get("machine") or {}).get("clock_mhz")
    return clock / 1e3 if clock else None


def _largest(values: list[float | None]) -> float | None:
    return max((value for value in values if value), default=None)
