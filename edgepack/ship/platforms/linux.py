"""A folder for a Linux board: a Python package to ask, on the command line and over HTTP, and a systemd unit that keeps it up."""

from pathlib import Path

from edgepack.plan.runtime import facts_in_python
from edgepack.ship.python_code import self_tested, write_package
from edgepack.ship.shipment import Shipment, Written
from edgepack.ship.shipping import rendered

__all__ = ["check", "self_tested", "write"]


def check(shipment: Shipment) -> tuple[str, ...]:
    """Every task and every tokenizer.json: the module runs the library that the model was trained with. No store, so no limit."""
    return ()


def write(shipment: Shipment, folder: Path) -> Written:
    """NAME/ with the code and the model, requirements.txt, NAME.service."""
    written = write_package(shipment, folder, with_server=True)
    expands = shipment.manifest.coded is not None and shipment.manifest.coded.start == "expand"  # /opt cannot be written there
    service = rendered("linux.service.j2", name=shipment.name, task=shipment.manifest.task, expands=expands)
    (folder / f"{shipment.name}.service").write_text(service)
    from_system = facts_in_python(shipment.manifest.plan.runtime).needs_numpy_1
    return written.model_copy(update={"context": written.context | {"from_system": from_system}})
