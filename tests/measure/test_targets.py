"""A pack is measured on a board behind a real sshd; whatever breaks there is a message, and nothing stays behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from html import unescape
from pathlib import Path

import pytest
from boards import LOAD, gone, needs_sshd, running

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.targets import find_targets, transport
from edgepack.measure.measurement import Effort
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.measure import measure_pack
from edgepack.report.write import html, markdown

pytest.importorskip("asyncssh", reason="no asyncssh: pip install 'edgepack[ssh]'")
SHORT = Effort(name="quick", sessions=1, runs=3, seconds=0.0, loads=1, force=True)
LONG = {"kind": "latency", "length": 16, "threads": 1, "runs": 1, "seconds": 60}


@needs_sshd
def test_a_board_tells_its_facts_takes_only_what_it_lacks_and_runs_a_job(board, named, pack_folder):
    manifest = read_manifest(pack_folder)
    with transport(named()).opened(named()) as machine:
        facts = machine.facts()
        assert facts.machine["arch"] == os.uname().machine and facts.python == ".".join(map(str, sys.version_info[:3]))
        assert facts.free_mb > 0 and not facts.is_set_up and facts.packages["onnxruntime"] == manifest.versions["onnxruntime"]
        first = machine.push(pack_folder, manifest)
        again = machine.push(pack_folder, manifest)
        assert first.files == first.of_files and first.mb > 0 and (again.files, again.mb) == (0, 0)
        machine.ask("prune", keep=[])  # what is in use has a name of its own
        assert machine.run_job(pack_folder, "onnxruntime", LOAD)["session_ms"] > 0
        assert machine.push(pack_folder, manifest).files == first.of_files
        assert len(board.left()) == 1
    assert gone(board)


@needs_sshd
def test_a_pack_is_measured_on_several_targets_and_one_that_fails_stops_no_other(board, pack_folder, tmp_path, capfd):
    file = tmp_path / "targets.toml"
    tables = board.table("pi", python=sys.executable) + board.table("off", address="ssh://root@127.0.0.1:1")
    file.write_text(tables)
    out = tmp_path / "report"
    report = measure_pack(pack_folder, out=out, effort=SHORT, on=find_targets(["off", "local", "pi"], file))
    off, local, pi = report.targets
    assert "no connection to ssh://root@127.0.0.1:1" in off.failure and off.median_ms is None and off.fix
    assert local.where.endswith(")") and " here " in local.where and f" at {board.address} " in pi.where
    assert local.median_ms > 0 and pi.median_ms > 0 and pi.load_ms > 0 and pi.golden_difference is not None and pi.pushed_mb > 0
    assert report.measurements.target == "local" and [each.target for each in report.other_measurements] == ["pi"]
    assert report.other_measurements[0].latency[0].samples_ms and report.exit_code in (1, 2)
    for text in (markdown(report).replace("\\", ""), unescape(html(report))):  # each language has its own escapes
        assert "By target" in text and "failed" in text
        assert board.address in text
        assert off.fix.split("`")[0] in text
    assert json.loads((out / "report.json").read_text())["targets"][2]["origin"] == "measured"
    assert "off: no connection to" in capfd.readouterr().err and gone(board)


@needs_sshd
def test_no_target_that_measured_is_an_error_and_no_report(board, named, pack_folder, tmp_path):
    with pytest.raises(EdgepackError, match="no .*python9 on pi"):
        measure_pack(pack_folder, out=tmp_path / "report", effort=SHORT, on=[named(python="python9")])
    assert not (tmp_path / "report").exists() and gone(board)


@needs_sshd
def test_a_python_without_the_runtime_is_told_with_the_way_to_bring_it(named, board, pack_folder, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    with pytest.raises(EdgepackError, match=r"on pi cannot run onnxruntime(.|\n)*edgepack target setup pi"):
        measure_pack(pack_folder, out=tmp_path / "report", effort=SHORT, on=[named(python=str(bare / "bin" / "python"))])
    assert gone(board)


def in_the_background(act):
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def while_running(board, act):
    """Does `act(process id)` once a job runs on the board."""

    def wait():
        until = time.monotonic() + 15
        while not board.processes() and time.monotonic() < until:
            time.sleep(0.02)
        act(board.processes()[0])

    return in_the_background(wait)


@needs_sshd
def test_a_killed_process_is_told_and_the_session_lives_on(board, named, pack_folder):
    with transport(named()).opened(named()) as machine:
        machine.push(pack_folder, read_manifest(pack_folder))
        killer = while_running(board, lambda process: os.kill(process, signal.SIGKILL))
        with pytest.raises(EdgepackError, match="latency was killed on pi by signal 9: most often too little memory"):
            machine.run_job(pack_folder, "onnxruntime", LONG)
        killer.join()
        assert machine.run_job(pack_folder, "onnxruntime", LOAD)["session_ms"] > 0
    assert gone(board)


@needs_sshd
def test_a_job_that_takes_too_long_is_ended_there(board, named, pack_folder):
    target = named(time_out_s=2.0)
    with transport(target).opened(target) as machine:
        machine.push(pack_folder, read_manifest(pack_folder))
        with pytest.raises(EdgepackError, match="latency ran over 2 s on pi and was ended there"):
            machine.run_job(pack_folder, "onnxruntime", LONG)
        assert board.processes() == []
    assert gone(board)


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def sshd_of(process):
    """sshd's own process for one connection; a shell may be between it and what it runs."""
    while Path(f"/proc/{process}/comm").read_text().strip() != "sshd":
        process = parent_of(process)
    return process


