"""A pack is measured on a phone behind a real adb; whatever breaks there is a message, and nothing stays behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from boards import LOAD, gone
from phones import adb_server, adbutils, plug_in, plugged_in

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines import session
from edgepack.measure.machines.boards import check_target, set_up_target
from edgepack.measure.machines.targets import find_targets, transport
from edgepack.measure.machines.transports import adb as adb_transport
from edgepack.measure.measurement import Effort
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.measure import measure_pack

SHORT = Effort(name="quick", sessions=1, runs=3, seconds=0.0, loads=1, force=True)
LONG = {"kind": "latency", "length": 16, "threads": 1, "runs": 1, "seconds": 60}


@pytest.fixture(scope="module")
def adb(tmp_path_factory):
    """A real adb server that sees nothing but phones of these tests."""
    with adb_server(tmp_path_factory.mktemp("adb") / "home") as result:
        yield result


@pytest.fixture
def phone(adb, tmp_path):
    with plugged_in(adb, tmp_path / "a") as result:
        yield result
        assert gone(result)


@pytest.fixture
def named(phone, tmp_path):
    """named(python=...): the phone as a target called phone, with other settings where they are given."""

    def named(**more):
        file = tmp_path / "targets.toml"
        file.write_text(phone.table("phone", **({"python": sys.executable} | more)))
        return find_targets(["phone"], file)[0]

    return named


def opening(target):
    with transport(target).opened(target):
        pass


@pytest.mark.slow
def test_a_pack_is_measured_on_a_phone_beside_one_that_fails(phone, named, pack_folder, tmp_path):
    file = tmp_path / "targets.toml"
    named()
    file.write_text(file.read_text() + '[lost]\naddress = "adb://R58M1234"\n')
    report = measure_pack(pack_folder, out=tmp_path / "report", effort=SHORT, on=find_targets(["lost", "phone"], file))
    lost, result = report.targets
    assert f"adb sees no device 'R58M1234', only {phone.serial}" in lost.failure and lost.median_ms is None
    assert f" at adb://{phone.serial} " in result.where and result.median_ms > 0 and result.load_ms > 0 and result.ram_mb is not None
    assert result.golden_difference is not None and result.pushed_mb > 0 and report.exit_code in (1, 2)


def test_only_what_a_phone_lacks_goes_there_and_a_job_runs(phone, named, pack_folder):
    manifest = read_manifest(pack_folder)
    with transport(named()).opened(named()) as machine:
        assert machine.facts().python == ".".join(map(str, sys.version_info[:3])) and not machine.facts().is_set_up
        first, again = machine.push(pack_folder, manifest), machine.push(pack_folder, manifest)
        assert first.files == first.of_files and first.mb > 0 and (again.files, again.mb) == (0, 0)
        assert machine.run_job(pack_folder, "onnxruntime", LOAD)["session_ms"] > 0


def test_bytes_of_every_kind_and_any_length_arrive_as_they_were_sent(named, phone, tmp_path):
    from edgepack.pack.manifest import packed

    content = tmp_path / "content"
    content.write_bytes(bytes(range(256)) * 9001 + b"\r\n\x04\x03\x00")
    with transport(named()).opened(named()) as machine:
        machine.send([(content, packed(content))])
        (store,) = phone.folder.parent.glob("*/store")
        assert (store / packed(content).sha256).read_bytes() == content.read_bytes()


def while_running(phone, act):
    """Does `act(process id)` once a job runs on the phone."""

    def wait():
        until = time.monotonic() + 15
        while not phone.processes() and time.monotonic() < until:
            time.sleep(0.02)
        act(phone.processes()[0])

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_killed_process_is_told_and_the_session_lives_on(phone, named, pack_folder):
    with transport(named()).opened(named()) as machine:
        machine.push(pack_folder, read_manifest(pack_folder))
        killer = while_running(phone, lambda process: os.kill(process, signal.SIGKILL))
        with pytest.raises(EdgepackError, match="latency was killed on phone by signal 9: most often too little memory"):
            machine.run_job(pack_folder, "onnxruntime", LONG)
        killer.join()
        assert machine.run_job(pack_folder, "onnxruntime", LOAD)["session_ms"] > 0


def test_a_job_that_takes_too_long_is_ended_there(phone, named, pack_folder):
    target = named(time_out_s=2.0)
    with transport(target).opened(target) as machine:
        machine.push(pack_folder, read_manifest(pack_folder))
        with pytest.raises(EdgepackError, match="latency ran over 2 s on phone and was ended there"):
            machine.run_job(pack_folder, "onnxruntime", LONG)
        assert phone.processes() == []


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.mark.parametrize("what", ["the cable", "the far end"])
def test_a_phone_that_goes_in_the_middle_leaves_nothing(adb, phone, named, pack_folder, what):
    """The cable: as when it is pulled, or the phone reboots. The far end: edgepack's process there, killed."""

    def cut(process):
        phone.unplug() if what == "the cable" else os.kill(parent_of(process), signal.SIGKILL)

    says = "the connection to phone broke: " if what == "the cable" else "phone stopped answering: edgepack's process there ended"
    with pytest.raises(EdgepackError, match=says) as error, transport(named()).opened(named()) as machine:
        machine.push(pack_folder, read_manifest(pack_folder))
        cutter = while_running(phone, cut)
        machine.run_job(pack_folder, "onnxruntime", LONG)
    cutter.join()
    assert "start again" in error.value.fix
    plug_in(adb, phone)
    with transport(named()).opened(named()):  # what a killed one could not remove, the next does
        pass


