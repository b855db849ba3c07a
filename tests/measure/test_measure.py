"""Measurements come from a fresh process that knows only numpy and the runtime, and carry what is needed to doubt them."""

import functools
import json
import math
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.core.errors import EdgepackError
from edgepack.core.resources import shipped
from edgepack.measure.doubts import doubts, is_steady, wait_for_quiet
from edgepack.measure.machines.transports.local import run_job
from edgepack.measure.measurement import FULL, MLPERF, QUICK, chosen_effort, is_the_device
from edgepack.measure.measuring import measure
from edgepack.measure.ops import profile_ops
from edgepack.measure.statistics import summarize
from edgepack.pack.manifest import read_manifest
from edgepack.plan.profile import load_profile
from edgepack.report.judge import judge
from edgepack.report.write import html, markdown

SESSIONS = st.lists(st.lists(st.floats(0.01, 1e4), min_size=2, max_size=40), min_size=1, max_size=6)


@given(SESSIONS)
def test_a_summary_is_ordered_and_lies_within_its_samples(sessions):
    result = summarize(sessions)
    samples = [sample for session in sessions for sample in session]
    assert result.n == len(samples)
    assert result.min <= result.p50 <= result.p90 <= result.p95 <= max(samples) + 1e-3
    assert result.interval[0] <= result.interval[1]
    assert result.steady == (result.spread <= 0.05) or math.isclose(result.spread, 0.05, abs_tol=1e-4)


def test_no_p99_is_claimed_below_a_thousand_samples():
    steady = np.linspace(1, 2, 1000).tolist()
    assert summarize([steady]).p99 == pytest.approx(1.99, abs=0.01)
    assert summarize([steady[:999]]).p99 is None


@pytest.fixture(scope="module")
def measurement(pack_folder):
    return measure(pack_folder, read_manifest(pack_folder), median_length=9, effort=QUICK)


def test_every_length_is_measured_on_one_core_and_on_all(measurement):
    cores = measurement.environment["machine"]["cores"]
    longest = 96
    assert {(row.length, row.threads) for row in measurement.latency} == {(n, t) for n in (9, 16, 64, longest) for t in (1, cores)}
    for row in measurement.latency:
        assert len(row.samples_ms) == QUICK.sessions
        assert all(len(session) >= QUICK.runs for session in row.samples_ms)
        assert all(runs >= 10 for runs in row.warm_up_runs)
        assert row.summary.n == sum(len(session) for session in row.samples_ms)


def test_loads_are_cold_and_warm_and_cold_is_proved_by_the_storages_count(measurement, pack_folder):
    cold, warm = measurement.load
    assert cold.cold and not warm.cold and warm.cold_is_proved is None
    assert len(cold.session_ms) == len(warm.first_inference_ms) == QUICK.loads
    assert max(warm.read_bytes) < (pack_folder / "model.onnx.data").stat().st_size / 2
    if cold.cold_is_proved:
        assert min(cold.read_bytes) >= (pack_folder / "model.onnx.data").stat().st_size / 2
    else:
        assert any("cold load is not proved" in doubt for doubt in measurement.doubts)


def test_memory_is_split_and_less_an_empty_runtime(measurement):
    for row in measurement.memory:
        assert 0 < row.peak_mb < 100 and row.empty_runtime_mb > 10
        assert row.peak_mb >= row.anonymous_mb + row.file_mb - 1


def test_the_environment_is_told_and_what_cannot_be_read_is_null(measurement):
    machine = measurement.environment["machine"]
    assert {"arch", "cpu", "cores", "isa", "governor", "clock_mhz", "temperature_c", "load_average", "memory_mb", "os", "python"} <= set(
        machine
    )
    assert all(value is None or value != 0 for key, value in machine.items() if key in ("clock_mhz", "temperature_c"))
    assert measurement.origin == "measured"


