"""A Python package with the model inside, to install or to put beside an app: what `edgepack.load` answers, without edgepack."""

from pathlib import Path

from edgepack.ship.python_code import requirements, self_tested, write_package
from edgepack.ship.shipment import Shipment, Written
from edgepack.ship.shipping import rendered

SERVES = frozenset({"pip", "pypi"})
_INDEX_LIMIT_MB = 100
_INDEX_SOURCE = "PyPI's own page on storage limits"

__all__ = ["check", "self_tested", "write"]


def check(shipment: Shipment) -> tuple[str, ...]:
    """Every task and every tokenizer.json; a warning where the public index would not take the wheel."""
    file_mb = shipment.manifest.file_mb
    if file_mb <= _INDEX_LIMIT_MB:
        return ()
    return (f"the model has {file_mb:.0f} MB, and the public index takes {_INDEX_LIMIT_MB} MB ({_INDEX_SOURCE}): share the folder instead",)


def write(shipment: Shipment, folder: Path) -> Written:
    """NAME/ with the code and the model, pyproject.toml, and requirements.txt, which can hold the hashes that pyproject.toml cannot."""
    written = write_package(shipment, folder, with_server=False)
    lines = requirements(shipment, with_server=False)
    context = {"name": shipment.name, "requirements": lines, "pack_id": shipment.manifest.pack_id, "version": shipment.release.version}
    (folder / "pyproject.toml").write_text(rendered("python.pyproject.toml.j2", **context))
    return written.model_copy(update={"context": written.context | {"keeps_weights": shipment.keeps_weights}})
