"""load(): asks a pack with the code that a shipped module runs on the device. It imports that code from targets/ by path."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edgepack.core.errors import EdgepackError, border_of_rust
from edgepack.core.resources import shipped
from edgepack.pack.manifest import MANIFEST_FILE, REPORT_FILES, check_files, read_manifest

_NAME = "edgepack_module"  # in sys.modules; never the name of the folder, which says nothing


@border_of_rust()
def load(pack: Path | str, threads: int | None = None) -> Any:
    """A callable that answers by the pack's task: labels with scores, entities and answers with their places, vectors, or text.

    Results are those of targets/module/results.py; `with` or close() frees the model. threads: one for each core if left out.
    EdgepackError where the folder is not a pack, a file was changed or cannot be opened; errors of a call are those of
    targets/module/errors.py.
    """
    folder = Path(pack)
    manifest = read_manifest(folder)
    check_files(folder, manifest, skip=REPORT_FILES)
    with refusals_of_module():
        return device_module().load(folder, threads, MANIFEST_FILE, manifest.plan.exact_products)


@contextmanager
def refusals_of_module() -> Iterator[None]:
    """What a module's code refuses is an EdgepackError of ours."""
    try:
        yield
    except device_module().ModuleError as error:
        raise EdgepackError(error.problem, error.fix) from None


def device_module() -> ModuleType:
    """targets/module as a package. The files that both share lie beside it there, and inside it once it is shipped."""
    if _NAME not in sys.modules:
        targets = shipped("targets")
        folder = targets / "module"
        spec = importlib.util.spec_from_file_location(_NAME, folder / "__init__.py", submodule_search_locations=[str(folder), str(targets)])
        module = importlib.util.module_from_spec(spec)
        sys.modules[_NAME] = module
        spec.loader.exec_module(module)
    return sys.modules[_NAME]
