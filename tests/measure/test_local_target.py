"""This machine as a target: what its table in targets.toml says is honoured or refused, and a command that it names can be pasted."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from edgepack.cli.app import app
from edgepack.core.errors import EdgepackError
from edgepack.core.resources import shipped
from edgepack.measure.machines import remote
from edgepack.measure.machines.boards import check_target, way_to_install
from edgepack.measure.machines.session import check_ended
from edgepack.measure.machines.targets import LOCAL, Target, find_targets, known_addresses, transport, transport_names
from edgepack.measure.machines.transports import null, ssh
from edgepack.measure.machines.transports.local import Here
from edgepack.pack.manifest import read_manifest

SETTINGS = {"key": "'k'", "known_hosts": "'h'", "folder": "'f'", "python": "'p'", "time_out_s": "9", "cache": "'c'", "runner": "'r'"}
LONG = {"kind": "latency", "length": 16, "threads": 1, "runs": 1, "seconds": 60}
NAME = "my board"


def table(tmp_path, address, **settings):
    file = tmp_path / "targets.toml"
    file.write_text("\n".join(["[it]", f"address = {address!r}", *(f"{name} = {value}" for name, value in settings.items())]))
    return find_targets(["it"], file)[0]


@pytest.mark.parametrize("address", known_addresses())
def test_a_setting_that_a_target_would_ignore_is_refused_by_its_name(address, tmp_path):
    taken = transport(Target(name="it", address=address)).TAKES
    assert taken <= set(SETTINGS)
    for name, value in SETTINGS.items():
        if name not in taken:
            with pytest.raises(EdgepackError, match=f"{name} of it changes nothing: .* takes") as error:
                table(tmp_path, address, **{name: value})
            assert f"leave {name} out" in error.value.fix and "://" in error.value.fix


def test_every_setting_of_a_target_is_taken_somewhere():
    known = {name: transport(Target(name=name, address=name)).TAKES for name in transport_names()}
    assert set().union(*known.values()) == set(SETTINGS) == set(Target.model_fields) - {"name", "address"}


def test_a_job_here_ends_at_the_time_that_the_table_states(pack_folder, tmp_path):
    target = table(tmp_path, "local", time_out_s="0.5")
    ended = pytest.raises(EdgepackError, match=r"latency ran over 0\.5 s in it and was ended")
    with transport(target).opened(target) as machine, ended as error:
        machine.run_job(pack_folder, read_manifest(pack_folder).plan.runtime, LONG)
    assert "raise time_out_s in targets.toml" in error.value.fix


def without_runtimes(monkeypatch):
    facts = Here().facts()
    bare = facts.model_copy(update={"packages": dict.fromkeys(facts.packages)})
    monkeypatch.setattr(Here, "facts", lambda self: bare)


def test_what_this_machine_lacks_is_installed_by_pip_and_never_by_a_setup_that_refuses(pack_folder, monkeypatch):
    without_runtimes(monkeypatch)
    for pack in (None, pack_folder):
        checked = check_target(LOCAL, pack)
        (missing,) = [finding for finding in checked.findings if finding.what == "runtime"]
        assert not checked.can_run and "target setup" not in missing.fix
        pip, install, *wanted = shlex.split(missing.fix.rpartition(": ")[2])
        assert (pip, install) == ("pip", "install") and {Requirement(each).name for each in wanted} >= {"onnxruntime", "numpy"}
        built_with = read_manifest(pack_folder).versions["onnxruntime"]
        assert pack is None or f"onnxruntime=={built_with}" in wanted
    shown = CliRunner().invoke(app, ["target", "check", "local"])
    assert f"fix for the runtime: {missing.fix.partition('==')[0]}" in shown.stdout and shown.exit_code == 1


def test_a_command_names_the_file_that_names_the_target(tmp_path):
    file = tmp_path / "my targets.toml"
    file.write_text('["my board"]\naddress = "null://"\n')
    (target,) = find_targets([NAME], file, str(tmp_path))
    words = shlex.split(way_to_install(target, null.Null(), "onnxruntime").rpartition(": ")[2])
    assert words == ["edgepack", "target", "setup", NAME, "--targets", str(file)]
    assert LOCAL.command("check") == "edgepack target check local" and "my targets" not in str(target.as_json())


def test_commands_for_a_board_can_be_pasted_whatever_the_names(tmp_path):
    target, pack = Target(name=NAME, address="ssh://pi@board"), tmp_path / "my packs" / "it's"
    done = {"code": -9, "out": "", "err": "", "too_long": False}
    with pytest.raises(EdgepackError) as killed:
        check_ended(done, target, pack, {"kind": "load"})
    fixes = {"setup": way_to_install(target, null.Null(), "onnxruntime", pack=pack), "check": killed.value.fix}
    for verb, fix in fixes.items():
        words = shlex.split(fix.rpartition(": ")[2])
        assert words[:4] == ["edgepack", "target", verb, NAME] and words[-1] == str(pack)


def test_a_command_of_ssh_names_the_files_of_the_target():
    target = Target(name="pi", address="ssh://pi@[::1]:2222", key="~/my keys/id", known_hosts="/srv/my hosts")
    words = shlex.split(ssh._by_hand(target))
    assert words[:3] == ["ssh", "-p", "2222"] and words[-1] == "pi@::1"
    assert words[3:7] == ["-i", str(Path("~/my keys/id").expanduser()), "-o", "UserKnownHostsFile=/srv/my hosts"]
    assert ssh._by_hand(Target(name="pi", address="ssh://board")) == "ssh board"


def run_homeless(code, *words, **more):
    """A Python of a user without HOME and without an entry in the list of users, which finds the scripts of targets/."""
    code = f"import pwd, sys\ndef none(_): raise KeyError\npwd.getpwuid = none\n{code}"
    environment = {name: value for name, value in os.environ.items() if name != "HOME"} | {"PYTHONPATH": str(shipped("targets"))}
    return subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=False, **more)


def test_a_user_without_a_home_folder_measures_here_and_is_told_what_a_board_needs(tmp_path):
    run_board = "import runpy; runpy.run_module('board', run_name='__main__', alter_sys=True)"
    here = run_homeless(run_board, str(tmp_path / "none"), "numpy")
    assert json.loads(here.stdout)["packages"]["numpy"], here.stderr
    session = run_homeless("import board; board.main()", input='{"folder": ".edgepack"}\n')
    assert session.stderr == f"{remote._NO_HOME}\n" and session.returncode == 1
    places = run_homeless("import pathlib, weight_source; print(len(weight_source.places(pathlib.Path('.'), 'expanded')))")
    assert places.stdout == "1\n", "weights are expanded beside the pack alone"


def test_facts_of_this_machine_are_of_the_python_that_runs_packs_here(tmp_path, monkeypatch):
    """Where it is a board too, a Python that was set up for others lies in its home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".edgepack").mkdir()
    (tmp_path / ".edgepack" / "edgepack-target.json").write_text("{}")
    facts = Here().facts()
    assert not facts.is_set_up and facts.packages["numpy"]
