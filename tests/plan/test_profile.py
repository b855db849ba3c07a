"""Profiles are read strictly, and every shipped one is whole."""

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.core.resources import shipped
from edgepack.plan.profile import Budget, load_profile, profile_names

NAMED_IN_THE_ISSUE = {
    "raspberry-pi", "raspberry-pi-5", "raspberry-pi-zero-2w", "raspberry-pi-3-32bit", "phone", "phone-entry", "phone-flagship",
    "jetson-orin-nano-cpu", "x86-edge", "x86-edge-atom", "x86-edge-avx2", "x86-server", "browser",
}  # fmt: skip

BOARD = """
summary = "My board"
[cpu]
arch = "aarch64"
part = "cortex-a72"
cores = 4
clock_ghz = 1.8
isa = ["neon"]
[memory]
total_mb = 2048
bandwidth_gb_s = 6.4
[storage]
kind = "eMMC"
read_mb_s = 150
[runtimes.onnxruntime]
version = "1.31"
[runtimes.onnxruntime.precisions]
fp32 = { macs_per_cycle = 4, why = "exact" }
[budget]
file_mb = 10
"""


def write(tmp_path, text):
    path = tmp_path / "board.toml"
    path.write_text(text)
    return str(path)


def test_all_named_devices_are_shipped():
    assert set(profile_names()) >= NAMED_IN_THE_ISSUE


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_is_whole_and_short(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.budget.model_dump(exclude_none=True).keys() == Budget.model_fields.keys()
    assert all(precision.why for runtime in profile.runtimes.values() for precision in runtime.precisions.values())
    assert len((shipped("device_profiles") / f"{name}.toml").read_text().splitlines()) <= 45


@pytest.mark.parametrize("version", ["latest", "1.x", "", "1."])
def test_a_runtimes_version_is_numbers(tmp_path, version):
    with pytest.raises(EdgepackError, match=r"board.toml \[runtimes.onnxruntime\].*version"):
        load_profile(write(tmp_path, BOARD.replace('"1.31"', f'"{version}"')))


def test_a_file_of_the_users_own_works_by_its_path(tmp_path):
    profile = load_profile(write(tmp_path, BOARD))
    assert (profile.name, profile.cpu.part, profile.budget.file_mb, profile.budget.ram_mb) == ("board", "cortex-a72", 10, None)


@pytest.mark.parametrize(
    ("change", "says", "fix"),
    [
        (("total_mb", "totl_mb"), "unknown key in board.toml [memory]: 'totl_mb'", "did you mean 'total_mb'?"),
        (("total_mb = 2048\n", ""), "missing key in board.toml [memory]: 'total_mb'", "add `total_mb = ...`"),
        (("cores = 4", 'cores = "four"'), "wrong value in board.toml [cpu] cores: 'four'", "integer"),
        (("cores = 4", "cores = 0"), "wrong value in board.toml [cpu] cores: 0", "greater than 0"),
        (('arch = "aarch64"', 'arch = "aarch46"'), "unknown value in board.toml [cpu] arch: 'aarch46'", "did you mean 'aarch64'?"),
        (('isa = ["neon"]', 'isa = ["noen"]'), "unknown value in board.toml [cpu] isa: 'noen'", "did you mean 'neon'?"),
        (("fp32 = {", "int8 = {"), "wrong value in board.toml [runtimes]", "fp32"),
        (("[budget]", "[budgets]"), "unknown key in board.toml: 'budgets'", "did you mean 'budget'?"),
        (("file_mb = 10", "file_mb = -1"), "wrong value in board.toml [budget] file_mb: -1", "greater than 0"),
        (("[cpu]", "[cpu"), "board.toml is not valid TOML", "correct the line"),
    ],
)
def test_a_wrong_profile_names_the_value_the_place_and_the_way_out(tmp_path, change, says, fix):
    with pytest.raises(EdgepackError) as error:
        load_profile(write(tmp_path, BOARD.replace(*change)))
    assert says in error.value.problem
    assert fix in error.value.fix


@pytest.mark.parametrize(
    ("name", "says", "fix"),
    [
        ("raspbery-pi", "unknown profile: 'raspbery-pi'", "did you mean 'raspberry-pi'?"),
        ("toaster", "unknown profile: 'toaster'", "choose one of: "),
        ("./nowhere.toml", "profile file not found", "check the path"),
    ],
)
def test_an_unknown_profile_is_answered_with_the_nearest(name, says, fix):
    with pytest.raises(EdgepackError) as error:
        load_profile(name)
    assert says in error.value.problem
    assert fix in error.value.fix


@pytest.mark.parametrize(
    ("name", "saturates"),
    [("x86-edge", False), ("x86-server", False), ("x86-edge-avx2", True), ("x86-edge-atom", False), ("raspberry-pi", False)],
)
def test_only_x86_without_vnni_saturates(name, saturates):
    assert load_profile(name).cpu.saturates_u8s8 is saturates


def test_a_users_budget_overrides_the_profiles():
    assert Budget(file_mb=10, ram_mb=5).overridden_by(Budget(ram_mb=7)) == Budget(file_mb=10, ram_mb=7)
