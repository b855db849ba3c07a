"""What a machine cannot tell is unknown in every record and sentence, and never 0."""

import json
from types import SimpleNamespace

import pytest

from edgepack.cli.machine_views import _machine_lines
from edgepack.core.errors import EdgepackError
from edgepack.measure import doubts
from edgepack.measure.comparing import _doubts
from edgepack.measure.machines.boards import _folder
from edgepack.measure.machines.machine import Facts
from edgepack.measure.measuring import _environment
from edgepack.measure.ops import profile_ops
from edgepack.measure.statistics import summarize
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline import doctor
from edgepack.report.judge import _what_a_grid_takes
from edgepack.report.next_step import next_step


def load_averages(*known):
    machine = {"machine": {}, "runtime": {}}
    return [machine | {"machine_before": {"load_average": load}} for load in known]


@pytest.mark.parametrize(("known", "highest"), [((None, None), None), ((None, 0.5), 0.5), ((0.0,), 0.0)])
def test_the_highest_load_is_of_those_that_are_known(known, highest):
    runs = load_averages(*known)
    assert _environment(runs[0], runs, None)["load_average_highest"] == highest


@pytest.mark.parametrize(
    ("crowd", "says"),
    [
        ([(None, None)], None),
        ([], None),
        ([(0.05, 0.0), (None, None)], None),
        ([(0.5, None)], "at most 50% of the cores in one session, and an unknown share went to other guests"),
        ([(0.5, 0.01), (None, 0.0)], "at most 50% of the cores in one session, and 1% went to other guests"),
    ],
)
def test_a_comparison_doubts_what_is_known(crowd, says):
    assert [says is not None and says in doubt for doubt in _doubts([], crowd)] == ([True] if says else [])


def test_a_busy_machine_that_does_not_know_of_other_guests_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(doubts, "_PAUSE_S", 0.0)
    with pytest.raises(EdgepackError, match="other programs take 40% of its cores, and an unknown share go to other guests"):
        doubts.wait_for_quiet(lambda job: {"contention": {"others": 0.4, "stolen": None}}, "browser", looks=1)
    doubts.wait_for_quiet(lambda job: {"contention": {"others": None, "stolen": None}}, "browser", looks=1)


@pytest.mark.parametrize(
    ("others", "stolen", "is_quiet", "says"),
    [
        (0.4, None, False, "busy: other processes take 40% of the cores, other guests an unknown share"),
        (0.01, None, None, "does not say whether"),
        (0.01, 0.0, True, "quiet: other processes take 1% of the cores, other guests 0%"),
    ],
)
def test_the_doctor_calls_a_machine_busy_where_a_measurement_would_wait(others, stolen, is_quiet, says, monkeypatch):
    facts = {"cpu": None, "arch": "a", "cores": 1, "isa": [], "memory_mb": None, "emulated_by": None, "others": others, "stolen": stolen}
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout=json.dumps(facts)))
    state = doctor._machine()
    assert state.is_quiet is is_quiet and says in "".join(map(str, _machine_lines(state)))


def test_the_spread_of_a_single_sample_is_unknown():
    assert summarize([[2.0]]).sd is None and summarize([[2.0, 2.0]]).sd == 0


def test_room_that_a_board_does_not_tell_is_unknown():
    facts = Facts(
        machine={}, python="3.11.2", implementation="CPython", libc=("glibc", "2.36"), pointer_bits=64, folder="/home/pi/.edgepack",
        is_set_up=False, exists=False, folder_mb=None, free_mb=None, is_writable=True, packages={},
    )  # fmt: skip
    board = SimpleNamespace(can={"copies"})
    assert _folder(board, facts, 15.0).found.endswith("; unknown how much is free")
    assert _folder(board, facts.model_copy(update={"free_mb": 0.0}), 0.0).found.endswith("; 0 MB free")


def test_ops_that_take_no_time_have_no_shares(pack_folder):
    op = {"op": "MatMul", "ms": 0.0, "integers": True, "inside": True}
    result = {"ops": [op], "threads": 1, "machine": {"arch": "a", "cpu": "b"}, "runtime": {"name": "r", "version": "1"}}
    coarse = SimpleNamespace(run_job=lambda *_: result, place="there")
    with pytest.raises(EdgepackError, match="take no time: the clock of the target is too coarse"):
        profile_ops(pack_folder, read_manifest(pack_folder), coarse)


def test_the_last_stage_is_blamed_only_where_it_is_known_what_was_lost_before(pack_folder):
    manifest = read_manifest(pack_folder)
    drops = {"teacher": 0.0, "export": 1.0, "quantize": 9.0}
    first = manifest.ladder[0]
    rows = tuple(first.model_copy(update={"stage": stage, "score_drop": drop}) for stage, drop in drops.items())
    blamed = next_step(manifest.model_copy(update={"ladder": rows}), "score_drop", 9.0, 2.0)
    unknown = (rows[0], rows[1].model_copy(update={"score_drop": None}), rows[2])
    silent = next_step(manifest.model_copy(update={"ladder": unknown}), "score_drop", 9.0, 2.0)
    assert "the last stage lost most of the points" in blamed.sentence and "lost most" not in silent.sentence


def test_an_error_that_nobody_measured_proves_nothing_about_zeros(pack_folder):
    manifest = read_manifest(pack_folder)
    details = {"half_zero_bits": 3.1, "half_zero_signal_db": 12.0}
    for known, sentences in (({}, 0), ({"signal_db": 14.0}, 1)):
        row = manifest.ladder[-1].model_copy(update={"details": details | known})
        assert len([*_what_a_grid_takes(manifest.model_copy(update={"ladder": (row,)}))]) == sentences
