"""What javac makes of a module's sources, once a session: javac gives the same bytes for the same sources, and takes two seconds."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from session_folders import made_once

from edgepack.ship.jvm.sources import classes_jar
from edgepack.ship.platforms import android, jvm


@contextmanager
def jars_shared(tmp_path_factory) -> Iterator[None]:
    """While it is open, both platforms of Java take the jar of the session's first module with equal sources."""
    with pytest.MonkeyPatch.context() as patch:
        for platform in (android, jvm):
            patch.setattr(platform, "classes_jar", _shared(tmp_path_factory))
        yield


def _shared(tmp_path_factory) -> Callable[[list[Path]], bytes | None]:
    def jar_of(sources: list[Path]) -> bytes | None:
        if shutil.which("javac") is None:
            return classes_jar(sources)
        contents = sorted((path.name, path.read_text(encoding="utf-8")) for path in sources)
        key = hashlib.sha256(repr(contents).encode()).hexdigest()[:32]
        return (made_once(tmp_path_factory, f"jar-{key}", partial(_compile, sources)) / "classes.jar").read_bytes()

    return jar_of


def _compile(sources: list[Path], folder: Path) -> None:
    folder.mkdir()
    (folder / "classes.jar").write_bytes(classes_jar(sources))
