"""Times of single ops on a phone without Python, on a JVM here: the rows of the Python target and of its reader."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jvm import needs_java
from real_onnxruntime_java import for_android
from test_java_target import TARGET, asked, compiled, onnxruntime_java, python_runner, real_runner, same_kinds, with_places
from test_providers import QNN, RECORDED, target

from edgepack.measure.machines.java_board import MAIN
from edgepack.measure.machines.job_answers import checked
from edgepack.plan.runtime import runtime_facts
from edgepack.ship.jvm.runner import runner_sources
from edgepack.ship.jvm.sources import STUBS

__all__ = ["onnxruntime_java", "python_runner", "real_runner"]  # fixtures of the file beside this one
pytestmark = needs_java
OPS = {"kind": "ops", "threads": 1, "length": 16, "runs": 3}


@pytest.fixture
def java(onnxruntime_java, real_runner) -> list[str]:
    return ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{real_runner / 'classes'}:{onnxruntime_java}", MAIN]


@pytest.mark.slow
@pytest.mark.parametrize("pack", ["old_pack", "stories_pack"])
def test_ops_are_those_that_the_python_target_tells_of_the_same_pack(pack, request, java, tmp_path):
    pack = with_places(request.getfixturevalue(pack), tmp_path)
    mine, other = (asked(command, pack, OPS, tmp_path) for command in (java, [sys.executable, str(TARGET)]))
    assert same_kinds(checked(mine, OPS, "here"), other) and mine["job"] == other["job"]
    assert all(op["ms"] > 0 for op in mine["ops"])
    first, second = ([op | {"ms": 0} for op in answer["ops"]] for answer in (mine, other))
    assert first == second and len(first) > 20
    assert not (pack / ".profile").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("provider", "way"),
    [
        ("NnapiExecutionProvider", "a published onnxruntime-android"),
        ("QNNExecutionProvider", "onnxruntime-android-qnn"),
        ("CUDAExecutionProvider", "no build for Android has it"),
    ],
)
def test_a_provider_that_the_build_lacks_is_named_with_those_that_it_has(old_pack, java, tmp_path, provider, way):
    error = asked(java, with_places(old_pack, tmp_path), OPS | {"providers": [provider]}, tmp_path)["error"]
    assert error["problem"].startswith(f"this onnxruntime has no {provider}; it has CPUExecutionProvider")
    assert way in error["fix"] and error["fix"].endswith(", or leave it out of --providers")


def generated_profile(place: Path) -> Path:
    """Every op in integers, parts as phones' providers name them, ops without a provider, and events that are no op's."""
    with target("onnxruntime_ops") as module:
        names = sorted(module.INTEGER_OPS)
    parts = [("Nnapi_4698236792223093385_0", "NnapiExecutionProvider"), ("CoreML_12715953440113264640_1", "CoreMLExecutionProvider")]
    parts += [("QNN_9132504664900242513_1", "QNNExecutionProvider"), ("Add_123456789_x", None), ("Conv_12345678_0", "XnnpackProvider")]
    events = [{"cat": "Session", "name": "session_initialization", "dur": 7, "args": {}}]
    for run in range(4):
        for at, (name, provider) in enumerate([*parts, *((name, "CPUExecutionProvider") for name in names)]):
            facts = {"op_name": name, "provider": provider} if provider else {"op_name": name}
            events.append({"cat": "Node", "name": f"{at}_kernel_time", "dur": 10 * at + run, "args": facts})
            events.append({"cat": "Node", "name": f"{at}_fence_after", "dur": 1, "args": facts})
    (place / "generated.json").write_text("[\n" + ",\n".join(map(json.dumps, events)) + "\n]\n")
    return place / "generated.json"


def test_recorded_profiles_give_the_rows_of_the_python_reader(python_runner, tmp_path):
    (tmp_path / "Recorded.java").write_text(
        "package edgepack.module; final class Recorded { public static void main(String[] a) throws java.io.IOException {"
        " int warmUpRuns = Integer.parseInt(a[1]), runs = Integer.parseInt(a[2]);"
        " System.out.println(JsonText.of(OpRows.rows(new java.io.File(a[0]), warmUpRuns, runs))); } }"
    )
    reader = next(path for path in runner_sources("onnxruntime") if path.name == "OpRows.java")
    compiled(tmp_path / "out", [tmp_path / "Recorded.java", reader], str(python_runner))
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{tmp_path / 'out'}:{python_runner}", "edgepack.module.Recorded"]
    for file, warm_up_runs, runs in ((RECORDED, 1, 2), (QNN, 5, 2), (generated_profile(tmp_path), 1, 3)):
        done = subprocess.run([*command, str(file), str(warm_up_runs), str(runs)], capture_output=True, check=True)
        with target("onnxruntime_ops") as module:
            rows = module.rows(json.loads(file.read_text()), warm_up_runs, runs)
        assert json.loads(done.stdout) == rows and rows, file.name


ASKED = ("enableProfiling", "addNnapi", "addQnn", "addXnnpack")
PHONE = {  # of a build with a phone's providers, none of which takes a file
    "OrtException": "public class OrtException extends Exception { private static final long serialVersionUID = 1;"
    " OrtException(String message) { super(message); } }",
    "OrtProvider": "public enum OrtProvider { Nnapi, Xnnpack, QNN, WebGpu;"
    ' public String getName() { return name() + "ExecutionProvider"; } }',
    "OrtEnvironment": "public final class OrtEnvironment { static final java.util.List<String> asked = new java.util.ArrayList<>();"
    " public static OrtEnvironment getEnvironment() { return new OrtEnvironment(); }"
    " public static java.util.EnumSet<OrtProvider> getAvailableProviders() { return java.util.EnumSet.allOf(OrtProvider.class); }"
    ' public String getVersion() { return "of a test"; } public void setTelemetry(boolean sends) {}'
    " public OrtSession createSession(java.nio.ByteBuffer model, OrtSession.SessionOptions options) throws OrtException {"
    ' throw new OrtException("Error code - ORT_FAIL\\n" + asked + "\\n"); } }',
}


def without_kernels(place: Path) -> list[Path]:
    """onnxruntime's Java by its signatures, where options write down what they are asked."""
    place.mkdir()
    sources = []
    for stub in sorted((STUBS / "ai" / "onnxruntime").glob("*.java")):
        text = f"package ai.onnxruntime; {PHONE[stub.stem]}" if stub.stem in PHONE else stub.read_text()
        text = re.sub(r"native void (\w+)\(([^()]*?(\w*))\)((?: throws OrtException)?);", noted, text)
        text = re.sub(
            r"static native OnnxTensor (createTensor\([^()]*\)\s*throws OrtException);", r"static OnnxTensor \1 { return null; }", text
        )
        sources.append(place / stub.name)
        sources[-1].write_text(text)
    return sources


