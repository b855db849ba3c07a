"""An emulated CPU tells whether a pack runs there, its answers and its instructions; nobody gets a time or a memory from it."""

import contextlib
import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from rich.console import Console
from small import make_model

from edgepack.cli.views import report_view
from edgepack.core.errors import EdgepackError
from edgepack.core.resources import shipped
from edgepack.measure.emulated import emulate
from edgepack.measure.emulation import Emulation
from edgepack.measure.golden import ask_golden
from edgepack.measure.machines.boards import check_target, remove_target, set_up_target
from edgepack.measure.machines.emulated_cpus import CPUS, find_cpu
from edgepack.measure.machines.emulated_guest import guest
from edgepack.measure.machines.emulated_root import Crashed, find_root, find_sites, make_root, roots_folder
from edgepack.measure.machines.instructions import Uncountable, counting_plugin
from edgepack.measure.machines.targets import LOCAL, Target, find_targets
from edgepack.measure.machines.transports.local import Here
from edgepack.measure.machines.transports.qemu import Emulated
from edgepack.measure.measurement import QUICK
from edgepack.measure.measuring import measure
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline import build as pipeline
from edgepack.pipeline.compare import compare
from edgepack.pipeline.fit_profile import fit_profile
from edgepack.pipeline.measure import measure_pack
from edgepack.plan.formats import check_installed
from edgepack.plan.profile import load_profile
from edgepack.plan.saturation import WAY_OUT
from edgepack.report.side_by_side import Outcome, judge_targets
from edgepack.report.write import html, markdown
from edgepack.tasks import task_named

TIMING = ("load", "latency", "memory", "sustained", "prefill", "decode", "decode_memory", "ops", "quiet", "storage", "texts", "generate")
needs_qemu = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="no qemu: apt-get install qemu-user")
needs_gcc = pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler for qemu's plugin: apt-get install gcc libc6-dev")


@pytest.fixture
def emulated(emulated_cache):
    """emulated("cortex-a72"): the machine; skips where its packages cannot be fetched."""

    def emulated(name: str, needs_root: bool = True) -> Emulated:
        (target,) = find_targets([f"qemu://{name}"], cache=str(emulated_cache))
        if needs_root and shutil.which("apt-get") is None:
            pytest.skip("no apt-get here: an emulated ARM system is made from Debian's packages")
        try:
            if needs_root:
                make_root(roots_folder(str(emulated_cache)), find_cpu(target.address))
        except EdgepackError as error:
            pytest.skip(f"no packages for {name}: {error.problem}")
        return Emulated(target, find_cpu(target.address))

    return emulated


@needs_qemu
@pytest.mark.parametrize("kind", TIMING)
def test_no_job_that_times_or_weighs_runs_on_an_emulated_cpu(kind, pack_folder, tmp_path):
    machine = Emulated(Target(name="a72", address="qemu://cortex-a72", cache=str(tmp_path)), find_cpu("qemu://cortex-a72"))
    with pytest.raises(EdgepackError, match=f"a72 cannot do {kind}: it is emulated") as error:
        machine.run_job(pack_folder, "onnxruntime", {"kind": kind, "threads": 1, "length": 16})
    assert "--on ssh://" in error.value.fix and not list(tmp_path.iterdir())


@needs_qemu
def test_no_measurement_comes_from_an_emulated_cpu(pack_folder, tmp_path):
    machine = Emulated(Target(name="a72", address="qemu://cortex-a72", cache=str(tmp_path)), find_cpu("qemu://cortex-a72"))
    with pytest.raises(EdgepackError, match="a72 cannot do this, .*those of a real device"):
        measure(pack_folder, read_manifest(pack_folder), 9, QUICK, machine, "a72")


def test_an_emulation_has_no_field_for_time_or_memory():
    def names(part) -> set[str]:
        result = set(part.get("properties", {}))
        return result.union(*(names(each) for each in part.get("$defs", {}).values()))

    fields = names(Emulation.model_json_schema())
    assert {"instructions", "largest_difference", "origin"} <= fields
    words = ("_ms", "_mb", "second", "latency", "memory", "load")
    assert not [name for name in fields if any(word in name for word in words)]
    with pytest.raises(EdgepackError, match="unknown key"):
        Emulation.read({"pack_id": "", "target": "", "cpu": "", "arch": "", "emulator": "", "runtime": {}, "latency_ms": 1.0}, "here")


