"""The hash of a file, by which packs, boards and caches name it. Standard library only; an app's module takes this file as it is."""

from __future__ import annotations

import hashlib

_CHUNK_BYTES = 1 << 20


def file_sha256(path) -> str:
    """Hexadecimal. path: a pathlib.Path."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()
