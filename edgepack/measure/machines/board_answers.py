"""Checks what a board says of itself, of its packages and files, and of how a job ended: it may be a stranger's."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown
from edgepack.measure.machines.job_answers import FIX, About, Amount, Answer, Words, check_answer, whole_machine


class AboutBoard(Answer):
    """A machine before anything is run on it: see machine.Facts. What belongs to a Python is null where there is none."""

    machine: About
    python: Annotated[str, Field(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}[\w.+-]{0,40}$")] | None
    implementation: Words | None
    libc: Annotated[list[Words], Field(min_length=2, max_length=2)] | None
    pointer_bits: Literal[32, 64] | None
    folder: Words | None
    is_set_up: bool
    folder_mb: Amount | None
    free_mb: Amount | None
    packages: dict[str, Any]


class Ended(Answer):
    """How a job's process ended: its exit code, or less than 0 for a signal."""

    code: Annotated[int, Field(ge=-1000, le=2**32)]
    out: str
    err: str
    too_long: bool


class _Packages(Answer):
    packages: Annotated[dict[Words, Words | None], Field(max_length=100)]


class Removed(Answer):
    """removed: null where there was nothing."""

    removed: Words | None
    freed_mb: Amount


def checked_board(facts: Any, wanted: Collection[str], has_python: bool, place: str) -> dict[str, Any]:
    """What a board says of itself. wanted: the packages that it was asked about. has_python: it answers by one."""
    check_answer(AboutBoard, facts, f"facts {place}")
    absent = [key for key in ("python", "implementation", "libc", "pointer_bits", "folder") if facts[key] is None] if has_python else []
    if facts["is_set_up"] and facts["folder_mb"] is None:
        absent.append("folder_mb")
    if absent:
        raise EdgepackError(f"the answer to facts {place} is wrong at {absent[0]}: None", FIX)
    checked_packages(facts["packages"], wanted, place)
    return facts | {"machine": whole_machine(facts["machine"])}


def checked_packages(packages: Any, wanted: Collection[str], place: str) -> dict[str, str | None]:
    """Versions of packages on a board. wanted: those that it was asked about; EdgepackError where it tells of another."""
    check_answer(_Packages, {"packages": packages}, f"packages {place}")
    stranger = next((name for name in packages if name not in wanted), None)
    if stranger is not None:
        raise EdgepackError(f"the answer to packages {place} is wrong: nobody asked about {shown(stranger)}", FIX)
    versions: dict[str, str | None] = packages
    return versions


def checked_missing(answer: Any, wanted: Collection[str], place: str) -> list[str]:
    """Hashes of files that a machine lacks, each of them once and one of those that were asked for."""
    if not isinstance(answer, list) or not all(isinstance(digest, str) and digest in wanted for digest in answer):
        raise EdgepackError(f"the answer to which files are missing {place} is wrong: {shown(answer)}", FIX)
    return list(dict.fromkeys(answer))


def checked_ended(answer: Any, kind: str, place: str) -> dict[str, Any]:
    """How a job's process ended, see Ended."""
    check_answer(Ended, answer, f"{kind} {place}")
    return answer


def checked_removed(answer: Any, place: str) -> Removed:
    check_answer(Removed, answer, f"remove {place}")
    return Removed.model_validate(answer)