def test_an_unknown_cpu_is_said_with_the_known_ones_and_max_is_none_of_them():
    for wrong in ("qemu://cortex-a78", "qemu://max", "qemu://"):
        with pytest.raises(EdgepackError, match="no such CPU is emulated here") as error:
            find_targets([wrong])
        assert all(cpu.name in error.value.fix for cpu in CPUS) and "max" not in [cpu.model for cpu in CPUS]


def test_a_missing_qemu_is_said_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EdgepackError, match="needs qemu-aarch64, which is not installed") as error:
        find_targets(["qemu://cortex-a72"])
    assert error.value.fix == "apt-get install qemu-user"


@needs_qemu
def test_without_a_compiler_nothing_is_counted_and_the_report_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda name: None if name in ("cc", "gcc") else f"/usr/bin/{name}")
    with pytest.raises(Uncountable, match="no C compiler"):
        counting_plugin(tmp_path, find_cpu("qemu://cortex-a72"))


@needs_qemu
@needs_gcc
@pytest.mark.slow
def test_a_pack_answers_on_arm_as_it_does_here_and_its_instructions_repeat(emulated, emulated_cache, pack_folder, tmp_path):
    """From packages to the report, as `edgepack measure --on qemu://cortex-a72` does it."""
    machine, manifest = emulated("cortex-a72"), read_manifest(pack_folder)
    report = measure_pack(pack_folder, out=tmp_path, on=[machine.target])
    (result,), (row,) = report.emulations, report.targets
    assert result.host.within and result.golden.within and result.host.largest_difference < 2e-2 and result.crash is None
    assert [each.length for each in result.instructions] == [16, 96] and all(each.instructions > 1e5 for each in result.instructions)
    (again,) = machine.count(pack_folder, "onnxruntime", (16,), runs=5)
    around = 1000  # the interpreter around an inference takes so many more or less: of a pack of real size that is nothing
    assert abs(min(again) - result.instructions[0].instructions) <= max(around, 1e-4 * min(again))
    assert row.origin == "emulated" and not row.is_the_device and {row.median_ms, row.latency_ms, row.load_ms, row.ram_mb} == {None}
    assert report.measurements is None and {check.origin for check in report.checks if check.name in ("latency_ms", "ram_mb")} <= {
        "predicted"
    }
    console = Console(width=200, file=io.StringIO())
    console.print(report_view(report, "out"))
    for shown in (markdown(report), html(report), console.file.getvalue()):
        assert "emulated: answers equal" in shown and "M instructions at 16 tokens" in shown
    assert json.loads((tmp_path / "report.json").read_text())["emulations"][0]["origin"] == "emulated"
    other = emulated("cortex-a53")
    answers = [ask_golden(each, pack_folder, manifest, exact=False) for each in (machine, other)]
    assert all(np.array_equal(each, two) for each, two in zip(*answers, strict=True))
    assert "onnxruntime" in next(each for each in check_target(other.target).findings if each.what == "runtime").found


MATRIX = (  # every product at its largest: 2 x 255 x 127 does not fit into 16 bits
    "import sys, numpy as np, onnxruntime as runtime\n"
    "session = runtime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
    "print(int(session.run(None, {'x': np.full((4, 64), 255, np.uint8)})[0][0, 0]))"
)


@needs_qemu
@pytest.mark.slow
@pytest.mark.parametrize(("name", "profile"), [("Haswell", "x86-edge-avx2"), ("Nehalem", "x86-edge-atom"), ("Denverton", "x86-edge-atom")])
def test_a_profile_says_that_int8_sums_saturate_where_the_runtime_does_it(name, profile, tmp_path):
    import onnx

    weights = onnx.numpy_helper.from_array(np.full((64, 32), 127, np.int8), "w")
    kinds = [onnx.helper.make_tensor_value_info(*each) for each in (("x", 2, [4, 64]), ("y", 6, [4, 32]))]
    node = onnx.helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", kinds[:1], kinds[1:], [weights])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9), tmp_path / "m.onnx")
    with guest(find_cpu(f"qemu://{name}"), None) as machine:
        done = machine.run(["-c", MATRIX, str(tmp_path / "m.onnx")], [], 120)
    assert done.returncode == 0, done.stderr
    assert (int(done.stdout) < 64 * 255 * 127) is load_profile(profile).cpu.saturates_u8s8