def noted(method: re.Match) -> str:
    """A method of Java that writes down its name and its last argument, if it is of interest here."""
    name, parameters, last, throws = method.groups()
    note = f'OrtEnvironment.asked.add("{name} " + {last or "0"});' if name in ASKED else ""
    return f"void {name}({parameters}){throws} {{ {note} }}"


@pytest.mark.slow
def test_providers_are_asked_in_the_users_order_and_the_one_that_takes_no_file_is_named(old_pack, tmp_path):
    """No onnxruntime for a desktop's Java has them."""
    classes = compiled(tmp_path / "out", [*runner_sources("onnxruntime"), *without_kernels(tmp_path / "phone")])
    pack, java = with_places(old_pack, tmp_path), ["java", "-XX:TieredStopAtLevel=1", "-cp", str(classes), MAIN]
    names = [runtime_facts("onnxruntime").providers[name] for name in ("xnnpack", "qnn", "nnapi")]
    error = asked(java, pack, OPS | {"providers": names}, tmp_path)["error"]
    taken, _, calls = error["problem"].partition(" cannot take this file: ")
    assert taken == "XnnpackExecutionProvider, QNNExecutionProvider, NnapiExecutionProvider" and "--precision fp32" in error["fix"]
    asked_for = "addXnnpack {}, addQnn {backend_path=libQnnHtp.so}, addNnapi 0"
    assert calls == f"[enableProfiling {pack}/.profile/ops, {asked_for}]"
    assert not (pack / ".profile").exists()
    error = asked(java, pack, OPS | {"providers": ["WebGpuExecutionProvider"]}, tmp_path)["error"]
    assert error["problem"] == "edgepack's runner for phones cannot ask onnxruntime for WebGpuExecutionProvider"


def test_litert_is_refused_by_name_because_its_java_has_no_profiler(old_pack, tmp_path):
    stubs = compiled(tmp_path / "stubs", sorted((STUBS / "org" / "tensorflow").rglob("*.java")))
    classes = compiled(tmp_path / "classes", runner_sources("litert"), str(stubs))
    error = asked(["java", "-cp", f"{classes}:{stubs}", MAIN], old_pack, OPS, tmp_path)["error"]
    assert error["problem"] == "LiteRT's Java times a whole inference and no single op" and "leave out --ops" in error["fix"]


@pytest.mark.slow
def test_the_runners_classes_are_the_same_by_stubs_as_by_androids_own_package(tmp_path):
    real = for_android() or pytest.skip("npm does not give onnxruntime's .aar")
    stubs = compiled(tmp_path / "stubs", sorted((STUBS / "ai").rglob("*.java")))
    first, second = (compiled(tmp_path / path.stem / "out", runner_sources("onnxruntime"), str(path)) for path in (stubs, real))
    by_stubs, by_real = ({path.name: path.read_bytes() for path in (place / "edgepack" / "module").iterdir()} for place in (first, second))
    assert by_stubs == by_real and {"OpRows.class", "Providers.class", "RunnerRuntime.class"} <= by_stubs.keys()
