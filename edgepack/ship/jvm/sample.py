"""A whole Android app around the module: one screen in Kotlin that asks it, times it and has it prove itself."""

from collections.abc import Mapping
from pathlib import Path

from edgepack.ship.examples import example_texts
from edgepack.ship.published import tools
from edgepack.ship.shipment import Shipment
from edgepack.ship.shipping import rendered
from edgepack.tasks import task_named

_FILES = {  # where each template's text stands in the project
    "settings.gradle.kts": "settings.gradle.kts",
    "build.gradle.kts": "build.gradle.kts",
    "gradle.properties": "gradle.properties",
    "libs.versions.toml": "gradle/libs.versions.toml",
    "gradle-wrapper.properties": "gradle/wrapper/gradle-wrapper.properties",
    "app.build.gradle.kts": "app/build.gradle.kts",
    "AndroidManifest.xml": "app/src/main/AndroidManifest.xml",
}
_SECOND_TEXT = "The second text"
_SOURCES = ("Examples.kt", "MainActivity.kt")


def write_sample(shipment: Shipment, folder: Path, context: Mapping[str, object]) -> None:
    """The project's own files; the module itself lies beside them in a folder of its name."""
    first, second = task_named(shipment.manifest.task).text_labels
    examples = example_texts(shipment)
    names = context | {
        "tools": tools(),
        "examples": examples,
        "two_texts": bool(second) or any(pair for _, pair in examples),  # a classifier may read pairs of texts
        "first_label": first,
        "second_label": second or _SECOND_TEXT,
    }
    code = Path("app", "src", "main", "kotlin", *shipment.package.split("."), "sample")
    for template, place in (*_FILES.items(), *((name, str(code / name)) for name in _SOURCES)):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered(f"sample.{template}.j2", **names), encoding="utf-8")
