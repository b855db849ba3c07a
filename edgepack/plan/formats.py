"""Which file a runtime takes, and what a build needs installed to write it. Pure: follows from the files in runtimes/."""

from importlib.metadata import version
from typing import Literal

from edgepack.core.errors import EdgepackError
from edgepack.plan.profile import RuntimeName
from edgepack.plan.runtime import Format, all_runtimes, builders, facts_in_python, missing_builders

FormatWish = Literal["onnx", "tflite", "both", "auto"]

FORMATS: dict[RuntimeName, Format] = {facts.name: facts.format for facts in all_runtimes()}


def python_runtime(runtime: RuntimeName) -> RuntimeName:
    """What opens a runtime's file in Python: another one where the device's has no Python package."""
    return facts_in_python(runtime).name


def check_installed(wanted: Format) -> None:
    """EdgepackError with the line that installs what a format needs, where it is missing."""
    missing = missing_builders(wanted)
    if missing:
        raise EdgepackError(
            f"a TFLite file needs {', '.join(missing)}: not installed here",
            "pip install 'edgepack[tflite]', or --format onnx where the profile runs it",
        )


def format_versions(wanted: Format) -> dict[str, str]:
    """Versions of what writes a format, beside the libraries that every build uses."""
    return {name: version(name) for name in builders(wanted)}
