"""Where device profiles lie and what their TOML says. Loads no pydantic: `edgepack profiles` lists them in a moment."""

from pathlib import Path
from typing import Any, NamedTuple

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.reading import is_there, read_toml
from edgepack.core.resources import shipped


class ProfileRow(NamedTuple):
    """A device as the table of `edgepack profiles` shows it."""

    name: str
    summary: str
    cpu: str
    ram_mb: int
    runtimes: str


def profile_names() -> list[str]:
    """The names of the profiles that edgepack ships, in alphabetical order."""
    return sorted(path.stem for path in shipped("device_profiles").glob("*.toml"))


def is_own_file(name: str) -> bool:
    """Whether `--profile NAME` is the path of a user's own file, and no shipped profile's name."""
    return name.endswith(".toml") or "/" in name


def profile_path(name: str) -> Path:
    """The file of a shipped profile by its name, or of the user's own by its path (`./my-board.toml`)."""
    is_path = is_own_file(name)
    path = Path(name) if is_path else shipped("device_profiles") / f"{name}.toml"
    if is_path and not (is_there(path) and path.is_file()):
        raise EdgepackError(f"profile file not found: {name!r}", "check the path, or see `edgepack profiles` for the shipped ones")
    if not is_path and name not in profile_names():
        raise EdgepackError(f"unknown profile: {name!r}", did_you_mean(name, profile_names()))
    return path


def read_profile_toml(path: Path) -> dict[str, Any]:
    """The file as plain TOML, nothing checked but the syntax."""
    return read_toml(path)


def profile_rows() -> list[ProfileRow]:
    """The shipped profiles; a field that a file does not state is empty here, and an error where the profile is used."""
    tables = {name: read_profile_toml(profile_path(name)) for name in profile_names()}
    return [_row(name, table) for name, table in tables.items()]


def _row(name: str, table: dict[str, Any]) -> ProfileRow:
    cpu, memory = table.get("cpu", {}), table.get("memory", {})
    return ProfileRow(
        name=name,
        summary=table.get("summary", ""),
        cpu=f"{cpu.get('cores', '?')} x {cpu.get('part', '?')}",
        ram_mb=memory.get("total_mb", 0),
        runtimes=", ".join(table.get("runtimes", {})),
    )
