"""An Android library: a Gradle module of plain Java with the model as an asset, and the same as an .aar."""

import json
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.escape import Verbatim, requirement
from edgepack.core.reading import TOKENIZER_BYTES, read_json_object
from edgepack.plan.runtime import RuntimeFacts, facts_in_python
from edgepack.ship.jvm.characters import characters
from edgepack.ship.jvm.sources import class_prefix, classes_jar, write_sources, zipped
from edgepack.ship.jvm.supported import check_tokenizer
from edgepack.ship.jvm.weights import write_weights
from edgepack.ship.module_files import MODULE_FILE, TOKENIZER_FILE, write_manifest, write_model
from edgepack.ship.published import ChosenRelease, artefact, chosen_release
from edgepack.ship.python_code import first_call
from edgepack.ship.shipment import Carried, Shipment, Size, Written, check_codec, check_known
from edgepack.ship.shipping import rendered
from edgepack.tasks import all_tasks, task_named

CHARACTERS_FILE, WEIGHTS_FILE = "characters.json", "weights.json"
MIN_SDK = 26  # Android 8: the oldest with all of Java that the module uses; the runtimes themselves want 24 and 23
COMPILE_SDK = 36
PLAY_LIMIT_MB = 200  # compressed download of an app's base module: Play Console help, "Google Play maximum size limits"
_LARGEST_MAPPED = 2**31 - 1
TAKES = frozenset({"runtime_version"})
_ABIS = {"aarch64": ("arm64-v8a",), "armv7l": ("armeabi-v7a", "arm64-v8a")}


def check(shipment: Shipment) -> tuple[str, ...]:
    """EdgepackError: a task, tokenizer, runtime, name or size that the module does not take. Warnings: Play's limit, the version."""
    manifest = shipment.manifest
    check_known(shipment, tasks=[task.name for task in all_tasks() if task.java_method], models={"WordPiece", "BPE", "Unigram"})
    check_codec(shipment, {"deflate"})
    check_tokenizer(shipment.pack / TOKENIZER_FILE)
    class_prefix(shipment.name)
    if facts_in_python(manifest.plan.runtime).android is None:
        raise EdgepackError(
            f"the android module does not run {manifest.plan.runtime}: it runs onnxruntime and LiteRT",
            "build the pack for a phone: edgepack build --profile phone",
        )
    if task_named(manifest.task).decodes and manifest.format == "tflite":
        raise EdgepackError(
            "the android module writes no text from a TFLite file: its Java code cannot handle the file's cache",
            "ship a pack that was built with --format onnx, or ship this one --for linux or --for python",
        )
    sizes = {file.name: file.bytes for file in manifest.files}
    large = next((name for name in shipment.model_files if sizes[name] > _LARGEST_MAPPED), None)
    if large is not None:
        raise EdgepackError(f"{large} has {sizes[large] / 1e6:.0f} MB: Java maps at most 2147 MB", "build a smaller pack: --file-mb 2000")
    warning = _release(shipment).warning
    return (
        *((warning,) if warning else ()),
        *_chat_warning(shipment),
        *_size_warning(sum(sizes[name] for name in (*shipment.model_files, TOKENIZER_FILE)) / 1e6),
    )


def _release(shipment: Shipment) -> ChosenRelease:
    """Of the runtime that the app's build fetches. EdgepackError: a wish that nobody has published, or that does not open the pack."""
    runtime = _runtime(shipment)
    oldest = runtime.oldest.get(shipment.manifest.precision)
    needed = f"{oldest[0]}.{oldest[1]}.0" if oldest else None
    return chosen_release(artefact(runtime.android.coordinate), _version(shipment), needed, shipment.wishes.runtime_version)


def _chat_warning(shipment: Shipment) -> tuple[str, ...]:
    answers = shipment.manifest.answers or {}
    if not answers.get("chat_template") or answers.get("chat_form"):
        return ()
    return (
        "the android module refuses chat messages for this model: the chat template depends on more than the roles, and Java has no jinja2."
        " Prompts work: give the finished text, or ship --for linux or --for python",
    )


def _size_warning(file_mb: float) -> tuple[str, ...]:
    if file_mb <= PLAY_LIMIT_MB:
        return ()
    return (
        f"model and tokenizer have {file_mb:.0f} MB: Google Play takes an app's base module up to {PLAY_LIMIT_MB} MB (compressed "
        "download), so put them into an asset pack, or build a smaller pack",
    )


def _version(shipment: Shipment) -> str:
    """Of the wheel that the pack was measured with, as packaging writes it. EdgepackError where the pack names none."""
    name = _runtime(shipment).package
    if name not in shipment.manifest.versions:
        raise EdgepackError(f"the pack does not say with which {name} it was measured", "build the pack again with this edgepack")
    return requirement(name, shipment.manifest.versions[name]).partition("==")[2]


def _runtime(shipment: Shipment) -> RuntimeFacts:
    return facts_in_python(shipment.manifest.plan.runtime)


