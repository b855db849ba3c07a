"""The sha256 of the wheels that a module's requirements mean, so that pip installs those files and no others.

wheels.json holds them for the versions that edgepack is tested with; `python -m edgepack.ship.wheel_hashes NAME==VERSION ...` writes it
anew. Of other versions pip asks its index, where there is one.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgepack.core.escape import Verbatim, visible
from edgepack.core.reading import read_json_object
from edgepack.core.records import Frozen

PYTHONS, ARCHITECTURES = ("3.11", "3.12", "3.13"), ("x86_64", "aarch64")
FOR = f"CPython {PYTHONS[0]} to {PYTHONS[-1]} on Linux with glibc 2.34 or newer ({' and '.join(ARCHITECTURES)})"
_KNOWN = Path(__file__).with_name("wheels.json")
_GLIBC_MINORS = range(34, 16, -1)  # the tags that pip tries there, the newest first; Debian 12 has 2.36
_LONGEST_S = 60


class Pinned(Frozen):
    """The text of requirements.txt, and why it has no hashes where it has none."""

    text: str
    problem: str | None

    @property
    def warnings(self) -> tuple[str, ...]:
        return () if self.problem is None else (f"requirements.txt pins versions without hashes: {self.problem}",)


def pinned(requirements: Sequence[Verbatim]) -> Pinned:
    """requirements: lines for pip. All of them get hashes, or none: pip would refuse a file that has hashes for some."""
    ranges = [line for line in requirements if "==" not in line or "," in line]
    if ranges:
        return _without(requirements, f"{ranges[0]} names no single version")
    known = {name: tuple(files.values()) for name, files in read_json_object(_KNOWN).items()}
    absent = [line for line in requirements if line not in known]
    if absent:
        asked, problem = _asked(absent)
        known |= {name: tuple(files.values()) for name, files in asked.items()}
    absent = [line for line in requirements if not known.get(line)]
    if absent:
        return _without(requirements, f"pip's index gave no hash of {absent[0]}" + (f" ({problem})" if problem else ""))
    head = f"# Exact versions, with the sha256 of each wheel for {FOR}: pip installs nothing else.\n"
    return Pinned(text=head + "".join(f"{line}{_hashes(known[line])}\n" for line in requirements), problem=None)


def _without(requirements: Sequence[str], problem: str) -> Pinned:
    return Pinned(text=f"# Without hashes: {visible(problem)}.\n" + "".join(f"{line}\n" for line in requirements), problem=problem)


def _hashes(known: Iterable[str]) -> str:
    return "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(set(known)))


def _asked(requirements: Sequence[str]) -> tuple[dict[str, dict[str, str]], str]:
    """Hash by file name of each requirement's wheels, as pip's index states them; and what pip said where it failed."""
    hashes: dict[str, dict[str, str]] = {line: {} for line in requirements}
    machines = [(python, architecture) for python in PYTHONS for architecture in ARCHITECTURES]
    problem = ""
    with ThreadPoolExecutor(4) as pool:
        for report, failure in pool.map(lambda machine: _report(requirements, *machine), machines):
            problem = problem or failure
            for line, file, sha256 in _wheels(report, requirements):
                hashes[line][file] = sha256
    return hashes, problem


def _report(requirements: Sequence[str], python: str, architecture: str) -> tuple[list[dict], str]:
    """What pip would install there. One requirement at a time where it cannot have all: each may have wheels of its own kinds."""
    tags = [f"manylinux_2_{minor}_{architecture}" for minor in _GLIBC_MINORS] + [f"manylinux2014_{architecture}"]
    platforms = [part for tag in tags for part in ("--platform", tag)]
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
    parts = [_report([line], python, architecture) for line in requirements]
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
    _KNOWN.write_text(json.dumps({line: dict(sorted(files.items())) for line, files in _asked(sys.argv[1:])[0].items()}, indent=1) + "\n")
