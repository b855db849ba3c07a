"""A pack is measured in a real Chromium and in a real Node.js; whatever breaks there is a message, and nothing stays behind."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import browsers
import pytest
from small import make_model

from edgepack.core.cache import cache_folder
from edgepack.core.errors import EdgepackError
from edgepack.measure.golden import answers_on
from edgepack.measure.machines import processes
from edgepack.measure.machines.boards import check_target, remove_target, set_up_target
from edgepack.measure.machines.npm import PACKAGES, fetched
from edgepack.measure.machines.targets import find_targets, transport
from edgepack.measure.measurement import Effort
from edgepack.pack.manifest import read_manifest, seal
from edgepack.pipeline.build import build
from edgepack.pipeline.measure import measure_pack
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

SHORT = Effort(name="quick", sessions=1, runs=3, seconds=0.0, loads=1, force=True)
LATENCY = {"kind": "latency", "length": 16, "threads": 1, "runs": 3, "seconds": 0}
LONG = LATENCY | {"seconds": 60}
LOAD = {"kind": "load", "cold": True, "threads": 1, "length": 16}
KINDS = ["browser://chromium", "node://"]


@pytest.fixture(scope="module", autouse=True)
def runtimes(tmp_path_factory):
    """What npm brings, in the tests' own cache; a user's cache is taken where it has it already."""
    reason = browsers.missing()
    if reason:
        pytest.skip(reason)
    folder = cache_folder() / "npm"
    with pytest.MonkeyPatch.context() as patch:
        if not all((folder / f"{name}-{package.version}").is_dir() for name, package in PACKAGES.items()):
            place = tmp_path_factory.getbasetemp()
            shared_by_workers = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
            patch.setenv("EDGEPACK_CACHE", str(shared_by_workers / "npm"))
        try:
            yield {name: fetched(name) for name in PACKAGES}
        except EdgepackError as error:
            pytest.skip(f"the packages are not to be had: {error.problem}")


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A folder for temporary files that is empty again at the end."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert [path.name for path in place.iterdir() if not path.name.startswith("playwright")] == []


def target_of(address, **more):
    return find_targets([address])[0].model_copy(update=more)


@pytest.mark.slow
def test_a_pack_for_the_browser_is_measured_in_one_as_it_is_built_and_in_node_too(pack_of, tmp_path, cache, scratch):
    built = build(browser_recipe(pack_of), load_profile("browser"), tmp_path / "pack", cache, SHORT)
    page = built.measurements
    assert page.is_the_device and page.target == "browser://chromium"
    assert page.where.startswith("wasm32 at browser://chromium (Chromium 1")
    machine = page.environment["machine"]
    assert machine["cross_origin_isolated"] and machine["isa"] == ["simd128", "threads"] and "Headless" in machine["user_agent"]
    assert machine["cpu_part"] == "wasm-simd128" and machine["timer_us"] < 50 and machine["python"] is None
    cold, warm = page.load
    assert cold.cold_is_proved and warm.read_bytes == (0,) and any("over a network a cold load" in doubt for doubt in page.doubts)
    checks = {check.name: check for check in built.checks}
    assert checks["latency_ms"].origin == "measured" and checks["ram_mb"].origin == "measured"
    assert checks["load_ms"].origin == "predicted" and "the download" in checks["load_ms"].where
    assert checks["load_ms"].actual > checks["load_ms"].here
    report = measure_pack(tmp_path / "pack", out=tmp_path / "report", effort=SHORT, on=find_targets(["node://"]))
    node = report.measurements
    assert " here in Node.js (" in node.where and not node.is_the_device
    assert node.load[0].cold_is_proved and node.load[0].read_bytes[0] > 0
    for each, name in ((page, "onnxruntime-web"), (node, "onnxruntime-node")):
        assert all(row.summary.p50 > 0 and row.warm_up_runs[0] >= 10 for row in each.latency)
        assert {row.threads for row in each.latency} == {1, each.environment["machine"]["cores"]}
        assert all(row.peak_mb > 0 and row.peak_is_exact and row.empty_runtime_mb > 20 for row in each.memory)
        assert each.environment["runtime"] == {"name": name, "version": PACKAGES[name].version, "numpy": None}
    assert report.targets[0].golden_difference is not None
    assert "numpy" not in (tmp_path / "report" / "report.html").read_text().split("<td>runtime</td>")[1][:60]


@pytest.mark.slow
def test_without_a_browser_a_pack_for_one_is_measured_here_and_judges_nothing(pack_of, tmp_path, cache, monkeypatch, capfd):
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    built = build(browser_recipe(pack_of), load_profile("browser"), tmp_path / "pack", cache, SHORT)
    assert built.measurements.target == "local" and " here (" in built.measurements.where and not built.measurements.is_the_device
    assert {check.origin for check in built.checks if check.name in ("latency_ms", "ram_mb", "load_ms")} == {"predicted"}
    text = capfd.readouterr().err
    assert "not measured on browser://chromium: browser://chromium does not start" in text and "apt-get install chromium" in text


def browser_recipe(pack_of):
    model = str(pack_of("text-classification").parent)
    return Recipe(model=model, student="same", prune_heads=0.0, precision="int8", max_length=16, length=16)


@pytest.fixture(scope="module")
def pack_of(tmp_path_factory, cache):
    """pack_of(task): a small pack that nobody trained and nobody measured."""

    @functools.cache
    def pack_of(task):
        place = tmp_path_factory.mktemp(task)
        make_model(place, "qwen3" if task == "text-generation" else "bert", task)
        recipe = Recipe(model=str(place), student="same", prune_heads=0.0, precision="int8", task=task)
        build(recipe, load_profile("raspberry-pi"), place / "pack", cache, None)
        return place / "pack"

    return pack_of


@pytest.mark.slow
@pytest.mark.parametrize("address", KINDS)
def test_a_decoder_answers_there_as_here(address, pack_of):
    decoder_pack = pack_of("text-generation")
    manifest = read_manifest(decoder_pack)
    with transport(target_of(address)).opened(target_of(address)) as machine:
        assert answers_on(machine, decoder_pack, manifest) <= manifest.golden_tolerance
        for kind in ("decode", "prefill")[: 1 if "browser" in address else 2]:  # a browser takes its time to start
            result = machine.run_job(decoder_pack, "onnxruntime", LATENCY | {"kind": kind})
            assert len(result["samples_ms"]) == 3 and min(result["samples_ms"]) > 0
        assert machine.run_job(decoder_pack, "onnxruntime", LATENCY | {"kind": "decode_memory"})["running_mb"]["peak"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("address", KINDS)
def test_two_outputs_for_every_token_come_home(address, pack_of):
    pack = pack_of("question-answering")
    with transport(target_of(address)).opened(target_of(address)) as machine:
        assert answers_on(machine, pack, read_manifest(pack)) <= read_manifest(pack).golden_tolerance


@pytest.mark.slow
@pytest.mark.parametrize("address", KINDS)
def test_a_check_tells_in_one_screen_and_there_is_nothing_to_set_up(address, pack_folder):
    result = check_target(target_of(address), pack_folder)
    assert result.can_run, result
    runtime = next(each for each in result.findings if each.what == "runtime")
    assert runtime.found in [f"{name} {package.version}" for name, package in PACKAGES.items()]
    for act in (set_up_target, remove_target):
        with pytest.raises(EdgepackError, match=f"nothing to .* for {address}: .* runtime from edgepack's cache"):
            act(target_of(address))


def kill_soon(find):
    """SIGKILL to the process that `find` gives, once it gives one."""

    def wait():
        until = time.monotonic() + 20
        while time.monotonic() < until:
            process = find()
            if process:
                os.kill(process, signal.SIGKILL)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def page_process():
    return next((each for each in processes.find_descendants(os.getpid()) if processes.has_thread(each, "DedicatedWorker")), None)


def browser_process():
    """The one that started all others; killed once the page works."""
    if page_process() is None:
        return None
    words = {each: words_of(each) for each in processes.find_descendants(os.getpid())}
    return next(each for each, text in words.items() if "--remote-debugging-pipe" in text and "--type=" not in text)


def node_process():
    return next((each for each in processes.find_descendants(os.getpid()) if "run_node.mjs" in words_of(each)), None)


def words_of(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "find", "says"),
    [
        ("browser://chromium", page_process, "browser://chromium ended while it did latency"),
        ("browser://chromium", browser_process, "browser://chromium ended while it did latency"),
        ("node://", node_process, "latency was killed in node:// by signal 9: most often too little memory"),
    ],
    ids=["page", "browser", "node"],
)
def test_a_killed_process_is_told_and_the_next_job_runs(address, find, says, pack_folder, scratch):
    with transport(target_of(address)).opened(target_of(address)) as machine:
        killer = kill_soon(find)
        with pytest.raises(EdgepackError, match=says):
            machine.run_job(pack_folder, "onnxruntime", LONG)
        killer.join()
        assert machine.run_job(pack_folder, "onnxruntime", LOAD)["session_ms"] > 0


@pytest.mark.parametrize("address", KINDS)
def test_a_job_that_takes_too_long_is_ended(address, pack_folder, scratch):
    target = target_of(address, time_out_s=3.0)
    with (
        transport(target).opened(target) as machine,
        pytest.raises(EdgepackError, match=f"latency ran over 3 s in {address} and was ended"),
    ):
        machine.run_job(pack_folder, "onnxruntime", LONG)
    assert not node_process() and not page_process()


@pytest.mark.parametrize("address", KINDS)
def test_what_cannot_be_done_there_is_refused_with_the_way_out(address, pack_folder):
    manifest = read_manifest(pack_folder)
    with transport(target_of(address)).opened(target_of(address)) as machine:
        with pytest.raises(EdgepackError, match=f"onnxruntime-{'web' if 'browser' in address else 'node'} has no job ops") as error:
            machine.run_job(pack_folder, "onnxruntime", {"kind": "ops", "threads": 1, "length": 16, "runs": 1})
        assert "--ops" in error.value.fix
        with pytest.raises(EdgepackError, match="the pack is a TFLite file for litert") as error:
            plan = manifest.plan.model_copy(update={"runtime": "litert"})
            machine.push(pack_folder, manifest.model_copy(update={"format": "tflite", "plan": plan}))
        assert "--format onnx" in error.value.fix
        with pytest.raises(EdgepackError, match="keeps no keys and values"):
            machine.run_job(pack_folder, "onnxruntime", LATENCY | {"kind": "decode"})


@pytest.mark.slow
@pytest.mark.parametrize("address", KINDS)
def test_a_changed_file_and_one_that_is_no_model_are_told(address, pack_folder, tmp_path):
    changed = shutil.copytree(pack_folder, tmp_path / "pack")
    (changed / "model.onnx").write_bytes(b"no model")
    with pytest.raises(EdgepackError, match="model.onnx in .* was changed"):
        measure_pack(changed, effort=SHORT, on=find_targets([address]))
    seal(changed, read_manifest(changed))
    with transport(target_of(address)).opened(target_of(address)) as machine, pytest.raises(EdgepackError) as error:
        machine.run_job(changed, "onnxruntime", LOAD)
    assert "protobuf" in error.value.problem.lower() and "edgepack verify" in error.value.fix


def test_a_full_disk_is_told_where_a_browser_keeps_its_files(pack_folder, tmp_path, monkeypatch):
    if os.getuid() != 0:
        pytest.skip("a small disk can be mounted by root alone")
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)], check=True)
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        target = target_of("browser://chromium", time_out_s=20.0)
        with transport(target).opened(target) as machine, pytest.raises(EdgepackError, match="browser://chromium|keep the model's files"):
            machine.run_job(pack_folder, "onnxruntime", LOAD | {"cold": False})
        assert [path.name for path in place.iterdir() if path.name.startswith("edgepack")] == []
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize(
    ("npm", "says", "fix"),
    [
        ("", "could not be fetched by npm: npm said nothing", "copy the folder npm/"),
        ("npm error nospc ENOSPC: no space left on device, write", "no space left on device", "free some space"),
        ("npm error network request failed, reason: getaddrinfo ENOTFOUND", "ENOTFOUND", "npm reaches its registry"),
    ],
)
def test_a_runtime_that_cannot_be_fetched_is_told_and_leaves_nothing(npm, says, fix, tmp_path, monkeypatch):
    (tmp_path / "npm").write_text(f"#!/bin/sh\necho '{npm}' >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(EdgepackError) as error, transport(target_of("node://")).opened(target_of("node://")):
        pass
    assert says in error.value.problem and fix in error.value.fix
    assert [path.name for path in (tmp_path / "cache" / "npm").iterdir() if not path.name.endswith(".lock")] == []


def test_a_machine_without_node_or_a_browser_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "node").write_text("#!/bin/sh\necho v16.3.0\n")
    (tmp_path / "node").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgepackError, match=r"needs Node.js 18, and `node` here is v16.3.0"):
        find_targets(["node://"])
    (tmp_path / "node").unlink()
    with pytest.raises(EdgepackError, match="there is no `node` here") as error:
        find_targets(["node://"])
    assert "apt-get install nodejs npm" in error.value.fix
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(sys.executable).parent}")
    result = check_target(find_targets(["browser://chromium"])[0])
    assert not result.can_run and "does not start" in result.findings[0].found and "apt-get install chromium" in result.findings[0].fix


@pytest.mark.parametrize("address", ["browser://firefox", "browser://", "browser://chromium/x", "node://x", "node"])
def test_another_address_is_refused_before_any_work(address):
    with pytest.raises(EdgepackError, match="not an address|edgepack knows no browser"):
        find_targets([address])


def test_what_a_killed_edgepack_left_goes_with_the_next_one(scratch):
    with subprocess.Popen(["true"]) as ended:
        pass
    left, used = scratch / f"edgepack-browser-{ended.pid}-a", scratch / f"edgepack-browser-{os.getppid()}-b"
    left.mkdir()
    used.mkdir()
    with transport(target_of("browser://chromium")).opened(target_of("browser://chromium")):
        assert not left.exists() and used.exists()
    used.rmdir()