def write(shipment: Shipment, folder: Path) -> Written:
    """build.gradle.kts, src/main, consumer-rules.pro, and NAME.aar where javac is at hand."""
    assets = folder / "src" / "main" / "assets" / shipment.name
    sizes = write_model(shipment, assets)
    tokenizer = read_json_object(assets / TOKENIZER_FILE, TOKENIZER_BYTES)
    (assets / CHARACTERS_FILE).write_text(json.dumps(characters(tokenizer), separators=(",", ":")) + "\n", encoding="utf-8")
    if shipment.manifest.format == "onnx":
        write_weights(assets / shipment.manifest.model, assets / WEIGHTS_FILE)
    write_manifest(shipment, assets)
    sources = write_sources(folder / "src" / "main" / "java", shipment.package, shipment.name, shipment.manifest.format, shipment.release)
    context = _context(shipment)
    texts = {name: rendered(f"android.{name}.j2", **context) for name in ("build.gradle.kts", "AndroidManifest.xml")}
    texts["consumer-rules.pro"] = (Path(__file__).parent.parent / "templates" / "android.consumer-rules.pro").read_text(encoding="utf-8")
    for name, text in texts.items():
        (folder / ("src/main" if name.endswith(".xml") else "") / name).write_text(text, encoding="utf-8")
    jar = classes_jar(sources)
    if jar is not None:
        (folder / f"{shipment.name}.aar").write_bytes(_aar(jar, assets, shipment, context, texts["consumer-rules.pro"]))
    context |= {"aar": jar is not None}
    return Written(sizes=(*sizes, *_more_sizes(shipment, assets, sources, jar)), licences=_licences(shipment), context=context)


def _context(shipment: Shipment) -> dict[str, object]:
    release = _release(shipment)
    return {
        "package": shipment.package,
        "name": shipment.name,
        "prefix": class_prefix(shipment.name),
        "dependency": Verbatim(f"{release.coordinate}:{release.version}"),
        "runtime_note": release.note,
        "version": shipment.release.version,
        "min_sdk": shipment.manifest.profile.min_sdk or MIN_SDK,
        "compile_sdk": COMPILE_SDK,
        "abis": _abis(shipment),
        **_first_call(shipment.manifest.task),
        "task": shipment.manifest.task,
        "max_length": shipment.manifest.max_length,
    }


def _first_call(task: str) -> dict[str, Verbatim]:
    """For a README: a call as Kotlin writes it, and what to look at of the answer."""
    asked = first_call(task)
    method = task_named(task).java_method
    call = f"{method}({asked['call']}).{asked['attribute']}"
    if task_named(task).decodes:
        call = f"{method}({asked['call']}, 40, null) {{ piece -> print(piece); true }}.endedBy"
    return {"call": Verbatim(call), "attribute": asked["attribute"]}


def _abis(shipment: Shipment) -> tuple[str, ...]:
    """Those of the profile's devices, and of emulators."""
    return (*_ABIS.get(shipment.manifest.profile.cpu.arch, ("arm64-v8a",)), "x86_64")


def _aar(jar: bytes, assets: Path, shipment: Shipment, context: dict[str, object], rules: str) -> bytes:
    files = {f"assets/{shipment.name}/{path.name}": path.read_bytes() for path in assets.iterdir()}
    metadata = "aarFormatVersion=1.0\naarMetadataVersion=1.0\nminCompileSdk=1\n"
    return zipped(
        files
        | {
            "AndroidManifest.xml": rendered("android.aar.AndroidManifest.xml.j2", **context).encode(),
            "META-INF/com/android/build/gradle/aar-metadata.properties": metadata.encode(),
            "R.txt": b"",
            "classes.jar": jar,
            "proguard.txt": rules.encode(),
        }
    )


def _more_sizes(shipment: Shipment, assets: Path, sources: list[Path], jar: bytes | None) -> tuple[Size, ...]:
    tables = sum(path.stat().st_size for path in assets.iterdir() if path.name in (CHARACTERS_FILE, WEIGHTS_FILE, MODULE_FILE))
    written = sum(path.stat().st_size for path in sources)
    code = ("classes.jar, before R8", len(jar)) if jar is not None else ("Java sources: no javac here to compile them", written)
    artefact = _runtime(shipment).android
    known, source = artefact.native_bytes, artefact.native_source
    runtime = [Size(part="runtime", what=f"native libraries, {abi}", bytes=known.get(abi), source=source) for abi in _abis(shipment)]
    return (
        Size(part="tables", what="characters, places of weights, hashes", bytes=tables, source="measured"),
        Size(part="code", what=code[0], bytes=code[1], source="measured"),
        *runtime,
    )


def _licences(shipment: Shipment) -> tuple[Carried, ...]:
    release = _release(shipment)
    return (
        Carried(what="characters.json, drawn from Unicode's character data", licence="Unicode-3.0", carried=True),
        Carried(what=f"{release.coordinate}:{release.version}", licence=_runtime(shipment).licence, carried=False),
    )