def test_the_child_knows_neither_edgepack_nor_torch(pack_folder):
    """The target's own process, asked at its end for what it has loaded."""
    code = (
        "import sys, runpy\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n    print('\\nLOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    target = str(shipped("targets") / "run_onnxruntime.py")
    job = json.dumps({"kind": "latency", "length": 16, "threads": 1, "runs": 10, "seconds": 0})
    script = f"import sys; sys.argv = [{target!r}, {str(pack_folder)!r}, {job!r}]; sys.path.insert(0, {str(shipped('targets'))!r})\n{code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert {"numpy", "onnxruntime"} <= loaded
    assert not {"torch", "transformers", "edgepack", "onnx", "tokenizers"} & loaded


def test_latency_runs_for_its_time_and_its_count(pack_folder):
    for runs, seconds in ((30, 0.0), (1, 0.5)):
        started = time.monotonic()
        result = run_job(pack_folder, "onnxruntime", {"kind": "latency", "length": 16, "threads": 1, "runs": runs, "seconds": seconds})
        assert len(result["samples_ms"]) >= runs
        assert time.monotonic() - started >= seconds and sum(result["samples_ms"]) >= 0.9 * seconds * 1000


def test_ops_are_timed_one_by_one(pack_folder):
    manifest = read_manifest(pack_folder)
    result = profile_ops(pack_folder, manifest)
    assert result.origin == "measured" and result.threads == 1 and result.outside_share is None
    assert sum(row.share for row in result.rows) == pytest.approx(1, abs=0.01) and 0 < result.integer_share < 1
    assert {"DynamicQuantizeMatMul", "Gelu"} <= {row.op for row in result.rows} or any("Gelu" in row.op for row in result.rows)
    report = judge(manifest, None).model_copy(update={"ops": result})
    for text in (markdown(report), html(report)):
        assert "Time by op" in text and result.rows[0].op in text and result.where in text


def test_the_storage_and_what_an_app_does_around_the_model_are_timed_apart(measurement, pack_folder):
    storage, texts = measurement.storage, measurement.texts
    files = sum(path.stat().st_size for path in pack_folder.glob("model.onnx*"))
    assert storage.mb == pytest.approx(files / 1e6, abs=1e-3) and storage.read_ms > 0 and storage.map_ms > 0
    assert texts.texts == len((pack_folder / "golden.jsonl").read_text().splitlines())
    assert texts.tokenizer.n == texts.after.n == 20 * texts.texts and 0 < texts.tokenizer.p50 < 10 and 0 < texts.after.p50 < 10


def test_minutes_without_a_pause_are_told_slice_by_slice(pack_folder):
    result = run_job(pack_folder, "onnxruntime", {"kind": "sustained", "length": 16, "threads": 1, "seconds": 0.5})
    (row,) = result["slices"]
    assert row["n"] > 10 and 0 < row["p50"] <= row["p90"] and {"clock_mhz", "temperature_c", "at_s"} <= set(row)


def test_a_busy_machine_is_refused_and_with_force_is_told(pack_folder, measurement):
    run = functools.partial(run_job, pack_folder, "onnxruntime")
    burn = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        with pytest.raises(EdgepackError, match="local is busy: other programs take") as result:
            wait_for_quiet(run, "local", looks=1)
    finally:
        for process in burn:
            process.kill()
            process.wait()
    assert "--force" in result.value.fix
    crowded = measurement.model_copy(update={"latency": tuple(_crowded(row, 0.5) for row in measurement.latency)})
    assert any("at most 50%), or other guests more than 2% (at most an unknown share)" in doubt for doubt in doubts(crowded))
    assert not is_steady(crowded)
    alone = [row.model_copy(update={"summary": row.summary.model_copy(update={"steady": True})}) for row in measurement.latency]
    assert is_steady(measurement.model_copy(update={"latency": tuple(_crowded(row, 0.0) for row in alone)}))


def _crowded(row, share):
    return row.model_copy(update={"others": (share,) * len(row.samples_ms), "stolen": (None,) * len(row.samples_ms)})


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((True, True, 0.0, False), "cannot be used together"),
        ((False, False, -1.0, False), "--sustained -1"),
        ((False, False, float("nan"), False), "--sustained nan"),
        ((False, False, float("inf"), False), "--sustained inf"),
    ],
)
def test_efforts_that_cannot_be_are_refused(flags, says):
    with pytest.raises(EdgepackError, match=says):
        chosen_effort(*flags)


def test_a_target_that_crashes_is_a_message(pack_folder, tmp_path):
    (tmp_path / "runnable.json").write_text((pack_folder / "runnable.json").read_text())
    with pytest.raises(EdgepackError, match=r"run_onnxruntime.py failed on load of .*model.onnx"):
        run_job(tmp_path, "onnxruntime", {"kind": "load", "cold": False, "threads": 1, "length": 16})


def test_the_full_protocol_is_that_of_the_field():
    assert FULL.sessions == 5 and FULL.loads >= 5
    assert FULL.sessions * FULL.runs >= 200 and FULL.sessions * FULL.seconds >= 10
    assert MLPERF.sessions * MLPERF.runs >= 1024 and MLPERF.sessions * MLPERF.seconds >= 60
    assert chosen_effort(False, False, 10, False).sustained_s == 600 and not FULL.force


@pytest.mark.parametrize(
    ("machine", "profile", "same"),
    [
        ({"arch": "aarch64", "cpu": "Raspberry Pi 4", "cpu_part": "cortex-a72"}, "raspberry-pi", True),
        ({"arch": "aarch64", "cpu": None, "cpu_part": "cortex-a76"}, "raspberry-pi", False),
        ({"arch": "x86_64", "cpu": "Intel(R) N100", "cpu_part": None}, "x86-edge", True),
        ({"arch": "x86_64", "cpu": "AMD EPYC", "cpu_part": None}, "x86-edge", False),
        ({"arch": "AMD64", "cpu": "Intel(R) Xeon(R) Silver 4314 CPU @ 2.40GHz", "cpu_part": None}, "x86-server", True),
        ({"arch": "armv7l", "cpu": None, "cpu_part": "cortex-a53"}, "raspberry-pi-zero-2w", False),
    ],
)
def test_only_the_named_cpu_is_the_device(machine, profile, same):
    assert is_the_device(load_profile(profile), machine) is same
