"""What a stranger's board may answer in place of what it was asked: each is refused with a message, none ends in a traceback."""

import ast
import contextlib
import json
import zipfile
from pathlib import Path

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.measure.machines import board_setup, job_answers
from edgepack.measure.machines.java_board import JavaBoard, parts_of
from edgepack.measure.machines.machine import Facts
from edgepack.measure.machines.remote import Remote
from edgepack.measure.machines.session import Session
from edgepack.measure.machines.targets import Target
from edgepack.measure.machines.wheels import fetch_wheels
from edgepack.pack.manifest import packed
from edgepack.plan.fitting import described, nearest_profile
from edgepack.ship.jvm import runner

TARGET = Target(name="phone", address="adb://serial", folder="/data/local/tmp/edgepack")
ENDED = {"code": 0, "out": "{}", "err": "", "too_long": False}


class Stranger:
    """A pipe to a board that greets, and then says `answer` whatever it is asked."""

    def __init__(self, answer: object) -> None:
        content = json.dumps(answer).encode()
        self._left = b"edgepack is here\n%d\n%b" % (len(content), content)

    def write(self, data: bytes) -> None:
        pass

    def read_line(self, time_out_s: float) -> bytes:
        line, _, self._left = self._left.partition(b"\n")
        return line + b"\n"

    def read(self, count: int, time_out_s: float) -> bytes:
        content, self._left = self._left[:count], self._left[count:]
        return content

    def complaint(self) -> str:
        return ""


