"""Which platform's module does which task, as the platforms' own files say, and what each module is."""

from importlib import import_module
from types import ModuleType

from generators.tables import GENERATED, table

INTRO = """
# Platforms and tasks

`edgepack ship PACK --for PLATFORM --out FOLDER` turns a pack into a module of an app. A cell says which kinds of packs the module takes. A
dash means that `ship` refuses the task and says where it works.
"""
PROOF = """
Every module has golden vectors and a self-test: it says yes or no whether the device answers as the pack did. A restriction that is not in
the table, such as a tokenizer that a module cannot make again, is refused by name before anything is written.

The modules for Linux, Debian and Python render every chat template. Those for Android, the JVM and the web have no jinja2: they render a
template that only puts texts around messages by their roles. For another template `ship` warns, and the module refuses messages by name;
prompts work.
"""
_FORMATS = {"onnx": "ONNX", "tflite": "TFLite"}


def page() -> str:
    from edgepack.ship.platforms import platform_names
    from edgepack.tasks import task_names

    platforms = {name: import_module(f"edgepack.ship.platforms.{name}") for name in platform_names()}
    rows = [(task, *(cell(module, task) for module in platforms.values())) for task in task_names()]
    about = [(f"`{name}`", _first_line(module), _wishes(module)) for name, module in platforms.items()]
    parts = [
        GENERATED,
        INTRO.strip(),
        table(("task", *(f"`{name}`" for name in platforms)), rows),
        "## What each module is",
        table(("platform", "what `ship` writes", "flags of its own"), about),
        PROOF.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def cell(module: ModuleType, task: str) -> str:
    """The kinds of packs and the restriction; a dash where the module does not do the task."""
    if hasattr(module, "tasks") and task not in module.tasks():
        return "–"
    limit = getattr(module, "LIMITS", {}).get(task, "")
    formats = " or ".join(_FORMATS[name] for name in getattr(module, "FORMATS", _FORMATS))
    return limit if limit in _FORMATS.values() else formats + (f": {limit}" if limit else "")


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").splitlines()[0]


def _wishes(module: ModuleType) -> str:
    return ", ".join(f"`--{name.replace('_', '-')}`" for name in sorted(getattr(module, "TAKES", ())))
