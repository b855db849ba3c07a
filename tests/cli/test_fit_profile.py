"""`edgepack profiles --fit`: a profile of this machine that every other command takes, and what it refuses."""

import json
import subprocess
import sys
import time
import tomllib

import pytest
from command_line import edgepack_warm

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines.machine import Facts
from edgepack.measure.machines.targets import LOCAL
from edgepack.measure.machines.transports.local import Here
from edgepack.pipeline.fit_profile import _place, _runtimes, fit_profile
from edgepack.plan.profile import load_profile
from edgepack.plan.runtime import python_runtimes

ADDRESSES = {"qemu://cortex-a72": "lacks an ability", "null://": "lacks an ability"}


@pytest.mark.slow
def test_the_profile_of_this_machine_is_fitted_and_can_be_planned_with(tmp_path):
    done = edgepack_warm("profiles", "--fit", "local", "--force", "--like", "raspberry-pi-5", "--cache", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    table = tomllib.loads(done.stdout)
    assert {"onnxruntime", "litert"} == set(table["runtimes"]) and "left out: tflite-runtime: not installed on local" in done.stderr
    assert table["budget"] == load_profile("raspberry-pi-5").budget.model_dump()
    assert "# fitted to latencies measured at local" in done.stdout and "# not measured: scaled as fp32" in done.stdout
    (tmp_path / "mine.toml").write_text(done.stdout)
    checked = edgepack_warm("profiles", "--check", tmp_path / "mine.toml", "--json")
    assert checked.returncode == 0 and json.loads(checked.stdout)["ok"], checked.stdout


def test_of_two_runtimes_for_the_same_files_one_is_timed_and_the_other_is_named():
    machine = {"arch": "x86_64", "isa": [], "cores": 1}
    installed = {runtime.package: runtime.version for runtime in python_runtimes()}
    nothing = {"python": "3.11", "implementation": None, "libc": None, "pointer_bits": 64, "folder": None, "is_set_up": True}
    space = {"exists": True, "folder_mb": None, "free_mb": None, "is_writable": True}
    facts = Facts(machine=machine, packages=installed, **nothing, **space)
    timed, missing = _runtimes(facts, LOCAL, Here())
    assert {runtime.format for runtime in timed} == {"onnx", "tflite"} and len(timed) == 2
    assert missing == ("tflite-runtime: litert opens the same files, and is the one that is timed",)
    with pytest.raises(EdgepackError, match="no runtime is installed for Python on local") as error:
        _runtimes(facts.model_copy(update={"packages": {}}), LOCAL, Here())
    assert "pip install onnxruntime==" in error.value.fix


def begun(cache):
    """A fitting in a process of its own, which builds its first model."""
    command = [sys.executable, "-m", "edgepack", "profiles", "--fit", "local", "--force", "--like", "raspberry-pi", "--cache", str(cache)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 300
    while not list((cache / "fits").glob("local/model*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.slow
def test_a_second_fitting_of_a_machine_is_told_and_a_killed_one_leaves_nothing_to_the_next(tmp_path):
    """Two that time one machine at once would both be wrong."""
    process = begun(tmp_path / "cache")
    try:
        with pytest.raises(EdgepackError, match=rf"the profile of local .* is in use by another edgepack \(process {process.pid}\)"):
            fit_profile(LOCAL, load_profile("raspberry-pi"), tmp_path / "cache", force=True)
        assert process.poll() is None
    finally:
        process.kill()
    assert process.communicate()[0] == "", "a profile is printed whole or not at all"
    with _place(tmp_path / "cache", LOCAL) as place:
        assert list(place.iterdir()) == []
    assert not (tmp_path / "cache" / "fits" / "local").exists()


@pytest.mark.parametrize(("address", "problem"), ADDRESSES.items())
def test_an_emulated_machine_is_not_fitted(address, problem, tmp_path):
    done = edgepack_warm("profiles", "--fit", address, "--cache", tmp_path)
    assert done.returncode == 1 and problem in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--like", "raspberry-pi"), "--like belongs to --fit"),
        (("--force",), "--force belongs to --fit"),
        (("--targets", "targets.toml"), "--targets belongs to --fit"),
        (("--check", "a.toml", "--cache", "cache"), "--cache belongs to --fit"),
        (("--check", "a.toml", "--fit", "local"), "--check and --fit cannot be used together"),
        (("--fit", "local", "--like", "raspbery-pi"), "unknown profile: 'raspbery-pi'"),
        (("--fit", "loca"), "loca"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, problem):
    done = edgepack_warm("profiles", *flags)
    assert done.returncode == 1 and problem in done.stderr and "Traceback" not in done.stderr