@pytest.mark.parametrize("answer", [["x"], 5, None, [[1]], {"a": 1}, "x", [None]], ids=str)
def test_files_that_nobody_asked_for_are_not_missing(answer, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    session = Session(TARGET, Stranger(answer), lambda: None)
    session.greet([])
    with pytest.raises(EdgepackError, match="the answer to which files are missing of phone is wrong"):
        session.send([(path, packed(path))])


@pytest.mark.parametrize(
    "answer",
    [
        5,
        None,
        {},
        *(ENDED | wrong for wrong in ({"code": "x"}, {"code": -9e99}, {"code": None}, {"out": 1}, {"err": None}, {"too_long": 5})),
    ],
    ids=str,
)
@pytest.mark.parametrize("board", [JavaBoard, Remote])
def test_a_process_whose_end_is_not_told_is_refused(board, answer):
    with pytest.raises(EdgepackError, match="the answer to latency of phone is wrong at"):
        board(TARGET, Stranger(answer)).run_job(Path("pack"), "onnxruntime", {"kind": "latency"})


@pytest.mark.parametrize("answer", [5, None, {}, {"removed": 1, "freed_mb": 1.0}, {"removed": None, "freed_mb": "x"}], ids=str)
def test_a_removal_that_is_not_told_is_refused(answer):
    with pytest.raises(EdgepackError, match="the answer to remove of phone is wrong at"):
        Remote(TARGET, Stranger(answer)).remove()


def _is_right(key: str, value: object) -> bool:
    """Whether a board may say so."""
    texts = {"implementation", "folder"}
    return (
        (value is None and key in {"folder_mb", "free_mb"})
        or (value == 5 and key in {"folder_mb", "free_mb"})
        or (value == "x" and key in texts)
    )


ABOUT = {"arch": "aarch64", "cores": 4}
FACTS = {
    "machine": ABOUT, "python": "3.11.2", "implementation": "CPython", "libc": ["glibc", "2.36"], "pointer_bits": 64,
    "folder": "/home/pi/.edgepack", "is_set_up": False, "exists": False, "folder_mb": None, "free_mb": 1.0,
    "is_writable": True, "packages": {"numpy": "2.0"},
}  # fmt: skip
WRONG_FACTS = [
    5,
    None,
    [],
    {},
    *(FACTS | {key: wrong} for key in FACTS for wrong in (None, 5, "x", [1], {"a": {}}, 10**400, "x" * 2000) if not _is_right(key, wrong)),
    *(
        FACTS | {"machine": ABOUT | wrong}
        for wrong in ({"arch": "a b"}, {"arch": "--platform"}, {"cores": 0}, {"isa": "x"}, {"memory_mb": "x"})
    ),
    *(FACTS | {"machine": ABOUT | wrong} for wrong in ({"memory_free_mb": "1"}, {"clock_mhz": -1}, {"cpu": 5}, {"os": []}, {"cores": 4.5})),
    FACTS | {"python": "3"},
    FACTS | {"python": "--index-url=x"},
    FACTS | {"packages": {"a stranger's": "1"}},
    FACTS | {"is_set_up": True},
    FACTS | {"more": 1},
]


@pytest.mark.parametrize("facts", WRONG_FACTS, ids=lambda facts: str(facts)[:60])
def test_a_board_that_says_wrong_things_of_itself_is_refused(facts):
    with pytest.raises(EdgepackError, match="phone"):
        Remote(TARGET, Stranger(facts)).facts()


def test_what_a_board_leaves_out_of_itself_is_null():
    facts = Remote(TARGET, Stranger(FACTS)).facts()
    assert facts.machine["arch"] == "aarch64" and facts.machine["cpu"] is facts.machine["isa"] is facts.machine["memory_free_mb"] is None
    assert nearest_profile(facts.machine).cpu.arch == "aarch64"
    assert described(nearest_profile(facts.machine), facts.machine).cpu.cores == 4


def test_a_phone_has_no_python_and_a_board_has():
    without = FACTS | dict.fromkeys(("python", "implementation", "libc", "pointer_bits"))
    assert JavaBoard(TARGET, Stranger(without)).facts().python is None
    with pytest.raises(EdgepackError, match="the answer to facts of phone is wrong at python: None"):
        Remote(TARGET, Stranger(without)).facts()


@pytest.mark.parametrize("version", ["2", "2.x", "2.99999999", "2.-5", "3.1", ""])
def test_a_c_library_of_no_version_is_refused(version, tmp_path):
    facts = Remote(TARGET, Stranger(FACTS | {"libc": ["glibc", version]})).facts()
    with pytest.raises(EdgepackError, match="no wheels for CPython with glibc"):
        fetch_wheels(facts, ["numpy"], tmp_path, None)


@pytest.mark.parametrize(
    "answer", [5, None, [], "x", {"numpy": 5}, {"numpy": ["2"]}, {"a stranger's": "1"}, {"numpy": "1" * 2000}], ids=lambda a: str(a)[:30]
)
def test_a_set_up_whose_packages_are_not_told_is_refused(answer, tmp_path):
    """The board's other answers are right, but for the last."""
    (tmp_path / "numpy-2.0-py3-none-any.whl").write_bytes(b"x")

    class Board:
        target = TARGET

        def facts(self) -> Facts:
            return Facts.read(FACTS, "phone")

        def send(self, files: list) -> None:
            pass

        def ask(self, do: str, wait_s: float = 0.0, **more: object) -> object:
            return answer if do == "unpack" else True

    with pytest.raises(EdgepackError, match="the answer to packages of phone is wrong"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(board_setup, "fetch_wheels", lambda *_: list(tmp_path.glob("*.whl")))
        board_setup.set_up_board(Board(), "onnxruntime", None, None, False)


def test_a_damaged_runner_is_refused_or_read_whole_whichever_bit_flips(tmp_path):
    path = tmp_path / "runner.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("classes.dex", bytes(range(100)) + b"a" * 500)
        archive.writestr("lib/arm64-v8a/x.so", "y")
    whole = path.read_bytes()
    for at, mask in ((at, mask) for at in range(len(whole)) for mask in (1, 0x20, 0x80)):
        damaged = bytearray(whole)
        damaged[at] ^= mask
        path.write_bytes(damaged)
        with contextlib.suppress(EdgepackError):
            parts_of(path, "arm64-v8a", tmp_path)


@pytest.mark.parametrize("content", [b"PK cut", b""])
def test_a_damaged_package_of_a_runtime_leaves_the_way_of_gradle_open(content, tmp_path, capsys):
    package, goal = tmp_path / "runtime.aar", tmp_path / "runner.zip"
    package.write_bytes(content)
    if not content:
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("no classes", "")
    runner._dex([], package, tmp_path / "d8", goal)
    assert not goal.exists() and f"the runtime's package {package} is damaged" in capsys.readouterr().err


def test_the_newest_system_library_is_the_one_of_the_highest_number(tmp_path, monkeypatch):
    for name in ("android-9", "android-34"):
        (tmp_path / "platforms" / name).mkdir(parents=True)
        (tmp_path / "platforms" / name / "android.jar").touch()
    monkeypatch.setattr(runner, "_sdks", lambda: [tmp_path])
    assert runner._system_library() == ["--lib", str(tmp_path / "platforms" / "android-34" / "android.jar")]


def test_each_kind_of_job_that_a_target_can_do_has_an_answer_that_is_checked():
    """`generate` streams, and its lines are checked as they come."""
    kinds = set()
    for path in (Path(__file__).parents[2] / "targets").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and getattr(node.targets[0], "id", "") == "JOBS":
                kinds |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    assert "count" in kinds and kinds - {"generate"} == set(job_answers._KINDS) - {"ops"}, "ops stands in the runtimes' own scripts"
