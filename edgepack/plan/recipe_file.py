"""Recipes from files and command lines: what is given there comes before the file, and that before the defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import is_there, read_toml
from edgepack.core.records import Location
from edgepack.core.showing import shown
from edgepack.plan.profile_files import is_own_file
from edgepack.plan.recipe import TRAIN_SPLIT, WHOLE_VOCABULARY, Recipe
from edgepack.plan.setting import setting_fields

_PROFILE = "profile"  # of no setting: it says what the recipe is for
_PATHS = ("model", "base", "data", "unlabelled", "vocabulary")  # settings that may be the path of a file or folder


def read_recipe(path: Path | None, given: Mapping[str, Any]) -> Recipe:
    """A Recipe from a TOML file and from what was given beside it, which comes first; a None in `given` is not given.

    Paths in the file are relative to it. EdgepackError names the key of the file, or the flag, that is wrong.
    """
    stated: dict[str, Any] = {}
    if path is not None:
        stated = {key: value for key, value in _read_toml(path).items() if key != _PROFILE}
        Recipe.read(stated, path.name)
        stated |= {key: _beside(path, name) for key, name in paths_in(stated).items()}
    return Recipe.read(_merged(stated, given), "the command line", flag_of)


def paths_in(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings that may be paths, with their values; a `vocabulary` that is a word of its own is none."""
    words = {"vocabulary": (TRAIN_SPLIT, WHOLE_VOCABULARY)}
    return {key: name for key in _PATHS if (name := settings.get(key)) and name not in words.get(key, ())}


def profile_of(path: Path) -> str | None:
    """The profile that a recipe file names: a shipped one's name, or a file's path from there. EdgepackError: it is no text."""
    name = _read_toml(path).get(_PROFILE)
    if name is not None and not isinstance(name, str):
        raise EdgepackError(f"wrong value in {path.name} profile: {shown(name)}", "give a profile's name, or the path of its file")
    return name if name is None or not is_own_file(name) else _beside(path, name)


def flag_of(location: Location) -> str:
    """The flag of a setting: `--file-mb` for ("budget", "file_mb")."""
    return next((field.flag for field in setting_fields(Recipe) if field.path == location), ".".join(location))


def _read_toml(path: Path) -> dict[str, Any]:
    if not is_there(path):
        raise EdgepackError(f"recipe file not found: {str(path)!r}", "give the path of a TOML file")
    return read_toml(path, "see examples/edgepack.toml", "is not TOML")


def _beside(path: Path, name: str) -> str:
    """The path of a file or folder that lies beside the recipe file; another name (a hub id, an absolute path) as it is."""
    neighbour = path.parent / name
    return str(neighbour) if is_there(neighbour) else name


def _merged(stated: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(stated)
    for key, value in given.items():
        if isinstance(value, dict):
            merged[key] = _merged(merged.get(key, {}), value)
        elif value is not None:
            merged[key] = value
    return merged
