"""A board is checked, given a Python with the runtime, and cleared again: with nothing of the user's touched."""

import io
import shutil
import subprocess
import sys

import pytest
from boards import LOAD, gone, make_wheel, needs_sshd
from rich.console import Console

from edgepack.cli.machine_views import check_view
from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.boards import check_target, remove_target, set_up_target
from edgepack.measure.machines.targets import LOCAL, find_targets, transport
from edgepack.pack.manifest import read_manifest

pytest.importorskip("asyncssh", reason="no asyncssh: pip install 'edgepack[ssh]'")


def finding(check, what):
    return next(each for each in check.findings if each.what == what)


@needs_sshd
def test_a_check_says_on_one_screen_whether_a_pack_can_run_and_why_not(board, named, pack_folder, tmp_path):
    good = check_target(named(), pack_folder)
    assert good.can_run and finding(good, "answers").ok and "limit" in finding(good, "answers").found and gone(board)
    assert finding(good, "device").ok is None and "not the cortex-a72 of raspberry-pi" in finding(good, "device").found
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    bad = check_target(named(python=str(bare / "bin" / "python")), pack_folder)
    assert not bad.can_run and "no onnxruntime and no numpy for Python" in finding(bad, "runtime").found
    off = check_target(find_targets(["ssh://root@127.0.0.1:1"])[0])
    assert not off.can_run and "no connection to" in finding(off, "connection").found
    assert check_target(LOCAL, pack_folder).can_run and check_target(named()).can_run
    for result in (good, bad, off):
        console = Console(width=100, height=24, file=io.StringIO())
        console.print(check_view(result))
        assert console.file.getvalue().count("\n") <= 24 and ("cannot run it" in console.file.getvalue()) is not result.can_run


@needs_sshd
@pytest.mark.slow
def test_a_board_is_set_up_without_a_network_measured_on_and_cleared(board, named, pack_folder, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    target = named(python=str(bare / "bin" / "python"))
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("onnxruntime", "numpy", "tokenizers"):
        make_wheel(name, wheels)
    planned = set_up_target(target, pack_folder, wheels, dry_run=True)
    assert not planned.done and len(planned.wheels) == 3 and board.left() == []
    done = set_up_target(target, pack_folder, wheels)
    assert done.done and done.packages["onnxruntime"] == read_manifest(pack_folder).versions["onnxruntime"]
    assert board.left() == ["edgepack"] and check_target(target, pack_folder).can_run
    with transport(target).opened(target) as machine:
        remaining = machine.push(pack_folder, read_manifest(pack_folder))
        assert (remaining.files, remaining.mb) == (0, 0)  # the check brought it, and a board that is set up keeps it
        assert machine.run_job(pack_folder, "onnxruntime", LOAD)["session_ms"] > 0
        assert machine.run_job(pack_folder, "onnxruntime", {"kind": "texts", "threads": 1})["texts"] >= 32  # the module's code is there
    assert sorted(path.name for path in board.folder.iterdir()) == ["edgepack-target.json", "store", "venv"]
    assert remove_target(target).removed == str(board.folder) and board.left() == []
    assert remove_target(target).removed is None


@needs_sshd
def test_a_set_up_that_fails_leaves_nothing_and_what_is_not_edgepacks_is_not_touched(board, named, tmp_path):
    with pytest.raises(EdgepackError, match="no wheels of onnxruntime==1.31.1, numpy, tokenizers for Python"):
        set_up_target(named(), wheels=tmp_path)
    with pytest.raises(EdgepackError, match="onnxruntime cannot be imported there"), transport(named()).opened(named()) as machine:
        machine.ask("set_up")
        machine.ask("unpack", wheels=[], module="onnxruntime", packages=["numpy"])
    assert gone(board)
    board.folder.mkdir()
    (board.folder / "thesis.txt").write_text("mine")
    for act in (remove_target, set_up_there):
        with pytest.raises(EdgepackError, match="was not made by edgepack"):
            act(named())
    assert (board.folder / "thesis.txt").read_text() == "mine"
    shutil.rmtree(board.folder)


def set_up_there(target):
    with transport(target).opened(target) as machine:
        machine.ask("set_up")


def test_this_machine_needs_no_set_up():
    for act in (set_up_target, remove_target):
        with pytest.raises(EdgepackError, match="on this machine"):
            act(LOCAL)


@needs_sshd
def test_the_commands_work_as_a_user_types_them(board, pack_folder, tmp_path):
    (tmp_path / "targets.toml").write_text(board.table("pi", python=sys.executable))

    def edgepack(*words):
        command = [sys.executable, "-m", "edgepack", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    good = edgepack("target", "check", "pi", pack_folder)
    assert good.returncode == 0 and "can run it: pi" in good.stdout, good.stderr
    nothing = edgepack("target", "remove", "pi")
    assert nothing.returncode == 0 and "edgepack keeps nothing on pi" in nothing.stdout
    wrong = edgepack("measure", pack_folder, "--on", "pii")
    assert wrong.returncode == 1 and "did you mean 'pi'?" in wrong.stderr and "Traceback" not in wrong.stderr
