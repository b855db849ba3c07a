"""ship(): checks everything that can be wrong, then lets one platform's file write its module, whole or not at all."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from edgepack.core import templates
from edgepack.core.errors import EdgepackError, border_of_rust, did_you_mean
from edgepack.core.files import check_disk, check_output, disk_full_is_said, written_whole
from edgepack.core.locks import only_one
from edgepack.core.progress import say
from edgepack.core.records import Frozen
from edgepack.pack.manifest import REPORT_FILES, Manifest, check_files, read_manifest
from edgepack.plan.runtime import runtime_facts
from edgepack.ship.attestation import write_attestation
from edgepack.ship.module_files import licences_of
from edgepack.ship.names import chosen_names
from edgepack.ship.platforms import platform_names
from edgepack.ship.release import read_release
from edgepack.ship.shipment import Carried, Shipment, Size, Wishes, Written, read_tokenizing
from edgepack.ship.signing import permissions_warning, read_signer
from edgepack.tasks import task_named

FACTS_FILE = "ship.json"


class Shipped(Frozen):
    """What ship() wrote; ship.json holds the same."""

    platform: str
    name: str
    package: str
    task: str
    pack_id: str
    signed_by: str | None  # the public key, hexadecimal
    version: str
    minimum_version: str  # of a model that the module opens
    expires: str | None
    sizes: tuple[Size, ...]
    licences: tuple[Carried, ...]
    warnings: tuple[str, ...]


@border_of_rust()
def ship(  # noqa: PLR0913, PLR0917  a flag is a parameter
    pack: Path | str,
    platform: str,
    out: Path | str,
    package: str | None = None,
    name: str | None = None,
    sign: Path | str | None = None,
    version: str = "1.0.0",
    minimum_version: str | None = None,
    expires: str | None = None,
    also_trust: Sequence[Path | str] = (),
    runtime_version: str | None = None,
    with_sample: bool = False,
    reduced_runtime: bool = False,
) -> Shipped:
    """Writes the module of `pack` for `platform` into the folder `out`, which must hold nothing.

    package: dotted, for Android's Java. name: of the module; left out, the package's last part or the pack's folder. sign: PEM
    file with an ed25519 private key. version: of the module, three numbers. minimum_version: the oldest model that the module opens,
    by default its own version. expires: days such as 90d, or a date; a module without one is valid for ever. also_trust: PEM files of
    more public keys whose signature the module accepts, so that keys can change. runtime_version: of the runtime that the app's build
    fetches, in place of the published one that is chosen. with_sample: a whole app beside the module. reduced_runtime: the model as
    .ort too, and what a smaller runtime is built from. The last three are for some platforms alone.

    EdgepackError before any work: a platform or a name that does not exist, a pack that does not verify, a task or tokenizer that the
    platform's module does not know, a version or a key that cannot be read.
    """
    pack, out = Path(pack), Path(out)
    writer = _platform(platform)
    wishes = Wishes(runtime_version=runtime_version, with_sample=with_sample, reduced_runtime=reduced_runtime)
    _check_wishes(platform, writer, wishes)
    check_output(out)
    module_name, module_package = chosen_names(pack, platform, name, package, getattr(writer, "NEEDS_PACKAGE", False))
    signer = read_signer(Path(sign)) if sign else None
    keys = (signer.public_key,) if signer else ()
    release = read_release(version, minimum_version, expires, keys, tuple(map(str, also_trust)))
    shipment = Shipment(
        pack=pack,
        manifest=_known_pack(pack),
        platform=platform,
        name=module_name,
        package=module_package,
        tokenizing=read_tokenizing(pack),
        signer=signer,
        release=release,
        wishes=wishes,
    )
    warnings = (*writer.check(shipment), *(permissions_warning(signer.file) if signer else ()))
    with only_one(out, "the output"):
        return _shipped(writer, shipment, out, warnings)


def _known_pack(pack: Path) -> Manifest:
    """EdgepackError: a file was changed, or the pack's task or runtime is not one of this edgepack's."""
    manifest = read_manifest(pack)
    check_files(pack, manifest, skip=REPORT_FILES)
    task_named(manifest.task)
    runtime_facts(manifest.plan.runtime)
    return manifest


def _shipped(writer: ModuleType, shipment: Shipment, out: Path, warnings: tuple[str, ...]) -> Shipped:
    check_output(out)
    manifest = shipment.manifest
    check_disk(out, _needed_mb(manifest), "the module")
    with disk_full_is_said(), written_whole(out) as folder:
        written = writer.write(shipment, folder)
        shipped = _facts(shipment, written, warnings)
        _describe(folder, shipment, written, shipped)
        write_attestation(folder, shipment)
        if hasattr(writer, "self_tested"):  # a platform whose module runs on this machine too
            say(writer.self_tested(shipment, folder))
    return shipped


def _platform(name: str) -> ModuleType:
    if name not in platform_names():
        able = [known for known in platform_names() if name in getattr(_platform(known), "SERVES", frozenset())]
        raise EdgepackError(f"unknown platform: {name!r}", f"ship it --for {able[0]}" if able else did_you_mean(name, platform_names()))
    return import_module(f"edgepack.ship.platforms.{name}")


def _check_wishes(platform: str, writer: ModuleType, wishes: Wishes) -> None:
    refused = sorted(set(wishes.named) - getattr(writer, "TAKES", frozenset()))
    if refused:
        able = [name for name in platform_names() if refused[0] in getattr(_platform(name), "TAKES", frozenset())]
        elsewhere = f", or ship --for {' or '.join(able)}" if able else ""
        raise EdgepackError(f"--{refused[0].replace('_', '-')} is nothing that the module for {platform} knows", "leave it out" + elsewhere)


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
        version=shipment.release.version,
        minimum_version=shipment.release.minimum_version,
        expires=shipment.release.expires,
        sizes=written.sizes,
        licences=(*licences_of(shipment), *written.licences),
        warnings=(*warnings, *written.warnings),
    )


def _describe(folder: Path, shipment: Shipment, written: Written, shipped: Shipped) -> None:
    """README.md, LICENCES.md and ship.json."""
    names = {"shipped": shipped, "manifest": shipment.manifest, "name": shipment.name, "package": shipment.package, **written.context}
    names["also_trusted"] = len(shipment.release.public_keys) > 1
    for template, file in ((f"{shipment.platform}.README.md.j2", "README.md"), ("LICENCES.md.j2", "LICENCES.md")):
        (folder / file).write_text(rendered(template, **names), encoding="utf-8")
    (folder / FACTS_FILE).write_text(json.dumps(shipped.as_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def rendered(template: str, **names: object) -> str:
    """A file of edgepack/ship/templates with its names filled in, each escaped for the language of that file."""
    return templates.rendered("edgepack.ship", template, names, {"mb": _megabytes})


def _megabytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e6:.2f} MB"
