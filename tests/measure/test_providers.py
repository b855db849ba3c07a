"""Where ops ran: by a profile recorded with onnxruntime-openvino, whose provider really took parts of a graph, and by what is here."""

import json
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from command_line import edgepack, refused

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.machine import Machine
from edgepack.measure.machines.targets import find_targets
from edgepack.measure.ops import OpsWish, chosen_ops, profile_ops, wished_providers
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.measure import measure_pack
from edgepack.plan.profile import Profile, load_profile
from edgepack.plan.runtime import runtime_facts
from edgepack.report.judge import judge
from edgepack.report.junit import junit
from edgepack.report.write import html, markdown

TARGETS = Path(__file__).parents[2] / "targets"
RECORDED = Path(__file__).parent / "recorded" / "openvino_profile.json"  # 3 inferences of a BERT of 4 layers in fp32, onnxruntime 1.24
QNN = Path(__file__).parent / "recorded" / "qnn_profile.json"  # 7 inferences of test_plugin_providers.py's small graph, onnxruntime-qnn 2.7
OPENVINO = OpsWish(providers=("openvino",), most_fallback=0.05)


@contextmanager
def target(name):
    sys.path.insert(0, str(TARGETS))
    try:
        yield __import__(name)
    finally:
        sys.path.remove(str(TARGETS))


def recorded_ops(file=RECORDED, warm_up_runs=1):
    with target("onnxruntime_ops") as module:
        return module.rows(json.loads(file.read_text()), warm_up_runs, 2)


class Recorded(Machine):
    """A machine that tells what was recorded on one with such a provider."""

    def __init__(self, provider="OpenVINOExecutionProvider", ops=recorded_ops) -> None:
        self.place, self.provider, self.ops = "there", provider, ops

    def run_job(self, folder, runtime, job, *rest):
        assert job["providers"] == [self.provider]
        return {
            "ops": self.ops(),
            "threads": 1,
            "machine": {"arch": "x86_64", "cpu": "recorded"},
            "runtime": {"name": "onnxruntime", "version": "1.24.1"},
        }


@pytest.fixture(scope="module")
def profiled(pack_folder):
    return profile_ops(pack_folder, read_manifest(pack_folder), Recorded(), OPENVINO)


def test_ops_that_fell_back_partitions_and_their_share_are_told(profiled):
    assert {(row.op.startswith("OpenVINO-EP-subgraph"), row.provider) for row in profiled.rows} == {(True, "openvino"), (False, "cpu")}
    fell_back = [row for row in profiled.rows if row.provider == "cpu"]
    assert [(row.op, row.count) for row in fell_back] == [("MultiHeadAttention", 4)]
    assert profiled.fallback_share == pytest.approx(sum(row.share for row in fell_back), abs=1e-3) and 0 < profiled.fallback_share < 1
    assert profiled.partitions == 5  # two of the six parts run one after the other


def test_parts_that_xnnpack_took_are_counted_by_their_first_ops():
    """LiteRT tells its own ops first, whenever they ran, and ops of one name and place in two parts in one line of twice the calls."""
    line = "{:>40}  0.0  0.0  {}  1.0%  1.0%  0.0  {}  [{}]:{}".format
    lines = [
        line("GATHER", 0.5, 10, "Builtin", 3),
        line("Delegate/Add (ND)", 0.1, 20, "Delegate", 0),
        line("Delegate/GELU (NC)", 0.2, 10, "Delegate", 1),
        line("Delegate/Softmax (NC, F32)", 0.3, 10, "Delegate", 0),
    ]
    with target("litert_ops") as module:
        answer = module.answer_of("Run Order\n" + "\n".join(lines) + "\nTop by Computation Time\n" + lines[0], 10)
    assert answer["partitions"] == 3 and len(answer["ops"]) == 5
    assert [op["provider"] for op in answer["ops"]] == ["built-in kernels"] + ["xnnpack"] * 4


def test_what_qnn_took_is_told_by_parts_without_the_hash_of_the_graph(pack_folder):
    machine = Recorded("QNNExecutionProvider", partial(recorded_ops, QNN, 5))
    profiled = profile_ops(pack_folder, read_manifest(pack_folder), machine, OpsWish(providers=("qnn",)))
    assert {(row.op, row.provider) for row in profiled.rows} == {
        ("QNNExecutionProvider_2", "qnn"),
        ("QNNExecutionProvider_3", "qnn"),
        ("Erf", "cpu"),
    }
    assert profiled.partitions == 2 and 0 < profiled.fallback_share < 0.05 and not profiled.exceeds