@needs_sshd
@pytest.mark.parametrize("what", ["the connection", "the far end"])
def test_a_session_that_is_cut_leaves_nothing(board, named, pack_folder, what):
    """The connection: sshd's own process for it. The far end: edgepack's process there, with no chance to clean up."""

    def cut(process):
        far_end = parent_of(process)
        os.kill(sshd_of(far_end) if what == "the connection" else far_end, signal.SIGKILL)

    says = "the connection to pi broke" if what == "the connection" else "pi stopped answering"
    with pytest.raises(EdgepackError, match=says), transport(named()).opened(named()) as machine:
        machine.push(pack_folder, read_manifest(pack_folder))
        killer = while_running(board, cut)
        machine.run_job(pack_folder, "onnxruntime", LONG)
    killer.join()
    with transport(named()).opened(named()):  # what a killed one could not remove, the next does
        pass
    assert gone(board)


@needs_sshd
@pytest.mark.slow
def test_a_board_that_falls_silent_is_given_up_and_ends_its_session_by_itself(board, named, pack_folder):
    """As when its network is cut without a word: nothing closes, nobody answers."""
    silent = []

    def stop(process):
        silent.append(sshd_of(process))
        os.kill(silent[0], signal.SIGSTOP)
        os.kill(process, signal.SIGSTOP)

    with pytest.raises(EdgepackError, match="the connection to pi broke"), transport(named()).opened(named()) as machine:
        machine.push(pack_folder, read_manifest(pack_folder))
        stopper = while_running(board, stop)
        machine.run_job(pack_folder, "onnxruntime", LONG)
    stopper.join()
    os.kill(silent[0], signal.SIGCONT)
    assert gone(board)


@needs_sshd
@pytest.mark.parametrize(("megabytes", "says"), [(0, "MB free"), (1, "No space left on device")])
def test_a_full_disk_is_told_and_what_was_sent_goes_again(tmp_path, pack_folder, megabytes, says):
    """0: it is full before anything is sent. 1: the board's own word for its room is wrong, as a quota makes it."""
    if os.getuid() != 0:
        pytest.skip("a small disk can be mounted by root alone")
    place = tmp_path / "sshd"
    place.mkdir()
    script = 'mount -t tmpfs -o size=100k none "$0" || exit 9; exec "$@"'
    with running(place, ("unshare", "--mount", "sh", "-c", script, str(place / "board"))) as board:
        file = tmp_path / "targets.toml"
        file.write_text(board.table("small", python=sys.executable))
        target = find_targets(["small"], file)[0]
        with transport(target).opened(target) as machine:
            if megabytes:
                machine.facts = type("Roomy", (), {"free_mb": None})
            with pytest.raises(EdgepackError, match=f"the disk of small is full: .*{says}.*removed again"):
                machine.push(pack_folder, read_manifest(pack_folder))
            assert machine.ask("missing", files={}) == []


