"""An Android library: a Gradle module of plain Java with the model as an asset, and the same as an .aar."""

from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.escape import Verbatim
from edgepack.ship.jvm.packing import (
    check_java,
    code_size,
    java_context,
    java_licences,
    java_tasks,
    runtime_of,
    runtime_release,
    write_java_model,
)
from edgepack.ship.jvm.sample import write_sample
from edgepack.ship.jvm.sources import classes_jar, write_sources, zipped
from edgepack.ship.module_files import TOKENIZER_FILE
from edgepack.ship.published import ChosenRelease
from edgepack.ship.reduced import check_reduced, write_reduced
from edgepack.ship.shipment import Shipment, Size, Written
from edgepack.ship.shipping import rendered
from edgepack.tasks import all_tasks, task_named

tasks = java_tasks
LIMITS = {task.name: "ONNX" for task in all_tasks() if task.decodes}
SERVES = frozenset({"kotlin", "flutter", "react-native"})  # docs/guides/wrap-a-module.md for the last two
NEEDS_PACKAGE = True  # of Java, which has no module without one
TAKES = frozenset({"runtime_version", "with_sample", "reduced_runtime"})
MIN_SDK = 26  # Android 8: the oldest with all of Java that the module uses; the runtimes themselves want 24 and 23
COMPILE_SDK = 36
PLAY_LIMIT_MB = 200  # compressed download of an app's base module: Play Console help, "Google Play maximum size limits"
_ABIS = {"aarch64": ("arm64-v8a",), "armv7l": ("armeabi-v7a", "arm64-v8a")}


def check(shipment: Shipment) -> tuple[str, ...]:
    """EdgepackError: a task, tokenizer, runtime, name or size that the module does not take. Warnings: Play's limit, the version."""
    manifest = shipment.manifest
    warnings = check_java(shipment)
    if runtime_of(shipment).android is None:
        raise EdgepackError(
            f"the android module does not run {manifest.plan.runtime}: it runs onnxruntime and LiteRT",
            "build the pack for a phone: edgepack build --profile phone",
        )
    if task_named(manifest.task).decodes and manifest.format == "tflite":
        raise EdgepackError(
            "the android module writes no text from a TFLite file: its Java code cannot handle the file's cache",
            "ship a pack that was built with --format onnx, or ship this one --for linux or --for python",
        )
    if shipment.wishes.reduced_runtime:
        check_reduced(shipment)
    warning = _release(shipment).warning
    sizes = {file.name: file.bytes for file in manifest.files}
    shipped_mb = sum(sizes[name] for name in (*shipment.model_files, TOKENIZER_FILE)) / 1e6
    return (*((warning,) if warning else ()), *warnings, *_size_warning(shipped_mb))


def _release(shipment: Shipment) -> ChosenRelease:
    return runtime_release(shipment, runtime_of(shipment).android.coordinate)


def _size_warning(file_mb: float) -> tuple[str, ...]:
    if file_mb <= PLAY_LIMIT_MB:
        return ()
    return (
        f"model and tokenizer have {file_mb:.0f} MB: Google Play takes an app's base module up to {PLAY_LIMIT_MB} MB (compressed "
        "download), so put them into an asset pack, or build a smaller pack",
    )


def write(shipment: Shipment, folder: Path) -> Written:
    """build.gradle.kts, src/main, kotlin/, consumer-rules.pro, and NAME.aar where javac is at hand; with the sample in a folder NAME/."""
    reduced = write_reduced(shipment, folder) if shipment.wishes.reduced_runtime else ()
    if shipment.wishes.with_sample:
        write_sample(shipment, folder, _context(shipment))
        folder /= shipment.name
    assets = folder / "src" / "main" / "assets" / shipment.name
    sizes = write_java_model(shipment, assets)
    sources = write_sources(folder / "src" / "main" / "java", shipment.package, shipment.name, shipment.manifest.format, shipment.release)
    context = _context(shipment)
    texts = {name: rendered(f"android.{name}.j2", **context) for name in ("build.gradle.kts", "AndroidManifest.xml")}
    texts["consumer-rules.pro"] = (Path(__file__).parent.parent / "templates" / "android.consumer-rules.pro").read_text(encoding="utf-8")
    _write_kotlin(shipment, folder / "kotlin", context)
    for name, text in texts.items():
        (folder / ("src/main" if name.endswith(".xml") else "") / name).write_text(text, encoding="utf-8")
    jar = classes_jar(sources)
    if jar is not None:
        (folder / f"{shipment.name}.aar").write_bytes(_aar(jar, assets, shipment, context, texts["consumer-rules.pro"]))
    context |= {"aar": jar is not None}
    sizes = (*sizes, code_size(jar, sources, "classes.jar, before R8"), *_runtime_sizes(shipment), *reduced)
    return Written(sizes=sizes, licences=java_licences(shipment, _release(shipment)), context=context)


def _write_kotlin(shipment: Shipment, folder: Path, context: dict[str, object]) -> None:
    """Beside the library and no part of it, so that an app without Kotlin builds it too."""
    place = folder.joinpath(*shipment.package.split("."))
    place.mkdir(parents=True)
    (place / f"{context['prefix']}Coroutines.kt").write_text(rendered("android.Coroutines.kt.j2", **context), encoding="utf-8")


def _context(shipment: Shipment) -> dict[str, object]:
    names = java_context(shipment, _release(shipment))
    call = f"{names['method']}({names['arguments']}).{names['attribute']}"
    if names["decodes"]:
        call = f"{names['method']}({names['arguments']}, 40, null) {{ piece -> print(piece); true }}.endedBy"
    return names | {
        "call": Verbatim(call),  # as Kotlin writes it
        "sample": shipment.wishes.with_sample,
        "reduced": shipment.wishes.reduced_runtime,
        "runtime_version": _release(shipment).version,
        "min_sdk": shipment.manifest.profile.min_sdk or MIN_SDK,
        "compile_sdk": COMPILE_SDK,
        "abis": _abis(shipment),
    }


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


def _runtime_sizes(shipment: Shipment) -> tuple[Size, ...]:
    artefact = runtime_of(shipment).android
    sizes, source = artefact.native_bytes, artefact.native_source
    return tuple(Size(part="runtime", what=f"native libraries, {abi}", bytes=sizes.get(abi), source=source) for abi in _abis(shipment))
