"""A folder for a Linux board: a Python package to ask, on the command line and over HTTP, and a systemd unit that keeps it up."""

from pathlib import Path

from edgepack.plan.runtime import facts_in_python
from edgepack.ship.module_files import code_bytes, write_model
from edgepack.ship.python_code import copy_code, fetched_licences, first_call, library_sizes, requirements, self_tested, write_requirements
from edgepack.ship.shipment import Shipment, Written
from edgepack.ship.shipping import rendered
from edgepack.ship.wheel_hashes import FOR

__all__ = ["check", "self_tested", "write"]


def check(shipment: Shipment) -> tuple[str, ...]:
    """Every task and every tokenizer.json: the module runs the library that the model was trained with. No store, so no limit."""
    return ()


def write(shipment: Shipment, folder: Path) -> Written:
    """NAME/ with the code and the model, requirements.txt, NAME.service."""
    package = folder / shipment.name
    copy_code(shipment, package, with_server=True)
    model = write_model(shipment, package / "model")
    pins = write_requirements(folder, requirements(shipment, with_server=True))
    (folder / f"{shipment.name}.service").write_text(rendered("linux.service.j2", name=shipment.name, task=shipment.manifest.task))
    sizes = (*model, code_bytes(package, "*.py"), *library_sizes(shipment, with_server=True))
    context = first_call(shipment.manifest.task) | {"from_system": facts_in_python(shipment.manifest.plan.runtime).needs_numpy_1}
    context |= {"no_hashes": pins.problem, "hashes_for": FOR}
    licences = fetched_licences(shipment, with_server=True)
    return Written(sizes=sizes, licences=licences, warnings=pins.warnings, context=context)
