"""The sha256 of the wheels that a module's requirements mean, so that pip installs those files and no others.

wheels.json holds them for the versions that edgepack is tested with; `python -m edgepack.ship.wheel_hashes NAME==VERSION ...` writes it
anew. Of other versions pip asks its index, where there is one. For which systems they are whole, the names of the wheels say.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from edgepack.core.escape import Verbatim, visible
from edgepack.core.reading import read_json_object
from edgepack.core.records import Frozen

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_KNOWN = Path(__file__).with_name("wheels.json")
_GLIBC_MINORS = range(34, 16, -1)  # the tags that pip tries there, the newest first; Debian 12 has 2.36
_LONGEST_S = 60


class System(NamedTuple):
    """A kind of machine that a module is installed on. platforms: pip's names of it, the newest first."""

    name: str
    platforms: tuple[str, ...]


def _linux(architecture: str) -> System:
    tags = (*(f"manylinux_2_{minor}_{architecture}" for minor in _GLIBC_MINORS), f"manylinux2014_{architecture}")
    return System(f"Linux {architecture} (glibc 2.34 or newer)", tags)


LINUX = (_linux("x86_64"), _linux("aarch64"))
EVERYWHERE = (
    *LINUX,
    System("macOS arm64 (14 or newer)", tuple(mac_platforms((14, 0), "arm64"))),
    System("Windows x86_64", ("win_amd64",)),
)


class Pinned(Frozen):
    """The text of requirements.txt, for which Pythons and systems its hashes are, and why it has none where it has none."""

    text: str
    covers: str
    problem: str | None

    @property
    def warnings(self) -> tuple[str, ...]:
        return () if self.problem is None else (f"requirements.txt pins versions without hashes: {self.problem}",)


def pinned(requirements: Sequence[Verbatim], systems: Sequence[System] = LINUX) -> Pinned:
    """requirements: lines for pip. All of them get hashes, or none: pip would refuse a file that has hashes for some."""
    ranges = [line for line in requirements if "==" not in line or "," in line]
    if ranges:
        return _without(requirements, f"{ranges[0]} names no single version")
    known: dict[str, Mapping[str, str]] = dict(read_json_object(_KNOWN))
    absent = [line for line in requirements if line not in known]
    problem = ""
    if absent:
        asked, problem = _asked(absent, systems)
        known |= asked
    usable = {line: {name: known[line][name] for name in known[line] if _fits_any(name, systems)} for line in requirements}
    missing = next((line for line in requirements if not usable[line]), None)
    if missing:
        return _without(requirements, f"pip's index gave no hash of {missing}" + (f" ({problem})" if problem else ""))
    covers = _covered(list(usable.values()), systems)
    if not covers:
        return _without(requirements, "there is no Python and no system that has a wheel of every library")
    head = f"# Exact versions, with the sha256 of each wheel for {covers}.\n# pip installs nothing else: {ELSEWHERE}.\n"
    return Pinned(text=head + "".join(f"{line}{_hashes(usable[line].values())}\n" for line in requirements), covers=covers, problem=None)


ELSEWHERE = (
    "on another Python, system or CPU it says that hashes do not match. Add the hash of the wheel that you checked "
    "(pip download, pip hash), or take the --hash lines out and trust your index"
)


def _without(requirements: Sequence[str], problem: str) -> Pinned:
    text = f"# Without hashes: {visible(problem)}.\n" + "".join(f"{line}\n" for line in requirements)
    return Pinned(text=text, covers="", problem=problem)


def _hashes(known: Collection[str]) -> str:
    return "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(set(known)))


def _covered(files: Sequence[Mapping[str, str]], systems: Sequence[System]) -> str:
    """For which Pythons on which systems each of the libraries has a wheel: `CPython 3.11 and 3.12 on Linux x86_64`."""
    by_pythons: dict[tuple[str, ...], list[str]] = {}
    for system in systems:
        whole = tuple(python for python in PYTHONS if all(any(_fits(name, python, system) for name in names) for names in files))
        by_pythons.setdefault(whole, []).append(system.name)
    return "; ".join(f"CPython {_listed(pythons)} on {_listed(names)}" for pythons, names in by_pythons.items() if pythons)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _fits_any(file: str, systems: Sequence[System]) -> bool:
    return any(_fits(file, python, system) for python in PYTHONS for system in systems)


def _fits(file: str, python: str, system: System) -> bool:
    """Whether pip takes a wheel of this name there."""
    try:
        tags = parse_wheel_filename(file)[3]
    except InvalidWheelFilename:
        return False
    return not tags.isdisjoint(_tags(python, system))


@cache
def _tags(python: str, system: System) -> frozenset[Tag]:
    major, minor = map(int, python.split("."))
    interpreter = f"cp{major}{minor}"
    direct = cpython_tags((major, minor), platforms=system.platforms)
    return frozenset({*direct, *compatible_tags((major, minor), interpreter, system.platforms)})


def _asked(requirements: Sequence[str], systems: Sequence[System]) -> tuple[dict[str, dict[str, str]], str]:
    """Hash by file name of each requirement's wheels, as pip's index states them; and what pip said where it failed."""
    hashes: dict[str, dict[str, str]] = {line: {} for line in requirements}
    machines = [(python, system) for python in PYTHONS for system in systems]
    problem = ""
    with ThreadPoolExecutor(4) as pool:
        for report, failure in pool.map(lambda machine: _report(requirements, *machine), machines):
            problem = problem or failure
            for line, file, sha256 in _wheels(report, requirements):
                hashes[line][file] = sha256
    return hashes, problem


def _report(requirements: Sequence[str], python: str, system: System) -> tuple[list[dict], str]:
    """What pip would install there. One requirement at a time where it cannot have all: each may have wheels of its own kinds."""
    platforms = [part for tag in system.platforms for part in ("--platform", tag)]
    with tempfile.TemporaryDirectory() as place:
        command = [
            sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check", "--ignore-installed",
            "--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms, "--target", place,
            "--timeout", "10", "--retries", "0", "--report", f"{place}/report.json", *requirements,
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
        except subprocess.TimeoutExpired:
            return [], f"pip did not answer within {_LONGEST_S} s"
        if done.returncode == 0:
            return list(read_json_object(Path(place) / "report.json")["install"]), ""
    if len(requirements) == 1:
        return [], (done.stderr.strip().splitlines() or ["pip said nothing"])[-1][:200]
    parts = [_report([line], python, system) for line in requirements]
    return [entry for report, _ in parts for entry in report], next((failure for _, failure in parts if failure), "")


def _wheels(report: Sequence[Mapping], requirements: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """The requirement, the file and its sha256; nothing where the index states none, as for a folder of wheels."""
    asked = {_plain(line.partition("==")[0]): line for line in requirements}
    for entry in report:
        line = asked.get(_plain(entry["metadata"]["name"]))
        sha256 = entry["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if line and sha256:
            yield line, entry["download_info"]["url"].partition("#")[0].rpartition("/")[2], sha256


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    hashes = _asked(sys.argv[1:], EVERYWHERE)[0]
    _KNOWN.write_text(json.dumps({line: dict(sorted(files.items())) for line, files in hashes.items()}, indent=1) + "\n")
