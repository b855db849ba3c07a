"""Writes the folder of a front: its packs, a recipe for each, front.json and the page. All of it or nothing."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.files import check_output, check_replaceable, real_place, rename_whole, write_atomically
from edgepack.core.reading import read_json_object
from edgepack.search.finals import Final, recipe_text
from edgepack.search.front import FRONT_FILE, PAGE_FILE, Front, pick
from edgepack.search.page import page


def check_front_place(out: Path, study: str) -> None:
    """EdgepackError where `out` holds anything but an earlier front of this study, which the new one replaces."""
    if not (out / FRONT_FILE).is_file():
        check_output(out)
        return
    try:
        is_earlier = read_json_object(out / FRONT_FILE).get("study") == study
    except EdgepackError:
        is_earlier = False
    if not is_earlier:
        raise EdgepackError(f"{str(out)!r} holds the front of another search", "choose another --out, or remove it first")
    check_replaceable(out)


def write_front(out: Path, front: Front, finals: Mapping[int, Final], packs: Mapping[int, Path]) -> None:
    """Packs are copied, for the cache keeps its own: a search that goes on does not build them again."""
    place = real_place(out)
    partial, old = place.parent / f".{place.name}.partial", place.parent / f".{place.name}.old"
    for left in (partial, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for point in front.points:
            shutil.copytree(packs[point.number], partial / str(point.number))
            text = recipe_text(finals[point.number], front.profile_wish, out)
            (partial / point.recipe_file).write_text(text, encoding="utf-8")
        _write_choice(partial, front)
        if place.exists():
            place.rename(old)
        rename_whole(partial, place)
    except BaseException:
        if old.exists() and not place.exists():
            old.rename(place)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_pick(out: Path, front: Front, wish: str) -> Front:
    """The front in `out` with one of its packs picked. EdgepackError: no pack is within the wish; the front stays without a pick."""
    try:
        picked = pick(front, wish)
    except EdgepackError as error:
        raise EdgepackError(f"{error.problem}. The front is in {str(out)!r}, without a pick", error.fix) from None
    _write_choice(out, picked)
    return picked


def _write_choice(folder: Path, front: Front) -> None:
    for name, text in ((FRONT_FILE, json.dumps(front.as_json(), indent=1) + "\n"), (PAGE_FILE, page(front))):
        write_atomically(folder / name, text)
