"""One file a task: what goes in, what comes out, how a student learns it and how it is judged. This folder is the registry.

`text_classification.py` is the task `text-classification` and holds a record `TASK`. What several tasks use stands in common/.
Importing a task loads no torch.
"""

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from edgepack.core.errors import EdgepackError, did_you_mean

if TYPE_CHECKING:
    from edgepack.tasks.common.task import Task


def task_names() -> tuple[str, ...]:
    """The names of all tasks, sorted: those of the files in this folder. No task is imported."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if not module.ispkg))


@cache
def task_named(name: str) -> "Task":
    """The record of a task. EdgepackError: there is no such task."""
    if name not in task_names():
        raise EdgepackError(f"unknown task: {name!r}", did_you_mean(name, task_names()))
    task: Task = import_module(f"{__name__}.{name.replace('-', '_')}").TASK
    return task


def all_tasks() -> tuple["Task", ...]:
    """The records of all tasks, by name."""
    return tuple(task_named(name) for name in task_names())