def test_a_full_disk_is_told_and_what_was_sent_goes_again(phone, named, pack_folder):
    if os.getuid() != 0:
        pytest.skip("a small disk can be mounted by root alone")
    place = phone.folder.parent
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(place)], check=True)
    try:
        with transport(named()).opened(named()) as machine:
            machine.facts = type("Roomy", (), {"free_mb": None})
            with pytest.raises(EdgepackError, match=r"the disk of phone is full: .*No space left on device.*removed again"):
                machine.push(pack_folder, read_manifest(pack_folder))
            assert machine.ask("missing", files={}) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_phone_without_python_or_the_runtime_is_told_with_the_way_to_it(phone, named, pack_folder, tmp_path):
    with pytest.raises(EdgepackError, match="no python9 on phone .*not found") as error:
        opening(named(python="python9"))
    assert "Termux" in error.value.fix and "targets.toml" in error.value.fix
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    checked = check_target(named(python=str(bare / "bin" / "python")), pack_folder)
    missing = next(each for each in checked.findings if each.what == "runtime")
    assert not checked.can_run and "no onnxruntime and no numpy" in missing.found and "target setup phone" in missing.fix
    assert not check_target(named(python="python9"), pack_folder).can_run and check_target(named(), pack_folder).can_run


def test_a_set_up_that_finds_no_wheels_leaves_nothing(named, tmp_path):
    with pytest.raises(EdgepackError, match="no wheels of onnxruntime==1.31.1, numpy, tokenizers for Python"):
        set_up_target(named(), wheels=tmp_path)


def test_without_a_serial_the_only_phone_is_taken_and_of_two_none(adb, phone, tmp_path):
    alone = find_targets(["adb://"])[0].model_copy(update={"folder": str(phone.folder), "python": sys.executable})
    opening(alone)
    with plugged_in(adb, tmp_path / "b") as other:
        with pytest.raises(EdgepackError, match="adb sees 2 devices, .* and adb:// names none") as error:
            opening(alone)
        assert "write adb://127.0.0.1:" in error.value.fix
        with pytest.raises(EdgepackError, match=f"no device '{other.serial}0', only ") as error:
            opening(find_targets([f"adb://{other.serial}0"])[0])
        assert f"did you mean 'adb://{other.serial}'?" in error.value.fix


def test_no_phone_at_all_and_one_that_trusts_nobody_are_told(adb, tmp_path):
    with pytest.raises(EdgepackError, match="adb sees no device for adb://") as error:
        opening(find_targets(["adb://"])[0])
    assert "USB debugging" in error.value.fix
    with plugged_in(adb, tmp_path, trusts=False) as phone:
        with pytest.raises(EdgepackError, match=f"{phone.serial} does not trust this computer yet") as error:
            opening(find_targets([f"adb://{phone.serial}"])[0])
        assert "confirm the question" in error.value.fix


def test_an_old_adbd_is_told(adb, tmp_path):
    with plugged_in(adb, tmp_path, features="cmd"), pytest.raises(EdgepackError, match="cannot separate output and exit codes"):
        opening(find_targets(["adb://"])[0])


