"""A stranger's board answers a job with what the border lets pass: the measuring and its report come to an end, or say what is wrong."""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import answer_of
from edgepack.measure import doubts, measuring
from edgepack.measure.machines import job_answers
from edgepack.measure.machines.job_answers import checked
from edgepack.measure.machines.targets import Target
from edgepack.measure.measurement import Effort
from edgepack.measure.ops import OpsWish, profile_ops
from edgepack.pack.manifest import Manifest, read_manifest
from edgepack.pack.runnable import CacheLayer, Coded
from edgepack.report.side_by_side import Outcome, judge_targets
from edgepack.report.write import write_report

MACHINE = {"arch": "aarch64", "cores": 4, "cpu": "Cortex-A72", "os": "Linux", "isa": ["asimd"], "load_average": 0.1, "clock_mhz": 1500.0}
ABOUT = {"machine": MACHINE, "runtime": {"name": "onnxruntime", "version": "1.31", "numpy": "2", "import_ms": 9.0}}
RESIDENT = {"peak": 10.0, "resident": 9.0, "anonymous": 5.0, "file": 2.0}
MEMORY = {"peak_is_exact": True, "empty_mb": RESIDENT, "running_mb": RESIDENT}
QUIET = {"others": 0.0, "stolen": 0.0}
TIMED = {"samples_ms": [1.0, 2.0, 3.0], "warm_up_runs": 10, "machine_before": MACHINE, "contention": QUIET}
SUSTAINED = {
    "slices": [{"at_s": float(at), "n": 10, "p50": 1.0, "p90": 2.0, "clock_mhz": None, "temperature_c": 40.0} for at in (10, 70, 130)]
}
HELD = {"read_bytes": 1000, "read_ms": 2.0, "load_ms": 3.0}
ANSWERS = {
    "load": {"session_ms": 9.0, "first_inference_ms": 3.0, "read_bytes": 10, "weight_cache_bytes": 7, "read_ms": 1.0, "decode_ms": 2.0},
    "latency": TIMED,
    "decode": TIMED,
    "prefill": TIMED,
    "memory": MEMORY,
    "decode_memory": MEMORY,
    "sustained": SUSTAINED,
    "sustained_decode": SUSTAINED,
    "storage": {"bytes": 100, "read_ms": 1.0, "read_bytes": 100, "map_ms": 0.1},
    "coding": {
        "decode": [{"threads": 1, "samples_ms": [1.0, 2.0]}], "throttled": [{"mb_s": 10, "coded": HELD, "plain": HELD}],
        "decoded_bytes": 1000, "coded_bytes": 700,
    },
    "texts": {"texts": 2, "tokenizer_ms": [1.0, 2.0], "after_ms": [0.1, 0.2]},
    "ops": {"ops": [{"op": "MatMul", "ms": 1.0, "integers": True, "inside": True, "provider": "CPUExecutionProvider"}], "threads": 1},
    "quiet": {"contention": QUIET},
}  # fmt: skip
ABSENT = object()
VALUES = [ABSENT, None, 0, -1, 1e-320, 1e15, 10**40, 1e308, math.inf, math.nan, "x", "\x1b[2J" * 20, "", [], {}, [None], [0], True]
EFFORT = Effort(name="quick", sessions=2, runs=3, seconds=0.0, loads=1, sustained_s=180.0)


class Stranger:
    """A machine that answers each job as it should, but for `kind`, whose answers hold `value` at `place`."""

    can = frozenset({"computes", "times", "quiet", "storage", "texts", "ops", "copies"})
    place = "at ssh://stranger"

    def __init__(self, kind: str, place: tuple, value: object) -> None:
        self._kind, self._place, self._value = kind, place, value

    def emulated_by(self) -> None:
        return None

    def run_job(self, folder: Path, runtime: str, job: dict) -> dict:
        answer = copy.deepcopy(ANSWERS[job["kind"]] | ABOUT)
        if job["kind"] == self._kind:
            part = answer
            for key in self._place[:-1]:
                part = part[key]
            if self._value is ABSENT:
                del part[self._place[-1]]
            else:
                part[self._place[-1]] = self._value
        return checked(answer_of(json.dumps(answer), "of stranger"), job, "of stranger")


def places(value: object, place: tuple = ()) -> Iterator[tuple]:
    if place:
        yield place
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*place, key))


def attacks() -> list[tuple[str, tuple, object]]:
    """Those that the border lets pass."""
    passing = []
    for kind, answer in ANSWERS.items():
        for place in places(answer | ABOUT):
            for value in VALUES:
                try:
                    Stranger(kind, place, value).run_job(Path(), "", {"kind": kind})
                except EdgepackError:
                    continue
                passing.append((kind, place, value))
    return passing


def kinds_of_packs(manifest: Manifest) -> list[Manifest]:
    coded = Coded(file="model.onnx.data", coded="weights.coded", bytes=1000, sha256="0" * 64, codec="deflate", start="expand")
    layer = CacheLayer(layer=0, heads=2, head_size=8)
    return [manifest, manifest.model_copy(update={"coded": coded}), manifest.model_copy(update={"cache": (layer,), "positions": 512})]


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(measuring, "_PAUSE_S", 0.0)
    monkeypatch.setattr(doubts, "_PAUSE_S", 0.0)


def measured(manifest: Manifest, machine: Stranger, out: Path) -> None:
    ops = profile_ops(Path(), manifest, machine, OpsWish(providers=("nnapi",)))
    measurement = measuring.measure(Path(), manifest, 40, EFFORT, machine, "stranger")
    target = Target(name="stranger", address="ssh://stranger")
    write_report(out, judge_targets(manifest, [Outcome(target=target, measurement=measurement, ops=ops)], Path()))


def test_a_border_stands_before_every_kind_of_job():
    with pytest.raises(KeyError):
        checked({}, {"kind": "a new one"}, "of stranger")
    assert set(ANSWERS) | {"answer", "certain", "count"} == set(job_answers._KINDS)


def test_what_a_right_board_answers_is_measured_and_reported(pack_folder, no_pauses, tmp_path):
    for manifest in kinds_of_packs(read_manifest(pack_folder)):
        measured(manifest, Stranger("", (), None), tmp_path)
        report = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
        assert report["targets"][0]["median_ms"] == 2.0


@pytest.mark.slow
def test_no_answer_that_the_border_lets_pass_ends_in_a_traceback(pack_folder, no_pauses, tmp_path):
    plain, coded, decoder = kinds_of_packs(read_manifest(pack_folder))
    asked_by = {"coding": coded} | dict.fromkeys(("decode", "prefill", "decode_memory", "sustained_decode"), decoder)
    faults = []
    for kind, place, value in attacks():
        try:
            measured(asked_by.get(kind, plain), Stranger(kind, place, value), tmp_path)
            json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
            assert "\x1b" not in (tmp_path / "report.md").read_text() + (tmp_path / "report.html").read_text()
        except EdgepackError:
            pass
        except Exception as error:
            faults.append(f"{kind} {place} {value!r:.30}: {type(error).__name__}: {error!s:.120}")
    assert faults == []