@needs_qemu
@pytest.mark.slow
def test_a_pack_is_tried_on_older_x86_by_its_fast_products(emulated, pack_folder):
    """What differs from exact products on the same CPU is saturation: the tiny teacher's weights are large."""
    manifest = read_manifest(pack_folder)
    machine = emulated("Haswell", needs_root=False)
    result = emulate(pack_folder, manifest, machine, "haswell", runs=1)
    assert result.saturation.found and result.saturation.largest_difference > 1e-3 and result.saturation.way_out == WAY_OUT
    report = judge_targets(manifest, [Outcome(target=machine.target, emulation=result)], pack_folder)
    if not result.golden.within:
        assert report.exit_code == 1 and "because int8 sums saturate on it" in report.targets[0].failure


@needs_qemu
@pytest.mark.slow
def test_an_instruction_that_the_cpu_lacks_is_said_with_the_cpu(pack_folder, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="no LiteRT: pip install 'edgepack[tflite]'")
    older = find_cpu("qemu://Nehalem").model_copy(update={"name": "Core 2", "model": "core2duo"})
    machine = Emulated(Target(name="old", address="qemu://Nehalem", cache=str(tmp_path)), older)
    with pytest.raises(Crashed, match="litert ends by SIGILL on Core 2: its wheel uses instructions that this CPU lacks") as error:
        machine.run_job(pack_folder, "litert", {"kind": "answer", "threads": 1, "rows": []})
    assert error.value.ended == "SIGILL"


@needs_qemu
@pytest.mark.slow
def test_a_set_up_that_is_killed_leaves_nothing_that_looks_finished(emulated, tmp_path):
    emulated("cortex-a72")  # the packages can be fetched
    command = [sys.executable, "-m", "edgepack", "target", "setup", "qemu://cortex-a53", "--cache", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("emulated/unfinished/*/made/*")) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob("emulated/unfinished/aarch64-root-*/made/*")), "killed in the middle of unpacking"
    assert find_root(tmp_path / "emulated", "aarch64") is None and find_sites(tmp_path / "emulated", "aarch64") == []
    (target,) = find_targets(["qemu://cortex-a53"], cache=str(tmp_path))
    assert not check_target(target).findings[-1].ok
    assert remove_target(target).freed_mb > 0 and list(tmp_path.iterdir()) == []
    assert remove_target(target).removed is None


@needs_qemu
def test_what_a_set_up_would_keep_is_said_before_it_does_anything(tmp_path, capfd):
    (target,) = find_targets(["qemu://armv7"], cache=str(tmp_path))
    assert not set_up_target(target, dry_run=True).done
    assert str(tmp_path) in (text := capfd.readouterr().err) and "python3-numpy" in text and "target remove" in text
    assert list(tmp_path.iterdir()) == []


@needs_qemu
@pytest.mark.slow
@pytest.mark.parametrize(("cpu", "runtime"), [("cortex-a72", "litert"), ("armv7", "tflite-runtime")])
def test_tflite_runs_on_arm_of_64_and_of_32_bits(cpu, runtime, emulated, tmp_path):
    """A real file in the runtime's own wheel for that CPU, beside this machine's answers."""
    try:
        check_installed("tflite")
    except EdgepackError as error:
        pytest.skip(str(error))
    from edgepack.export.tflite_export import MODEL_FILE, export_tflite, runnable_tflite

    task, model = task_named("text-classification"), make_model(tmp_path / "model")
    folder = tmp_path / "pack"
    folder.mkdir()
    export_tflite(model, task, (16,), folder / MODEL_FILE)
    (folder / "pack.json").write_text(json.dumps(runnable_tflite(model, task, (16,)).as_json()))
    rows = [{"input_ids": [2, 9 + text, 7, 3], "token_type_ids": [0] * 4} for text in range(3)]
    job = {"kind": "answer", "threads": 1, "rows": rows}
    here, there = (np.array(each.run_job(folder, runtime, job)["outputs"]) for each in (Here(), emulated(cpu)))
    assert here.shape == (3, 4) and np.allclose(here, there, atol=1e-4), abs(here - there).max()


