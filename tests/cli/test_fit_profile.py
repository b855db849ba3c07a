"""`edgepack profiles --fit`: a profile of this machine that every other command takes, and what it refuses."""

import json
import tomllib

import pytest
from command_line import edgepack_warm

from edgepack.plan.profile import load_profile

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