def test_a_server_that_does_not_run_is_started_and_one_that_is_none_is_told(monkeypatch, tmp_path, capfd):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(other.getsockname()[1]))
        monkeypatch.setenv("HOME", str(tmp_path))
        threading.Thread(target=lambda: [other.accept()[0].sendall(b"HTTP/1.1 400") for _ in range(2)], daemon=True).start()
        with pytest.raises(EdgepackError, match="adb cannot reach adb://") as error:
            opening(find_targets(["adb://"])[0])
        assert "adb start-server" in error.value.fix
    try:
        with pytest.raises(EdgepackError, match="adb sees no device"):
            opening(find_targets(["adb://"])[0])
    finally:
        subprocess.run([adbutils.adb_path(), "kill-server"], check=True, stderr=subprocess.DEVNULL)
    assert capfd.readouterr().out == ""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "ten")
    with pytest.raises(EdgepackError, match="ANDROID_ADB_SERVER_PORT is not a port: 'ten'"):
        opening(find_targets(["adb://"])[0])


@pytest.mark.parametrize("address", ["adb://a b", "adb://a/b", "adb://$(touch x)", "adb:///dev"])
def test_what_is_no_serial_is_refused_before_any_work(address):
    with pytest.raises(EdgepackError, match="not an adb address"):
        find_targets([address])


def programs_of_a_phone(place, app_process):
    """All that the phone's shell can start: no Python."""
    place.mkdir()
    for name in ("cat", "mkdir", "mv", "chmod", "rm", "sleep"):
        (place / name).symlink_to(shutil.which(name))
    for name, text in {"getprop": "echo x86_64", **({"app_process": app_process} if app_process else {})}.items():
        (place / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / name).chmod(0o755)
    return place


FAILING = {
    "is not there": (None, "does not start edgepack's runner"),
    "complains": ("echo 'no such class' >&2; exit 1", "does not start edgepack's runner .*no such class"),
    "says something else": ("while echo hello; do :; done", "does not start edgepack's runner"),
    "says nothing": ("exec sleep 300", "did not answer for 2 s"),
    "says a line without an end": ("while printf aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; do :; done", "did not answer for 2 s|sends more than"),
    "answers with a number that is none": ("echo edgepack is here; read -r line; echo 99999999999; cat", "announced an answer"),
    "answers with no facts": ("echo edgepack is here; read -r line; echo 2; printf '[]'; cat", "the answer to facts of phone is wrong"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_runner_that_fails_leaves_nothing_on_the_phone(adb, name, tmp_path, monkeypatch):
    app_process, says = FAILING[name]
    monkeypatch.setattr(session, "ANSWER_S", 2.0)
    monkeypatch.setattr(adb_transport, "_CLEAN_UP_S", 1)
    runner = tmp_path / "runner.zip"
    with zipfile.ZipFile(runner, "w") as archive:
        archive.writestr("classes.dex", b"")
        archive.writestr("lib/x86_64/libonnxruntime.so", b"")
    with plugged_in(adb, tmp_path / "a", programs=programs_of_a_phone(tmp_path / "programs", app_process)) as phone:
        (tmp_path / "targets.toml").write_text(phone.table("phone", runner=str(runner)))
        target = find_targets(["phone"], tmp_path / "targets.toml")[0]
        with pytest.raises(EdgepackError, match=says), transport(target).opened(target) as machine:
            machine.facts()
        assert phone.left() == [] and phone.processes() == []


@pytest.mark.parametrize("program", ["cat", "chmod", "mkdir", "mv"])
def test_what_fails_while_the_runner_is_brought_leaves_nothing_either(adb, program, tmp_path):
    runner = tmp_path / "runner.zip"
    with zipfile.ZipFile(runner, "w") as archive:
        archive.writestr("classes.dex", b"")
    place = programs_of_a_phone(tmp_path / "programs", "exit 1")
    (place / program).unlink()
    (place / program).write_text("#!/bin/sh\nexit 3\n")
    (place / program).chmod(0o755)
    with plugged_in(adb, tmp_path / "a", programs=place) as phone:
        (tmp_path / "targets.toml").write_text(phone.table("phone", runner=str(runner)))
        target = find_targets(["phone"], tmp_path / "targets.toml")[0]
        with pytest.raises(EdgepackError, match="does not keep edgepack's runner|does not start"), transport(target).opened(target):
            pass
        assert phone.left() == []
