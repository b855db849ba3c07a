"""The architectures and tasks that there are, from their files."""

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from generators.tables import GENERATED, table

if TYPE_CHECKING:
    from edgepack.plan.family import Family

ROOT = Path(__file__).parent.parent.parent
INTRO = """
# Architectures and tasks

A model's architecture is the `model_type` in its `config.json`. Each is a file in `edgepack/plan/architectures/`: see
[add an architecture](../develop/add-an-architecture.md). A table of vectors has no `config.json`: edgepack knows it by its
`modules.json`.

A task is listed where transformers has a class of the architecture for it, and edgepack a file. A decoder that classifies texts decides by
their last token.
"""


def page() -> str:
    from edgepack.plan.architectures import FAMILIES
    from edgepack.tasks import all_tasks

    rows = [
        (f"`{name}`", _first_sentence("plan/architectures", name), "decoder" if family.causal else "encoder", _listed(tasks_of(family)))
        for name, family in FAMILIES.items()
    ]
    table_name = "static-embedding"
    rows.append((f"`{table_name}`", _first_sentence("plan/architectures", table_name), "table of vectors", "`feature-extraction`"))
    tasks = [
        (f"`{task.name}`", _first_sentence("tasks", task.name), f"`{task.metric}`", ", ".join(f"`...{end}`" for end in task.architectures))
        for task in all_tasks()
    ]
    parts = [GENERATED, INTRO.strip(), "## Architectures", table(("model_type", "what it is", "kind", "tasks"), rows)]
    parts += ["## Tasks", table(("task", "what it is", "metric", "class names in the config"), tasks)]
    return "\n\n".join(parts) + "\n"


def tasks_of(family: "Family") -> list[str]:
    """Names of those that a model of the family may have been made for, and has files for. With an encoder nobody writes."""
    import transformers

    from edgepack.tasks import all_tasks

    config = transformers.CONFIG_MAPPING[family.model_type]
    whole_texts = not (family.causal and family.config_attention_cap)  # whose scores only a file that writes can limit
    tasks = [task for task in all_tasks() if (family.causal if task.decodes else whole_texts)]
    return [task.name for task in tasks if config in getattr(transformers, task.auto_class)._model_mapping]


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _first_sentence(folder: str, name: str) -> str:
    """Of the docstring of the file that has the name."""
    path = ROOT / "edgepack" / folder / f"{name.replace('-', '_')}.py"
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].replace("\n", " ")
    return text.removeprefix(f"{name}: ")
