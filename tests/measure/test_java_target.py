"""What measures on a phone without Python, on a JVM here: beside the Python target on the same pack, and behind a real adb."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from jvm import SHORT_RUN, TESTS, needs_java
from phones import adb_server, plugged_in
from real_onnxruntime_java import NO_QNN_IN_THE_OLD, NOT_IN_THE_OLD, for_android, for_linux
from session_folders import made_once

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.java_board import MAIN
from edgepack.measure.machines.job_answers import checked
from edgepack.measure.machines.targets import find_targets, transport
from edgepack.measure.measurement import Effort
from edgepack.measure.ops import OpsWish, check_ops, profile_ops
from edgepack.pack.golden import read_golden
from edgepack.pack.manifest import read_manifest
from edgepack.pack.weight_places import write_weights
from edgepack.pipeline.measure import _outcome, measure_pack
from edgepack.pipeline.phone_runner import with_runner
from edgepack.ship.jvm.runner import runner_for, runner_sources
from edgepack.ship.jvm.sources import STUBS
from edgepack.ship.published import tools

PYTHON = Path(__file__).parent.with_name("java_runtime.py")
TARGET = Path(__file__).parent.parent.parent / "targets" / "run_onnxruntime.py"
SHORT = Effort(name="quick", sessions=1, runs=3, seconds=0.0, loads=1, force=True)
pytestmark = needs_java


@pytest.fixture(scope="session")
def onnxruntime_java() -> Path:
    return for_linux() or pytest.skip("pip does not give a package with onnxruntime's Java")


def compiled(place: Path, sources: list[Path], path: str = "") -> Path:
    annotations = [*(STUBS / "org" / "jspecify").rglob("*.java")]
    command = ["javac", *SHORT_RUN, "-Xlint:all,-options", "-Werror", "-proc:none", "--release", "8", "-d", str(place), "-cp", path or "."]
    done = subprocess.run([*command, *map(str, [*sources, *annotations])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="session")
def real_runner(tmp_path_factory, onnxruntime_java) -> Path:
    """Classes of the runner over onnxruntime's own Java. Two calls came after 1.17: older ones stand in their place."""
    return made_once(tmp_path_factory, "real-runner", lambda place: _compile_real(place, onnxruntime_java))


def _compile_real(place: Path, runtime: Path) -> None:
    sources = runner_sources("onnxruntime")
    (place / "older").mkdir(parents=True)
    for name, (call, older_call) in {"OnnxRuntime.java": NOT_IN_THE_OLD, "Providers.java": NO_QNN_IN_THE_OLD}.items():
        (stated,) = (path for path in sources if path.name == name)
        assert call in stated.read_text()
        older = place / "older" / name
        older.write_text(stated.read_text().replace(call, older_call))
        sources[sources.index(stated)] = older
    compiled(place / "classes", sources, str(runtime))


@pytest.fixture(scope="session")
def python_runner(tmp_path_factory) -> Path:
    """Classes of the runner over the runtime of Python, which opens what 1.17 does not."""
    sources = [path for path in runner_sources("onnxruntime") if "onnxruntime" not in path.parent.name]
    sources += [TESTS / "runner" / "RunnerRuntime.java", TESTS / "PythonRuntime.java"]
    return made_once(tmp_path_factory, "python-runner", lambda place: compiled(place / "classes", sources)) / "classes"