@pytest.mark.parametrize(
    ("arch", "cpuinfo", "emulator"),
    [
        (
            "aarch64",
            {"vendor_id": "AuthenticAMD", "flags": "avx2", "model name": "AMD EPYC"},
            "an x86 CPU: /proc/cpuinfo is of one, AMD EPYC",
        ),
        ("x86_64", {"CPU implementer": "0x61", "CPU part": "0x022"}, "an ARM CPU"),
        ("x86_64", {"flags": "sse4_2", "model name": "VirtualApple @ 2.50GHz"}, "Rosetta"),
        ("x86_64", {"flags": "sse4_2", "model name": "QEMU TCG CPU version 2.5+"}, "QEMU's TCG"),
        ("x86_64", {"flags": "avx2", "model name": "AMD EPYC"}, None),
        ("armv8l", {"CPU implementer": "0x41", "CPU part": "0xd08"}, None),
        ("aarch64", {}, None),
    ],
)
def test_an_emulated_cpu_is_told_by_the_one_below_it_where_no_emulator_is_seen(arch, cpuinfo, emulator, monkeypatch):
    monkeypatch.syspath_prepend(str(shipped("targets")))
    machine = importlib.import_module("machine")
    monkeypatch.setattr(machine, "_cpuinfo", lambda: cpuinfo)
    monkeypatch.setattr(machine, "_OWN_PROGRAM", "/nowhere")
    monkeypatch.setattr(machine.platform, "machine", lambda: arch)
    assert emulator in machine.emulated_by() if emulator else machine.emulated_by() is None


@needs_qemu
def test_an_emulator_of_this_machines_own_kind_is_seen_too_and_this_machine_is_none():
    ask = [str(shipped("targets") / "board.py"), ".edgepack"]
    with guest(find_cpu("qemu://Haswell"), None) as machine:
        text = json.loads(machine.run(ask, [], 60).stdout)["machine"]["emulated_by"]
    assert text.endswith("/qemu-x86_64, a program for x86-64") and Here().facts().machine["emulated_by"] is None


@pytest.fixture
def rosetta(monkeypatch):
    """This machine says that its CPU is emulated."""
    facts = Here().facts()
    emulated = facts.model_copy(update={"machine": facts.machine | {"emulated_by": "Rosetta, on an Apple CPU"}})
    monkeypatch.setattr(Here, "facts", lambda self: emulated)


def test_nothing_is_called_measured_where_the_cpu_is_emulated(pack_folder, rosetta, tmp_path):
    shutil.copytree(pack_folder, tmp_path / "copy")
    for ask in (
        lambda: compare([pack_folder, tmp_path / "copy"], tmp_path / "page", QUICK),
        lambda: measure(pack_folder, read_manifest(pack_folder), 9, QUICK),
        lambda: fit_profile(LOCAL, cache=tmp_path / "cache", force=True),
    ):
        with pytest.raises(EdgepackError, match="local is emulated by Rosetta, on an Apple CPU, so its times are not a device's"):
            ask()
    assert not (tmp_path / "page").exists()


def test_a_build_on_an_emulated_machine_is_not_measured_and_says_by_what(pack_folder, rosetta, capsys):
    assert pipeline._measured(pack_folder, read_manifest(pack_folder), 9, QUICK) is None
    assert "emulated by Rosetta" in " ".join(capsys.readouterr().err.split())
    (row,) = measure_pack(pack_folder, out=pack_folder.parent / "emulated-report").emulations
    assert row.emulator == "Rosetta, on an Apple CPU" and row.golden.within and row.instructions is None
