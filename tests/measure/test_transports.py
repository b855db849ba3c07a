"""Every transport in the folder keeps what a Machine promises, on a real machine of its kind; those that this machine lacks are skipped."""

import contextlib
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from boards import SSHD, gone, make_wheel, needs_sshd
from phones import adb_server, plugged_in

from edgepack.core.errors import EdgepackError
from edgepack.measure.golden import answers_on
from edgepack.measure.machines.boards import check_target, remove_target, set_up_target
from edgepack.measure.machines.machine import ABILITIES, Facts, Pushed
from edgepack.measure.machines.targets import Target, find_targets, known_addresses, transport, transport_names
from edgepack.measure.measurement import Effort
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.compare import compare
from edgepack.pipeline.measure import measure_pack
from edgepack.report.write import html, markdown

SHORT = Effort(name="quick", sessions=1, runs=3, seconds=0.0, loads=1, force=True)
THIS_PYTHON = {"qemu": "qemu://Haswell"}  # of the emulated CPUs, one that needs no system of its own
LOAD = {"kind": "load", "cold": False, "threads": 1, "length": 16}
JOBS = {  # a job for each ability that has one, and what its result holds
    "quiet": ({"kind": "quiet", "seconds": 0.1}, "contention"),
    "storage": ({"kind": "storage"}, "read_ms"),
    "texts": ({"kind": "texts", "threads": 1}, "texts"),
    "ops": ({"kind": "ops", "threads": 1, "length": 16, "runs": 2}, "ops"),
}
SLOW = {"browser", "qemu"}
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in transport_names()]


@contextlib.contextmanager
def target_of(name: str, place: Path):
    """A target of this kind on a real machine; skipped with the reason where this machine has none."""
    if name == "ssh":
        if SSHD is None:
            pytest.skip("no sshd: apt-get install openssh-server")
        from boards import running

        with running(place) as board:
            yield _named(board, "pi", place)
            assert gone(board)
    elif name == "adb":
        pytest.importorskip("adbutils", reason="no adbutils: pip install 'edgepack[adb]'")
        with adb_server(place / "home") as adb, plugged_in(adb, place / "a") as phone:
            yield _named(phone, "phone", place)
            assert gone(phone)
    else:
        target = Target(name=name, address=THIS_PYTHON.get(name, transport(Target(name=name, address=name)).EXAMPLE))
        try:
            transport(target).check(target)
        except EdgepackError as error:
            pytest.skip(f"{error.problem}: {error.fix}")
        yield target


