"""ship(): checks everything that can be wrong, then lets one platform's file write its module, whole or not at all."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.files import check_disk, check_output, disk_full_is_said, written_whole
from edgepack.core.records import Frozen
from edgepack.pack.manifest import REPORT_FILES, Manifest, check_files, read_manifest
from edgepack.ship.module_files import licences_of
from edgepack.ship.names import chosen_names
from edgepack.ship.shipment import Carried, Shipment, Size, Written, read_tokenizing
from edgepack.ship.signing import read_signer

FACTS_FILE = "ship.json"


class Shipped(Frozen):
    """What ship() wrote; ship.json holds the same."""

    platform: str
    name: str
    package: str
    task: str
    pack_id: str
    signed_by: str | None  # the public key, hexadecimal
    sizes: tuple[Size, ...]
    licences: tuple[Carried, ...]
    warnings: tuple[str, ...]


def platform_names() -> list[str]:
    """The platforms that there are: files in platforms/."""
    return sorted(path.stem for path in (Path(__file__).parent / "platforms").glob("*.py") if path.stem != "__init__")


def ship(
    pack: Path | str,
    platform: str,
    out: Path | str,
    package: str | None = None,
    name: str | None = None,
    sign: Path | str | None = None,
) -> Shipped:
    """Writes the module of `pack` for `platform` into the folder `out`, which must hold nothing.

    package: dotted, for Android's Java. name: of the module; left out, the package's last part or the pack's folder. sign: PEM
    file with an ed25519 private key. EdgepackError before any work: a platform or a name that is none, a pack that does not verify,
    a task or tokenizer that the platform's module does not know.
    """
    pack, out = Path(pack), Path(out)
    writer = _platform(platform)
    check_output(out)
    module_name, module_package = chosen_names(pack, platform, name, package)
    signer = read_signer(Path(sign)) if sign else None
    manifest = read_manifest(pack)
    check_files(pack, manifest, skip=REPORT_FILES)
    shipment = Shipment(
        pack=pack,
        manifest=manifest,
        platform=platform,
        name=module_name,
        package=module_package,
        tokenizing=read_tokenizing(pack),
        signer=signer,
    )
    warnings = writer.check(shipment)
    check_disk(out, _needed_mb(manifest), "the module")
    if out.is_dir():
        out.rmdir()  # empty, as check_output found: what is written whole takes its place
    with disk_full_is_said(), written_whole(out) as folder:
        written = writer.write(shipment, folder)
        shipped = _facts(shipment, written, warnings)
        _describe(folder, shipment, written, shipped)
    return shipped


def _platform(name: str) -> ModuleType:
    if name not in platform_names():
        raise EdgepackError(f"unknown platform: {name!r}", did_you_mean(name, platform_names()))
    return import_module(f"edgepack.ship.platforms.{name}")


def _needed_mb(manifest: Manifest) -> float:
    return 2.5 * sum(file.bytes for file in manifest.files) / 1e6 + 5  # Android's model lies in the project and in the .aar


def _facts(shipment: Shipment, written: Written, warnings: tuple[str, ...]) -> Shipped:
    return Shipped(
        platform=shipment.platform,
        name=shipment.name,
        package=shipment.package,
        task=shipment.manifest.task,
        pack_id=shipment.manifest.pack_id,
        signed_by=shipment.signer.public_key if shipment.signer else None,
        sizes=written.sizes,
        licences=(*licences_of(shipment), *written.licences),
        warnings=warnings,
    )


def _describe(folder: Path, shipment: Shipment, written: Written, shipped: Shipped) -> None:
    """README.md, LICENCES.md and ship.json."""
    names = {"shipped": shipped, "manifest": shipment.manifest, "name": shipment.name, "package": shipment.package, **written.context}
    for template, file in ((f"{shipment.platform}.README.md.j2", "README.md"), ("LICENCES.md.j2", "LICENCES.md")):
        (folder / file).write_text(rendered(template, **names), encoding="utf-8")
    (folder / FACTS_FILE).write_text(json.dumps(shipped.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def rendered(template: str, **names: object) -> str:
    """A file of edgepack/ship/templates with its names filled in."""
    environment = Environment(
        loader=PackageLoader("edgepack.ship"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["mb"] = lambda count: "unknown" if count is None else f"{count / 1e6:.2f} MB"
    return environment.get_template(template).render(**names)
