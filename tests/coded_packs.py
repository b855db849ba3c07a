"""Packs whose weights are coded, made from plain ones in a second."""

import shutil
from pathlib import Path

from edgepack.export.weight_places import weights_in
from edgepack.pack.coding import code_file, parts_between
from edgepack.pack.manifest import WEIGHT_CACHE, Manifest, read_manifest, seal
from edgepack.pack.runnable import write_runnable


def coded_copy(pack: Path, folder: Path, codec: str = "deflate", start: str = "stream") -> Manifest:
    """The same pack in `folder` with its weights coded, sealed again."""
    shutil.copytree(pack, folder, ignore=shutil.ignore_patterns(WEIGHT_CACHE))
    manifest = read_manifest(folder)
    source, places = weights_in(folder, manifest.model)
    stated = code_file(source, parts_between(places, source.stat().st_size), codec, start, folder)
    source.unlink()
    manifest = manifest.model_copy(update={"coded": stated})
    write_runnable(folder, manifest)
    return seal(folder, manifest)


def damaged(folder: Path, place: int = -100) -> None:
    """Changes one bit of the coded weights, and nothing that states their hash."""
    path = folder / "weights.coded"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