def _named(board, name: str, place: Path) -> Target:
    file = place / "targets.toml"
    file.write_text(board.table(name, python=sys.executable))
    return find_targets([name], file)[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_transport_keeps_what_a_machine_promises(name, pack_folder, tmp_path):
    manifest = read_manifest(pack_folder)
    with target_of(name, tmp_path) as target, transport(target).opened(target) as machine:
        assert machine.place and machine.can <= set(ABILITIES)
        facts = machine.facts()
        assert isinstance(facts, Facts) and {"arch", "cpu", "cores", "os", "emulated_by"} <= set(facts.machine)
        assert machine.emulated_by() == facts.machine["emulated_by"] and ("instructions" in machine.can) == bool(machine.emulated_by())
        pushed = machine.push(pack_folder, manifest)
        assert pushed is None or isinstance(pushed, Pushed)
        assert bool(pushed and pushed.mb > 0) == ("copies" in machine.can)
        gap = answers_on(machine, pack_folder, manifest)  # as the pack's device computes, whose sums do not saturate
        assert math.isfinite(gap) and gap <= manifest.golden_tolerance
        assert (gap == 0) or "computes" in machine.can
        _check_times(machine, pack_folder, manifest.plan.runtime)
        for ability, (job, part) in JOBS.items():
            if ability in machine.can:
                assert machine.run_job(pack_folder, manifest.plan.runtime, job)[part]
        if "instructions" in machine.can:
            ((count,),) = machine.count(pack_folder, manifest.plan.runtime, (16,), 1)
            assert count > 10_000


def _check_times(machine, pack, runtime) -> None:
    """A machine that cannot time says null, or refuses with a way out; it never says 0."""
    if "times" in machine.can:
        assert machine.run_job(pack, runtime, LOAD)["session_ms"] > 0
        return
    with contextlib.suppress(EdgepackError):
        assert machine.run_job(pack, runtime, LOAD)["session_ms"] is None
    with pytest.raises(EdgepackError) as refused:
        machine.run_job(pack, runtime, {"kind": "latency", "length": 16, "threads": 1, "runs": 1, "seconds": 0})
    assert refused.value.fix


@pytest.mark.parametrize("name", transport_names())
def test_a_transport_says_what_an_address_of_its_kind_is_and_refuses_another(name):
    module = transport(Target(name=name, address=name))
    assert module.EXAMPLE.partition("://")[0] == name and module.EXAMPLE in known_addresses()
    wrong = Target(name="wrong", address=f"{name}://-o no=address")
    with pytest.raises(EdgepackError) as error:
        module.check(wrong)
    assert wrong.address in error.value.problem and error.value.fix


def test_a_report_of_the_null_machine_says_that_nothing_was_measured(pack_folder, tmp_path):
    report = measure_pack(pack_folder, out=tmp_path / "report", effort=SHORT, on=find_targets(["null://"]))
    (row,) = report.targets
    assert row.origin == "null" and row.emulated == row.where == "null machine: nothing was measured"
    assert row.median_ms is row.load_ms is row.ram_mb is None and row.golden_difference == 0 and report.measurements is None
    for text in (markdown(report), html(report)):
        assert "null machine: nothing was measured" in text
    check = check_target(find_targets(["null://"])[0], pack_folder)
    assert check.can_run and any("computes nothing" in finding.found for finding in check.findings)


def test_packs_are_not_compared_where_nothing_can_be_timed(pack_folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(pack_folder, other)
    with pytest.raises(EdgepackError, match="null:// cannot do this, .*times and memory"):
        compare([pack_folder, other], effort=SHORT, on=find_targets(["null://"]))


@needs_sshd
@pytest.mark.slow
def test_setup_check_measure_and_remove_leave_nothing_in_a_home_folder(board, pack_folder, tmp_path):
    """Not even what a runtime keeps of its own, such as onnxruntime's telemetry database."""
    home, scratch, bare, wheels = (tmp_path / name for name in ("home", "scratch", "bare", "wheels"))
    for folder in (home, scratch, wheels):
        folder.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    for name in ("onnxruntime", "numpy", "tokenizers"):
        make_wheel(name, wheels)
    python = tmp_path / "python"
    program = f'export HOME="{home}" TMPDIR="{scratch}"; unset ORT_DISABLE_TELEMETRY XDG_CACHE_HOME; exec "{bare}/bin/python" "$@"'
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(0o755)
    file = tmp_path / "targets.toml"
    file.write_text(board.table("pi", python=str(python), folder=".edgepack"))
    (target,) = find_targets(["pi"], file)
    assert set_up_target(target, pack_folder, wheels).done
    assert check_target(target, pack_folder).can_run
    measure_pack(pack_folder, out=tmp_path / "report", effort=SHORT, on=[target])
    assert [path.name for path in home.iterdir()] == [".edgepack"], "all that is kept stands in the one folder that remove removes"
    assert remove_target(target).removed
    assert not list(home.rglob("*")) and not list(scratch.rglob("*"))


def test_nothing_but_the_table_of_transports_looks_at_the_kind_of_an_address():
    """What depends on a transport stands in its file; others ask a machine what it can."""
    root = Path(__file__).parents[2] / "edgepack"
    for path in root.rglob("*.py"):
        text = path.read_text()
        assert "target.scheme" not in text or path.name == "targets.py", path
        assert not any(f"isinstance({name}" in text for name in ("machine", "on,")), path
