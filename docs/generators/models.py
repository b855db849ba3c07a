"""The architectures and tasks that there are, from their files."""

import ast
from pathlib import Path

from generators.tables import GENERATED, table

ROOT = Path(__file__).parent.parent.parent
INTRO = """
# Architectures and tasks

A model's architecture is the `model_type` in its `config.json`. Each is a file in `edgepack/plan/architectures/`: see
[add an architecture](../develop/add-an-architecture.md). A table of vectors has no `config.json`: edgepack knows it by its
`modules.json`.
"""


def page() -> str:
    from edgepack.plan.architectures import FAMILIES
    from edgepack.tasks import all_tasks

    rows = [
        (f"`{name}`", _first_sentence("plan/architectures", name), "writes text" if family.causal else "encoder")
        for name, family in FAMILIES.items()
    ]
    rows.append(("`static-embedding`", _first_sentence("plan/architectures", "static-embedding"), "table of vectors"))
    tasks = [
        (f"`{task.name}`", _first_sentence("tasks", task.name), f"`{task.metric}`", ", ".join(f"`...{end}`" for end in task.architectures))
        for task in all_tasks()
    ]
    parts = [GENERATED, INTRO.strip(), "## Architectures", table(("model_type", "what it is", "kind"), rows)]
    parts += ["## Tasks", table(("task", "what it is", "metric", "class names in the config"), tasks)]
    return "\n\n".join(parts) + "\n"


def _first_sentence(folder: str, name: str) -> str:
    """Of the docstring of the file that has the name."""
    path = ROOT / "edgepack" / folder / f"{name.replace('-', '_')}.py"
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].replace("\n", " ")
    return text.removeprefix(f"{name}: ")
