"""A Debian package of the Linux module: code, model, unit and command, which makes its own environment where it is installed."""

import os
import shutil
import subprocess
from pathlib import Path

from edgepack.plan.runtime import facts_in_python
from edgepack.ship.python_code import openai_place, write_package
from edgepack.ship.shipment import Shipment, Written
from edgepack.ship.shipping import rendered

SERVES = frozenset({"debian", "ubuntu", "apt"})
_PREFIX = "edgepack-"  # so that no name of a module is that of another package
_SCRIPTS = ("postinst", "prerm")


def check(shipment: Shipment) -> tuple[str, ...]:
    """Every task and every tokenizer.json, as for linux. A warning where the module's command has the name of another one."""
    command = shutil.which(shipment.name)
    if command is None:
        return ()
    return (
        f"the package installs the command {shipment.name}, and this machine has {command}: unless that is an older version of this"
        " package, dpkg refuses to install the new one where it is. Give another --name",
    )


def write(shipment: Shipment, folder: Path) -> Written:
    """edgepack-NAME_VERSION_all.deb; where dpkg-deb is not at hand, the folder that it would pack."""
    package_name = _PREFIX + shipment.name.replace("_", "-")
    tree = folder / f"{package_name}_{shipment.release.version}_all"
    place = tree / "opt" / shipment.name
    written = write_package(shipment, place, with_server=True)
    context = {
        "name": shipment.name,
        "package_name": package_name,
        "version": shipment.release.version,
        "task": shipment.manifest.task,
        "pack_id": shipment.manifest.pack_id,
        "keeps_weights": shipment.keeps_weights,
        "from_system": facts_in_python(shipment.manifest.plan.runtime).needs_numpy_1,
    }
    _write_system_files(tree, context)
    archive = packed(shipment, tree)
    context |= {"file": archive.name if archive else None, "tree": tree.name, "place": openai_place(shipment)}
    return written.model_copy(update={"context": written.context | context})


def _write_system_files(tree: Path, context: dict[str, object]) -> None:
    """The unit, the command, and what dpkg reads and runs."""
    name = str(context["name"])
    unit = {key: context[key] for key in ("name", "task", "keeps_weights")}
    texts = {
        f"lib/systemd/system/{name}.service": rendered("linux.service.j2", **unit),
        f"usr/bin/{name}": rendered("deb.command.sh.j2", **context),
        **{f"DEBIAN/{script}": rendered(f"deb.{script}.sh.j2", **context) for script in _SCRIPTS},
    }
    for place, text in texts.items():
        path = tree / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    installed = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    control = rendered("deb.control.j2", **context, installed_kb=str(-(-installed // 1024)))
    (tree / "DEBIAN" / "control").write_text(control, encoding="utf-8")


def packed(shipment: Shipment, tree: Path) -> Path | None:
    """Built by dpkg-deb, in the module's own time, so that the same module gives the same package; the tree is then removed."""
    if shutil.which("dpkg-deb") is None:
        return None
    archive = tree.with_name(f"{tree.name}.deb")
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(int(shipment.release.created_at.timestamp()))}
    command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(archive)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"dpkg-deb does not build the package:\n{done.stderr}")
    shutil.rmtree(tree)
    return archive