def asked(command: list[str], pack: Path, job: dict, place: Path) -> dict:
    """The answer to one job; like adb's session, whoever asks keeps the runner's input open."""
    file = place / "job.json"
    file.write_text(json.dumps(job))
    with subprocess.Popen(
        [*command, str(pack), str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        out, err = process.stdout.read(), process.stderr.read()
        process.stdin.close()
    assert out, err.decode()
    return json.loads(out)


def with_places(pack: Path, place: Path) -> Path:
    """The pack as it comes to a phone: with the places of its weights."""
    copy = shutil.copytree(pack, place / "pack")
    for path in list(copy.glob("*.onnx")):
        write_weights(path, copy / f"{path.name}.weights.json")
    return copy


def same_kinds(java: object, python: object) -> bool:
    """The same keys all the way down, numbers where numbers are, null where Java cannot tell."""
    if isinstance(python, dict) and isinstance(java, dict):
        return java.keys() - {"java"} == python.keys() and all(same_kinds(java[key], python[key]) for key in python)
    if isinstance(python, list) and isinstance(java, list):
        return all(same_kinds(one, other) for one, other in zip(java, python, strict=False))
    number = (int, float)
    return java is None or python is None or isinstance(java, type(python)) or (isinstance(java, number) and isinstance(python, number))


def rows_of(pack: Path) -> list[dict]:
    return [{"input_ids": entry["input_ids"], "token_type_ids": entry["token_type_ids"]} for entry in read_golden(pack)]


TEXT_JOBS = [
    {"kind": "load", "cold": False, "threads": 1, "length": 16},
    {"kind": "latency", "length": 16, "threads": 1, "runs": 12, "seconds": 0},
    {"kind": "memory", "length": 16, "threads": 1},
    {"kind": "sustained", "length": 16, "threads": 1, "seconds": 1},
    {"kind": "quiet", "seconds": 0.5},
]
DECODER_JOBS = [
    {"kind": "prefill", "length": 16, "threads": 1, "runs": 3, "seconds": 0, "warm_up_runs": 3},
    {"kind": "decode", "length": 16, "threads": 1, "runs": 12, "seconds": 0},
    {"kind": "sustained_decode", "length": 16, "threads": 1, "seconds": 1},
    {"kind": "decode_memory", "length": 32, "threads": 1},
]


@pytest.mark.slow
def test_every_job_answers_with_the_keys_and_kinds_of_the_python_target(old_pack, onnxruntime_java, real_runner, tmp_path):
    pack = with_places(old_pack, tmp_path)
    java = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{real_runner / 'classes'}:{onnxruntime_java}", MAIN]
    answer = {"kind": "answer", "threads": 1, "exact": False, "batch": 1, "rows": rows_of(pack), "at_once": None}
    for job in [*TEXT_JOBS, answer]:
        mine, other = (asked(command, pack, job, tmp_path) for command in (java, [sys.executable, str(TARGET)]))
        assert same_kinds(checked(mine, job, "here"), other), job["kind"]
        assert mine["job"] == other["job"] and mine["machine"]["cpu"] == other["machine"]["cpu"]
        assert mine["machine"]["isa"] == other["machine"]["isa"] and mine["machine"]["arch"] == other["machine"]["arch"]
        assert mine["runtime"]["version"] == "1.17.0"
        if job["kind"] == "latency":
            assert len(mine["samples_ms"]) == len(other["samples_ms"]) == 12 and mine["warm_up_runs"] >= 10
    tolerance, golden = read_manifest(pack).golden_tolerance, [entry["output"] for entry in read_golden(pack)]
    assert np.abs(np.array(mine["outputs"]) - np.array(golden)).max() <= tolerance


@pytest.mark.slow
def test_a_decoders_jobs_answer_like_the_python_targets(stories_pack, python_runner, tmp_path):
    pack = with_places(stories_pack, tmp_path)
    runtime = "\n".join([sys.executable, str(PYTHON), str(pack)])
    java = ["java", "-XX:TieredStopAtLevel=1", f"-Druntime={runtime}", "-cp", str(python_runner), MAIN]
    answer = {"kind": "answer", "threads": 1, "exact": False, "batch": 1, "rows": rows_of(pack), "at_once": None}
    for job in [*DECODER_JOBS, answer]:
        mine, other = (asked(command, pack, job, tmp_path) for command in (java, [sys.executable, str(TARGET)]))
        assert same_kinds(checked(mine, job, "here"), other), job["kind"]
    for row, (first, second) in enumerate(zip(mine["outputs"], other["outputs"], strict=True)):
        assert np.abs(np.array(first) - np.array(second)).max() < 1e-3, row


def test_a_job_that_there_is_not_is_refused_with_a_way_out(stories_pack, python_runner, tmp_path):
    answer = asked(["java", "-cp", str(python_runner), MAIN], stories_pack, {"kind": "texts", "threads": 1}, tmp_path)
    assert answer["error"]["problem"] == "a phone without Python has no job texts" and "--on local" in answer["error"]["fix"]


@pytest.mark.slow
def test_a_text_of_words_for_each_token_and_of_two_outputs_has_pythons_shape(python_runner, tmp_path):
    (tmp_path / "Shapes.java").write_text(
        "package edgepack.module; final class Shapes { public static void main(String[] a) {"
        " float[][] two = {{1, 2, 3}, {4, 5, 6}}; float[][] one = {{1, 2, 3, 4, 5, 6}};"
        ' System.out.println(JsonText.of(Scores.nested(two, 3, true)) + " " + JsonText.of(Scores.nested(one, 3, true)) + " "'
        ' + JsonText.of(Scores.nested(one, 1, false)) + " " + JsonText.of(Scores.nested(two, 1, false))); } }'
    )
    compiled(tmp_path / "out", [tmp_path / "Shapes.java"], str(python_runner))
    done = subprocess.run(["java", "-cp", f"{tmp_path / 'out'}:{python_runner}", "edgepack.module.Shapes"], capture_output=True, check=True)
    shapes = [np.array(json.loads(part)).shape for part in done.stdout.split()]
    assert shapes == [(3, 2), (3, 2), (6,), (3, 2)]


def started(classes: Path, folder: Path) -> subprocess.Popen:
    """The runner's session in `folder`, as adb's shell starts it; it has answered."""
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", str(classes), MAIN, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"edgepack is here\n"
    return process


def test_the_runner_removes_only_what_edgepack_marked_and_follows_no_link(python_runner, tmp_path):
    kept, place = tmp_path / "kept", tmp_path / "phone"
    kept.mkdir()
    (kept / "notes").write_text("a user's")
    running, strange = f"model-{os.getpid()}-run", "model-99999999-run"
    for name, is_marked in ((strange, False), ("model-99999998-run", True), (running, True), ("model-1-run", True)):
        (place / name).mkdir(parents=True)
        (place / name / "inside").symlink_to(kept)
        if is_marked:
            (place / name / "edgepack-target.json").write_text("{}")
    (place / "model-99999997-run").symlink_to(place / running)
    with started(python_runner, place / "model-1-run") as process:
        assert {path.name for path in place.iterdir()} == {"model-1-run", running, strange}
        process.stdin.close()
    assert process.returncode == 0 and not (place / "model-1-run").exists()
    assert (kept / "notes").read_text() == "a user's" and (place / running / "inside").is_symlink()


@pytest.fixture(scope="module")
def adb(tmp_path_factory):
    with adb_server(tmp_path_factory.mktemp("adb") / "home") as result:
        yield result


@pytest.fixture(scope="module")
def programs(tmp_path_factory, onnxruntime_java) -> Path:
    """All that the phone's shell can start: no Python; `app_process` is a JVM that has onnxruntime's classes."""
    place = tmp_path_factory.mktemp("programs")
    for name in ("cat", "mkdir", "mv", "chmod", "rm"):
        (place / name).symlink_to(shutil.which(name))
    scripts = {
        "getprop": 'case "$1" in ro.product.cpu.abi) echo x86_64;; esac',
        "app_process": f'shift; exec {shutil.which("java")} -XX:TieredStopAtLevel=1 -cp "$CLASSPATH:{onnxruntime_java}" "$@"',
    }
    for name, text in scripts.items():
        (place / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / name).chmod(0o755)
    return place


@pytest.fixture(scope="module")
def runner_file(real_runner, tmp_path_factory) -> Path:
    """As d8 or Gradle leaves it, but with classes of a JVM in the place of Android's."""
    path = tmp_path_factory.mktemp("runner") / "runner.zip"
    classes = real_runner / "classes"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(classes.rglob("*.class")):
            archive.write(file, file.relative_to(classes).as_posix())
        for abi in ("x86_64", "arm64-v8a"):
            archive.writestr(f"lib/{abi}/libonnxruntime.so", abi)
    return path


@pytest.fixture
def phone(adb, programs, tmp_path):
    with plugged_in(adb, tmp_path / "a", programs=programs) as result:
        yield result
        until = time.monotonic() + 20
        while (result.left() or result.processes()) and time.monotonic() < until:
            time.sleep(0.1)
        assert result.left() == [] and result.processes() == []


def named(phone, place: Path, **more):
    (place / "targets.toml").write_text(phone.table("phone", **more))
    return find_targets(["phone"], place / "targets.toml")[0]


@pytest.mark.slow
def test_a_pack_is_measured_on_a_phone_without_python(phone, old_pack, runner_file, tmp_path):
    target = named(phone, tmp_path, runner=str(runner_file))
    report = measure_pack(old_pack, out=tmp_path / "report", effort=SHORT, ops=OpsWish(), on=[target])
    (result,) = report.targets
    assert sum(row.share for row in report.ops.rows) == pytest.approx(1, abs=0.01) and {row.provider for row in report.ops.rows} == {"cpu"}
    assert result.failure is None, result.failure
    assert result.where.startswith("x86_64 at adb://") and ", by Java" in result.where
    assert result.median_ms > 0 and result.load_ms > 0 and result.ram_mb is not None
    assert result.golden_difference is not None and result.golden_difference <= read_manifest(old_pack).golden_tolerance
    assert result.pushed_mb > 0


@pytest.mark.slow
def test_what_breaks_on_such_a_phone_is_told_and_leaves_nothing(phone, old_pack, runner_file, tmp_path):
    target, hasty = (named(phone, tmp_path, runner=str(runner_file), time_out_s=limit_s) for limit_s in (100.0, 3.0))
    long = {"kind": "latency", "length": 16, "threads": 1, "runs": 1, "seconds": 60}
    with transport(target).opened(target) as machine:
        facts = machine.facts()
        assert facts.python is None and facts.free_mb > 0 and facts.machine["java"]
        first, again = (machine.push(old_pack, read_manifest(old_pack)) for _ in range(2))
        assert first.files == first.of_files and again.files == 0
        with pytest.raises(EdgepackError, match="a phone without Python has no job texts"):
            machine.run_job(old_pack, "onnxruntime", {"kind": "texts", "threads": 1})
        with pytest.raises(EdgepackError, match="this onnxruntime has no NnapiExecutionProvider; it has CPUExecutionProvider") as error:
            profile_ops(old_pack, read_manifest(old_pack), machine, OpsWish(providers=("nnapi",), most_fallback=0.05))
        assert "a published onnxruntime-android, which has it, or leave it out of --providers" in error.value.fix
        with pytest.raises(EdgepackError, match="nothing to set up for phone"):
            machine.set_up("onnxruntime", None, None, True)
    with transport(hasty).opened(hasty) as machine:
        machine.push(old_pack, read_manifest(old_pack))
        with pytest.raises(EdgepackError, match="latency ran over 3 s on phone and was ended there"):
            machine.run_job(old_pack, "onnxruntime", long)
    broken = pytest.raises(EdgepackError, match="phone stopped answering|the connection to phone broke")
    with broken, transport(target).opened(target) as machine:
        for process in phone.processes():
            os.kill(process, signal.SIGKILL)
        machine.facts()
    with transport(target).opened(target):  # what a killed one could not remove, the next does
        pass


def test_ops_that_the_java_of_a_runtime_does_not_time_are_refused_before_anything_is_pushed(phone, old_pack, runner_file, tmp_path):
    of_onnx = read_manifest(old_pack)
    of_tflite = of_onnx.model_copy(update={"plan": of_onnx.plan.model_copy(update={"runtime": "litert"})})
    target = named(phone, tmp_path, runner=str(runner_file))
    outcome = _outcome(target, old_pack, of_tflite, None, SHORT, OpsWish(), None)
    assert "phone has no Python, and the Java of litert times a whole inference and no single op" in outcome.failure
    assert "leave out --ops" in outcome.fix and outcome.pushed is None
    with transport(target).opened(target) as machine:
        check_ops(machine, of_onnx, "phone")


def test_a_runner_that_is_not_built_or_not_for_this_phone_is_told(phone, runner_file, tmp_path):
    project = runner_for("onnxruntime", "com.microsoft.onnxruntime:onnxruntime-android", "1.31.0", str(tmp_path / "cache"))
    target = named(phone, tmp_path, runner=str(project))
    missing = pytest.raises(EdgepackError, match="phone has no python3, and edgepack's runner for phones is not built")
    with missing as error, transport(target).opened(target):
        pass
    assert f"gradle -p {tmp_path / 'cache'}" in error.value.fix and "assembleRelease" in error.value.fix
    needed = f"JDK {tools()['jdk'].version}, and Gradle 8 from {tools()['agp'].gradle} on"
    assert needed in error.value.fix and needed in (TARGET.parent.parent / "docs/guides/android.md").read_text().replace("\n", " ")
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("lib/arm64-v8a/libonnxruntime.so", b"")
    for path, says in ((other, "is for arm64-v8a, and the phone is x86_64"), (Path(__file__), "is no runner for phones")):
        target = named(phone, tmp_path, runner=str(path))
        with pytest.raises(EdgepackError, match=says), transport(target).opened(target):
            pass


def test_the_project_of_the_runner_names_published_releases_and_holds_all_its_sources(old_pack, tmp_path, monkeypatch):
    monkeypatch.setattr("edgepack.ship.jvm.runner.find_d8", lambda: None)
    table = find_targets(["adb://serial"], cache=str(tmp_path))[0]
    built = Path(with_runner(table, read_manifest(old_pack)).runner)
    project = built.parents[4]
    gradle = (project / "build.gradle.kts").read_text()
    assert 'implementation("com.microsoft.onnxruntime:onnxruntime-android:1.31.0")' in gradle and "minSdk = 26" in gradle
    written = {path.name for path in (project / "src/main/java/edgepack/module").iterdir()}
    assert written == {path.name for path in runner_sources("onnxruntime")} and {"Runner.java", "Board.java", "Jobs.java"} <= written
    assert with_runner(table.model_copy(update={"python": "python3"})).runner is None
    assert with_runner(find_targets(["local"])[0]).runner is None


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_the_runner_compiles_against_each_runtime_by_the_library_of_android_8(runtime, tmp_path):
    stubs = STUBS / {"onnxruntime": "ai", "litert": "org/tensorflow"}[runtime]
    compiled(tmp_path / "stubs", sorted(stubs.rglob("*.java")))
    compiled(tmp_path / "classes", runner_sources(runtime), str(tmp_path / "stubs"))


def test_d8_makes_the_runner_where_it_and_the_runtimes_package_are_at_hand(tmp_path, monkeypatch):
    """No registry here has d8: a script in its place shows what it was asked, and packs the classes."""
    classes = for_android() or pytest.skip("npm does not give onnxruntime's .aar")
    package = (
        tmp_path
        / "gradle/caches/modules-2/files-2.1/com.microsoft.onnxruntime/onnxruntime-android/1.31.0/abc/onnxruntime-android-1.31.0.aar"
    )
    package.parent.mkdir(parents=True)
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(classes, "classes.jar")
        archive.writestr("jni/arm64-v8a/libonnxruntime.so", b"of arm64")
    program = tmp_path / "sdk" / "build-tools" / "36.0.0" / "d8"
    program.parent.mkdir(parents=True)
    program.write_text(
        f"#!{sys.executable}\nimport sys, zipfile\nassert sys.argv[1:5] == ['--release', '--min-api', '26', '--output']\n"
        "archive = zipfile.ZipFile(sys.argv[5], 'w')\narchive.writestr('classes.dex', '\\n'.join(sys.argv[6:]))\narchive.close()\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("GRADLE_USER_HOME", str(tmp_path / "gradle"))
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    made = partial(runner_for, "onnxruntime", "com.microsoft.onnxruntime:onnxruntime-android", "1.31.0", str(tmp_path / "cache"))
    assert made() == made() and made().name == "runner.zip"
    with zipfile.ZipFile(made()) as archive:
        assert set(archive.namelist()) == {"classes.dex", "lib/arm64-v8a/libonnxruntime.so"}
        given = archive.read("classes.dex").decode().splitlines()
    assert given[0].endswith("runtime.jar") and any(path.endswith("edgepack/module/Runner.class") for path in given)
    made().write_bytes(b"cut or changed")
    source = next(made().parent.rglob("Runner.java"))
    assert made().read_bytes()[:2] == b"PK", "a changed runner is made again"
    source.write_text("class Runner {}")
    assert made().read_bytes()[:2] == b"PK" and source.read_text() != "class Runner {}", "so is a project with other sources"