@pytest.mark.parametrize(
    ("provider", "op", "part"),
    [  # as public logs of phones name such parts: issues 9012 and 22645 of microsoft/onnxruntime, and one of Core ML
        ("NnapiExecutionProvider", "Nnapi_4698236792223093385_0", "Nnapi_0"),
        ("CoreMLExecutionProvider", "CoreML_12715953440113264640_1", "CoreML_1"),
        ("QNNExecutionProvider", "QNN_9132504664900242513_1", "QNN_1"),
    ],
)
def test_a_part_that_a_phones_provider_took_is_named_without_the_hash_and_counted(pack_folder, tmp_path, provider, op, part):
    def event(name, by, took):
        return {"cat": "Node", "name": f"{by}_{name}_kernel_time", "dur": took, "args": {"op_name": name, "provider": by}}

    events = [event(op, provider, 90), event("Erf", "CPUExecutionProvider", 10)] * 3
    (tmp_path / "profile.json").write_text(json.dumps(events))
    name = next(name for name, by in runtime_facts("onnxruntime").providers.items() if by == provider)
    machine = Recorded(provider, partial(recorded_ops, tmp_path / "profile.json", 1))
    profiled = profile_ops(pack_folder, read_manifest(pack_folder), machine, OpsWish(providers=(name,), most_fallback=0.05))
    assert {(row.op, row.provider) for row in profiled.rows} == {(part, name), ("Erf", "cpu")}
    assert profiled.partitions == 1 and profiled.fallback_share == pytest.approx(0.1) and profiled.exceeds


@pytest.mark.slow
def test_the_checker_that_the_docs_name_says_what_a_phones_providers_cannot_run(pack_folder):
    command = [sys.executable, "-m", "onnxruntime.tools.check_onnx_model_mobile_usability", "--log_level", "info"]
    done = subprocess.run([*command, str(pack_folder / "model.onnx")], capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    assert "Checking NNAPI" in said and "Checking CoreML MLProgram" in said and "Unsupported ops: " in said
    assert f"-m {command[2]} " in (TARGETS.parent / "docs" / "figures.md").read_text(encoding="utf-8")


def test_more_fallback_than_allowed_fails_the_gate_everywhere(profiled, pack_folder):
    report = judge(read_manifest(pack_folder), None).model_copy(update={"ops": profiled})
    assert profiled.exceeds and report.exit_code == 2
    assert "MultiHeadAttention" in markdown(report)
    for page in (html(report), markdown(report)):
        assert "fell back to the runtime" in page and "; 5 parts of the graph ran elsewhere" in page
    assert 'classname="edgepack.fallback"' in junit(report) and "<failure" in junit(report).split("edgepack.fallback")[1]
    allowed = profiled.model_copy(update={"most_fallback": 1.0})
    assert report.model_copy(update={"ops": allowed}).exit_code == 0 and "<failure" not in junit(report.model_copy(update={"ops": allowed}))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((False, "nnapi", None), "--providers needs --ops"),
        ((True, " , ", None), "names no provider"),
        ((True, None, 0.05), "--max-fallback needs --providers"),
    ],
)
def test_a_flag_that_needs_another_says_so(flags, message):
    with pytest.raises(EdgepackError, match=message):
        chosen_ops(*flags)


def test_providers_are_those_of_the_runtime_or_the_profiles_own():
    phone, board = load_profile("phone"), load_profile("raspberry-pi")
    assert wished_providers(("profile",), "onnxruntime", phone) == ("qnn", "nnapi", "xnnpack")
    assert wished_providers(("profile",), "litert", phone) == ("xnnpack",)
    with pytest.raises(EdgepackError, match="lists no accelerator"):
        wished_providers(("profile",), "onnxruntime", board)
    with pytest.raises(EdgepackError, match="onnxruntime has no such provider") as error:
        wished_providers(("nnap",), "onnxruntime", phone)
    assert "nnapi" in error.value.fix
    with pytest.raises(EdgepackError, match="litert has no such provider"):
        wished_providers(("qnn",), "litert", phone)


def test_the_docs_name_every_provider():
    page = (TARGETS.parent / "docs" / "figures.md").read_text(encoding="utf-8").partition("## Where operators ran")[2]
    named = {name for runtime in ("onnxruntime", "litert") for name in runtime_facts(runtime).providers}
    assert all(f"`{name}`" in page for name in named)


def test_a_target_that_times_no_ops_refuses_the_gate_and_does_not_pass_it(pack_folder, tmp_path):
    with pytest.raises(EdgepackError, match="lacks an ability: it times single ops") as error:
        measure_pack(
            pack_folder, out=tmp_path / "report", ops=OpsWish(providers=("nnapi",), most_fallback=0.05), on=find_targets(["null://"])
        )
    assert "leave out --ops" in error.value.fix and not (tmp_path / "report").exists()


def test_a_profile_names_accelerators_that_a_runtime_knows():
    stated = load_profile("phone").as_json()
    with pytest.raises(EdgepackError, match="no runtime has the accelerator 'tpu'"):
        Profile.read(stated | {"accelerators": {"tpu": {"why": "fast"}}}, "mine.toml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("provider", "name", "way"),
    [
        ("nnapi", "NnapiExecutionProvider", "measure on a phone, by --on adb://"),  # no package here has it
        ("openvino", "OpenVINOExecutionProvider", "install onnxruntime-openvino there"),
        ("xnnpack", "XnnpackExecutionProvider", "install a build of onnxruntime that has it"),
    ],
)
def test_a_provider_that_this_build_lacks_is_named_with_those_that_it_has(pack_folder, tmp_path, provider, name, way):
    out = tmp_path / "report"
    done = edgepack("measure", pack_folder, "--ops", "--providers", provider, "--quick", "--force", "--out", out)
    refused(done, f"this onnxruntime has no {name}; it has", way)
    assert "CPUExecutionProvider" in done.stderr
    assert not out.exists()
