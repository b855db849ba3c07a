"""A Java library for a desktop's or a server's JVM: the same Java as on Android, built by Maven or Gradle, with the model in a folder."""

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
from edgepack.ship.jvm.sources import classes_jar, write_sources
from edgepack.ship.published import ChosenRelease
from edgepack.ship.shipment import Shipment, Size, Written
from edgepack.ship.shipping import rendered

tasks = java_tasks
FORMATS = ("onnx",)
SERVES = frozenset({"java", "desktop", "server"})
NEEDS_PACKAGE = True  # of Java, which has no module without one
TAKES = frozenset({"runtime_version"})
_BUILD_FILES = {"pom.xml": "pom.xml", "build.gradle.kts": "build.gradle.kts", "settings.gradle.kts": "settings.gradle.kts"}


def check(shipment: Shipment) -> tuple[str, ...]:
    """EdgepackError: a task, tokenizer, name, format or size that the module does not take."""
    warnings = check_java(shipment)
    if runtime_of(shipment).java is None:
        raise EdgepackError(
            f"the jvm module has no {shipment.manifest.plan.runtime}: it runs onnxruntime, the one with a Java package for desktops",
            "build the pack with --format onnx, or ship it --for python or linux",
        )
    warning = _release(shipment).warning
    return (*((warning,) if warning else ()), *warnings)


def _release(shipment: Shipment) -> ChosenRelease:
    return runtime_release(shipment, runtime_of(shipment).java or "")


def write(shipment: Shipment, folder: Path) -> Written:
    """pom.xml, build.gradle.kts, src/main/java, model/, and NAME.jar where javac is at hand."""
    release = _release(shipment)
    sizes = write_java_model(shipment, folder / "model")
    code = folder / "src" / "main" / "java"
    sources = write_sources(code, shipment.package, shipment.name, shipment.manifest.format, shipment.release, "desktop")
    context = java_context(shipment, release)
    for template, name in _BUILD_FILES.items():
        (folder / name).write_text(rendered(f"jvm.{template}.j2", **context), encoding="utf-8")
    jar = classes_jar(sources)
    if jar is not None:
        (folder / f"{shipment.name}.jar").write_bytes(jar)
    call = f"model.{context['method']}({context['arguments']}).{context['attribute']}"
    runtime = Size(part="runtime", what=context["dependency"], bytes=None, source="")
    return Written(
        sizes=(*sizes, code_size(jar, sources, "compiled classes"), runtime),
        licences=java_licences(shipment, release),
        context=context | {"call": Verbatim(call), "jar": jar is not None},
    )
