"""What every module of Java has, on a phone and on a server: which packs it takes, its release of the runtime, and its model folder."""

import json
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.escape import Verbatim, requirement
from edgepack.core.reading import TOKENIZER_BYTES, read_json_object
from edgepack.pack.weight_places import write_weights
from edgepack.plan.runtime import RuntimeFacts, facts_in_python
from edgepack.ship.jvm.characters import characters
from edgepack.ship.jvm.sources import class_prefix
from edgepack.ship.jvm.supported import check_tokenizer
from edgepack.ship.module_files import MODULE_FILE, TOKENIZER_FILE, write_manifest, write_model
from edgepack.ship.published import ChosenRelease, artefact, chosen_release, tools
from edgepack.ship.python_code import first_call
from edgepack.ship.shipment import Carried, Shipment, Size, cache_warnings, chat_warnings, check_codec, check_known, renders_chats
from edgepack.tasks import all_tasks, task_named

CHARACTERS_FILE, WEIGHTS_FILE = "characters.json", "weights.json"
MODELS = frozenset({"WordPiece", "BPE", "Unigram"})
_LARGEST_MAPPED = 2**31 - 1


def check_java(shipment: Shipment) -> tuple[str, ...]:
    """EdgepackError: a task, tokenizer, name or size that Java's code does not take. Warnings: what it refuses or does not do."""
    manifest = shipment.manifest
    check_known(shipment, tasks=java_tasks(), models=MODELS)
    check_codec(shipment, {"deflate"})
    check_tokenizer(shipment.pack / TOKENIZER_FILE, shipment.platform)
    class_prefix(shipment.name)
    sizes = {file.name: file.bytes for file in manifest.files}
    large = next((name for name in shipment.model_files if sizes[name] > _LARGEST_MAPPED), None)
    if large is not None:
        raise EdgepackError(f"{large} has {sizes[large] / 1e6:.0f} MB: Java maps at most 2147 MB", "build a smaller pack: --file-mb 2000")
    return (*chat_warnings(shipment, "Java"), *cache_warnings(shipment))


def java_tasks() -> tuple[str, ...]:
    return tuple(task.name for task in all_tasks() if task.java_method)


def runtime_of(shipment: Shipment) -> RuntimeFacts:
    return facts_in_python(shipment.manifest.plan.runtime)


def runtime_release(shipment: Shipment, coordinate: str) -> ChosenRelease:
    """Of the runtime that the app's build fetches. EdgepackError: a wish that nobody has published, or that does not open the pack."""
    oldest = runtime_of(shipment).oldest.get(shipment.manifest.precision)
    needed = f"{oldest[0]}.{oldest[1]}.0" if oldest else None
    return chosen_release(artefact(coordinate), _measured_version(shipment), needed, shipment.wishes.runtime_version)


def _measured_version(shipment: Shipment) -> str:
    """Of the wheel that the pack was measured with, as packaging writes it. EdgepackError where the pack names none."""
    name = runtime_of(shipment).package
    if name not in shipment.manifest.versions:
        raise EdgepackError(f"the pack does not say with which {name} it was measured", "build the pack again with this edgepack")
    return requirement(name, shipment.manifest.versions[name]).partition("==")[2]


def annotations() -> Verbatim:
    """Maven's coordinate of @NonNull and @Nullable."""
    return Verbatim(f"org.jspecify:jspecify:{tools()['jspecify'].version}")


def write_java_model(shipment: Shipment, folder: Path) -> tuple[Size, ...]:
    """The model's folder with the tables that Java's code reads beside it; the sizes of all parts."""
    sizes = write_model(shipment, folder)
    tokenizer = read_json_object(folder / TOKENIZER_FILE, TOKENIZER_BYTES)
    (folder / CHARACTERS_FILE).write_text(json.dumps(characters(tokenizer), separators=(",", ":")) + "\n", encoding="utf-8")
    if shipment.manifest.format == "onnx":
        write_weights(folder / shipment.manifest.model, folder / WEIGHTS_FILE)
    write_manifest(shipment, folder)
    tables = sum(path.stat().st_size for path in folder.iterdir() if path.name in (CHARACTERS_FILE, WEIGHTS_FILE, MODULE_FILE))
    return (*sizes, Size(part="tables", what="characters, places of weights, hashes", bytes=tables, source="measured"))


def code_size(jar: bytes | None, sources: list[Path], what: str) -> Size:
    """Of the compiled classes, or of the sources where no javac is at hand."""
    written = sum(path.stat().st_size for path in sources)
    code = (what, len(jar)) if jar is not None else ("Java sources: no javac here to compile them", written)
    return Size(part="code", what=code[0], bytes=code[1], source="measured")


def java_licences(shipment: Shipment, release: ChosenRelease) -> tuple[Carried, ...]:
    """Of what the module carries beside the model and edgepack's code, and of what its build fetches."""
    return (
        Carried(what="characters.json, drawn from Unicode's character data", licence="Unicode-3.0", carried=True),
        Carried(what=f"{release.coordinate}:{release.version}", licence=runtime_of(shipment).licence, carried=False),
        Carried(what=annotations(), licence="Apache-2.0", carried=False),
    )


def java_context(shipment: Shipment, release: ChosenRelease) -> dict[str, object]:
    """Names for the templates of every module of Java."""
    task = shipment.manifest.task
    asked = first_call(shipment)
    return {
        "package": shipment.package,
        "group": shipment.package.rpartition(".")[0],
        "name": shipment.name,
        "prefix": class_prefix(shipment.name),
        "method": task_named(task).java_method,
        "arguments": asked["call"],
        "attribute": asked["attribute"],
        "shell": asked["shell"],
        "message": asked["message"],
        "chats": renders_chats(shipment),
        "dependency": Verbatim(f"{release.coordinate}:{release.version}"),
        "runtime_note": release.note,
        "annotations": annotations(),
        "tools": tools(),
        "version": shipment.release.version,
        "task": task,
        "decodes": task_named(task).decodes,
        "max_length": shipment.manifest.max_length,
    }