@pytest.mark.parametrize(
    ("wanted", "says", "fix"),
    [
        ("shh://pi@board", "'shh://pi@board' is neither a name in targets.toml nor an address", "did you mean 'ssh'?"),
        ("ssh://pi@", "not an ssh address: 'ssh://pi@'", "write ssh://user@host"),
        ("ssh://pi@board:99999", "not an ssh address", "write ssh://user@host"),
        ("ssh://-oProxyCommand=touch@board", "not an ssh address", "write ssh://user@host"),
        ("ssh://pi@board/etc", "not an ssh address", "write ssh://user@host"),
        ("local://x", "not an address: 'local://x'", "this machine is `local`"),
        ("keyles", "unknown target: 'keyles'", "did you mean 'keyless'?"),
        ("keyless", "key of keyless not found", "mend key in targets.toml"),
        ("outside", "not a folder that edgepack makes on a board: '../x' of outside", "name one in the home folder"),
        ("shell", "not a folder that edgepack makes on a board: '$(touch x)' of shell", "name one in the home folder"),
    ],
)
def test_a_wrong_target_ends_before_any_work(tmp_path, wanted, says, fix):
    file = tmp_path / "targets.toml"
    lines = {"pi": "", "keyless": 'key = "nowhere"', "outside": 'folder = "../x"', "shell": 'folder = "$(touch x)"'}
    file.write_text("".join(f'[{name}]\naddress = "ssh://pi@board"\n{line}\n' for name, line in lines.items()))
    with pytest.raises(EdgepackError) as error:
        find_targets([wanted], file)
    assert says in error.value.problem and fix in error.value.fix


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pi = 3", "wrong value in .*targets.toml pi: 3"),
        ("[pi]\n", "missing key in .*'address'"),
        ('[pi]\naddress = "local"\nkee = "x"', "unknown key in .*'kee'"),
        ("[pi", "is not valid TOML"),
    ],
)
def test_a_wrong_targets_file_is_told_with_its_place(tmp_path, text, says):
    file = tmp_path / "targets.toml"
    file.write_text(text)
    with pytest.raises(EdgepackError, match=says):
        find_targets(["pi"], file)


def test_a_target_named_twice_is_refused():
    with pytest.raises(EdgepackError, match="a target is named twice: local, local"):
        find_targets(["local", "local"])


@needs_sshd
@pytest.mark.parametrize(
    ("damage", "says", "fix"),
    [
        ("unknown host", "is not a known host: it shows SHA256:", "once, and compare what it shows"),
        ("changed host", "has changed: it now shows SHA256:", "only where you know why"),
        ("wrong key", "it accepts none of the keys in", "copy a key there with ssh-copy-id"),
        ("locked key", "the key for pi cannot be read", "put it into ssh-agent"),
    ],
)
def test_nobody_is_trusted_who_is_not_known(board, named, tmp_path, damage, says, fix):
    key, hosts = tmp_path / "id", tmp_path / "known_hosts"
    secret = "secret" if damage == "locked key" else ""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", secret, "-f", str(key)], check=True)
    place = (board.place / "known_hosts").read_text().split()[0]
    hosts.write_text("" if damage == "unknown host" else f"{place} {' '.join((tmp_path / 'id.pub').read_text().split()[:2])}\n")
    more = {"known_hosts": str(hosts)} if damage.endswith("host") else {"key": str(key)}
    with pytest.raises(EdgepackError) as error, transport(named(**more)).opened(named(**more)):
        pass
    assert says in error.value.problem and fix in error.value.fix


@needs_sshd
def test_what_a_login_script_prints_is_no_answer(board, named, pack_folder):
    chatty = board.place / "chatty"
    chatty.write_text(f'#!/bin/sh\necho Welcome\necho "{{\\"answer\\": 1}}"\nexec {sys.executable} "$@"\n')
    chatty.chmod(0o755)
    with transport(named(python=str(chatty))).opened(named(python=str(chatty))) as machine:
        assert machine.facts().pointer_bits == 64


WITHOUT = """
import sys
from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.targets import Target, find_targets, transport
transport(Target(name="", address=sys.argv[1]))
sys.path[:] = [path for path in sys.path if "-packages" not in path]
try:
    find_targets([sys.argv[1]])
except EdgepackError as error:
    print(error.problem, error.fix, sep="|")
"""


@pytest.mark.parametrize(
    ("address", "package", "extra"),
    [("ssh://pi@board", "asyncssh", "ssh"), ("adb://", "adbutils", "adb"), ("browser://chromium", "playwright", "browser")],
)
def test_a_package_that_is_missing_is_told_with_the_line_that_installs_it(address, package, extra):
    done = subprocess.run([sys.executable, "-c", WITHOUT, address], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{address} needs {package}, which is not installed|pip install 'edgepack[{extra}]'"
