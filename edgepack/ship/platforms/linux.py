"""A folder for a Linux board or a container: a Python package to ask, on the command line and over HTTP, a systemd unit, a Dockerfile."""

from pathlib import Path

from edgepack.plan.runtime import facts_in_python
from edgepack.ship.python_code import openai_place, self_tested, write_package
from edgepack.ship.shipment import Shipment, Written
from edgepack.ship.shipping import rendered

_USER = "module"  # of the image, without rights
SERVES = frozenset({"docker", "container"})

__all__ = ["check", "self_tested", "write"]


def check(shipment: Shipment) -> tuple[str, ...]:
    """Every task and every tokenizer.json: the module runs the library that the model was trained with. No store, so no limit."""
    return ()


def write(shipment: Shipment, folder: Path) -> Written:
    """NAME/ with the code and the model, requirements.txt, NAME.service, Dockerfile."""
    written = write_package(shipment, folder, with_server=True)
    task = shipment.manifest.task
    service = rendered("linux.service.j2", name=shipment.name, task=task, keeps_weights=shipment.keeps_weights)
    (folder / f"{shipment.name}.service").write_text(service)
    from_system = facts_in_python(shipment.manifest.plan.runtime).needs_numpy_1
    if not from_system:  # such a runtime needs Debian's own numpy, which is not in the image
        _write_docker(shipment, folder)
    more = {
        "keeps_weights": shipment.keeps_weights,
        "from_system": from_system,
        "place": openai_place(shipment),
        "version": shipment.release.version,
    }
    return written.model_copy(update={"context": written.context | more})


def _write_docker(shipment: Shipment, folder: Path) -> None:
    text = rendered("linux.Dockerfile.j2", name=shipment.name, version=shipment.release.version, user=_USER)
    (folder / "Dockerfile").write_text(text, encoding="utf-8")
    (folder / ".dockerignore").write_text(f"*\n!requirements.txt\n!{shipment.name}\n**/__pycache__\n", encoding="utf-8")
