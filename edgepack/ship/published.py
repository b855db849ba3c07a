"""Which release of a runtime a module's build asks for: one that was seen published (published.toml), and that opens the pack."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from packaging.version import Version
from pydantic import Field

from edgepack.core.errors import EdgepackError
from edgepack.core.escape import visible
from edgepack.core.records import Frozen

_VERSION = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


class PublishedRelease(Frozen):
    """A release and where it was seen. date: null where the source gave none."""

    version: str
    source: str
    date: str | None = None


class Artefact(Frozen):
    """What a build file asks for by its Maven coordinate.

    oldest: the first release that has every class that the module's code calls. proven: the newest of which that is known; null: all.
    """

    coordinate: str  # Maven's group and name
    releases: tuple[PublishedRelease, ...] = Field(min_length=1)
    oldest: str | None = None
    proven: str | None = None

    @property
    def newest(self) -> str:
        return self.releases[-1].version


class ChosenRelease(Frozen):
    """note: one or two sentences for the README. warning: null where nobody need do anything."""

    coordinate: str
    version: str
    note: str
    warning: str | None


class Tool(Frozen):
    """What builds a module. minimum: the oldest that does; gradle: the oldest Gradle that it runs in; sha256: of its archive."""

    version: str
    source: str
    minimum: str | None = None
    gradle: str | None = None
    sha256: str | None = None


@cache
def tools() -> dict[str, Tool]:
    """Of published.toml, by name."""
    content = _content()
    return {
        name: Tool.read(row | {"source": content["sources"][row["source"]]}, f"published.toml [tools] {name}")
        for name, row in content["tools"].items()
    }


@cache
def artefacts() -> dict[str, Artefact]:
    """All of published.toml, by name."""
    content = _content()
    known = {}
    for name, fields in content["artefacts"].items():
        rows = [row | {"source": content["sources"][row["source"]]} for row in fields["releases"]]
        known[name] = Artefact.read(fields | {"releases": rows}, f"published.toml [{name}]")
    return known


def _content() -> dict[str, Any]:
    return tomllib.loads(files("edgepack.ship").joinpath("published.toml").read_text(encoding="utf-8"))


def artefact(coordinate: str) -> Artefact:
    """The record of a Maven coordinate."""
    return next(each for each in artefacts().values() if each.coordinate == coordinate)


def chosen_release(published: Artefact, measured: str, oldest: str | None, wished: str | None) -> ChosenRelease:
    """wished: as the user asks; else the newest that is not newer than the one that the pack was measured with.

    oldest: the first that opens the pack's file, where that is known. EdgepackError: a wish that is not a version, that nobody has seen
    published, or that does not open the pack.
    """
    needed = max(filter(None, (oldest, published.oldest)), key=Version, default=None)
    if wished is not None:
        _check_wish(published, needed, wished)
        return _with_note(published, wished, measured, needed)
    able = [release.version for release in published.releases if needed is None or Version(release.version) >= Version(needed)]
    if not able:
        return _with_note(published, published.newest, measured, needed)
    proven = [version for version in able if published.proven is None or Version(version) <= Version(published.proven)] or able
    not_newer = [version for version in proven if Version(version) <= Version(measured)]
    return _with_note(published, not_newer[-1] if not_newer else proven[0], measured, needed)


def _check_wish(published: Artefact, needed: str | None, wished: str) -> None:
    known = [release.version for release in published.releases]
    listed = ", ".join(known[-6:])
    if not _VERSION.fullmatch(wished):
        raise EdgepackError(f"--runtime-version {visible(wished)!r} is not a version", f"give one of these: {listed}")
    if wished not in known:
        newer = Version(wished) > Version(published.newest)
        why = f"is newer than {published.newest}, the newest that was seen published" if newer else "was not seen published"
        raise EdgepackError(f"--runtime-version {wished}: {published.coordinate} {wished} {why}", f"give one of these: {listed}")
    if needed and Version(wished) < Version(needed):
        raise EdgepackError(
            f"--runtime-version {wished}: {published.coordinate} opens this pack from {needed} on", f"give one of these: {listed}"
        )


def _with_note(published: Artefact, version: str, measured: str, needed: str | None) -> ChosenRelease:
    release = next(each for each in published.releases if each.version == version)
    when = f" of {release.date}" if release.date else ""
    note = f"{published.coordinate} {version}{when} is published (seen: {release.source})."
    if needed:
        note += f" The model's file needs {needed} or newer."
    if Version(version) == Version(measured):
        note += " The pack was measured with the same version."
    else:
        note += f" The pack was measured with {measured}: the self-test on a device proves that {version} answers alike."
    return ChosenRelease(
        coordinate=published.coordinate, version=version, note=note, warning=_warning(published, version, measured, needed)
    )


def _warning(published: Artefact, version: str, measured: str, needed: str | None) -> str | None:
    name = f"{published.coordinate} {version}"
    if needed and Version(version) < Version(needed):
        return (
            f"the pack needs {published.coordinate} {needed} or newer, and {version} is the newest that was seen published: the module "
            "builds and refuses its model. Write a newer version into the build file when there is one, or build with another --format"
        )
    if published.proven and Version(version) > Version(published.proven):
        return (
            f"nothing seen says whether {name} still has every class that the module's Java calls ({published.proven} has): if the "
            f"build does not find one, ship again with --runtime-version {published.proven}"
        )
    if Version(version).release[:2] != Version(measured).release[:2]:
        return f"the module asks for {name}, and the pack was measured with {measured}: run the self-test on a device before you publish"
    return None
