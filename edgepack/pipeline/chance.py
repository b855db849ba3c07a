"""Finds swapped labels: a teacher that is right less often than chance, and would be right with other names."""

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.model.label_names import label_map_flag, stated_mapping
from edgepack.model.material import Material
from edgepack.tasks.common.task import Outputs

_RIGHT_UNDER_OTHER_NAMES = 0.75  # share of rows
_FEWEST_ROWS = 20


def check_names_of_labels(material: Material, outputs: Outputs) -> None:
    """EdgepackError with the confusion that shows it. Does nothing where the task's decisions are no labels."""
    rows, task, labels = material.rows("test"), material.task, material.labels
    if len(rows) < _FEWEST_ROWS or not outputs or task.per_token or any(row.label is None for row in rows) or not labels:
        return
    decided = task.decide(outputs, material.test, rows)
    labelled = [labels.get(row.label or "") for row in rows]
    if not all(isinstance(index, int) for index in (*decided, *labelled)):
        return
    names = sorted(set(labelled) | set(decided))
    table = np.zeros((len(names), len(names)), dtype=int)
    for ours, theirs in zip(labelled, decided, strict=True):
        table[names.index(ours), names.index(theirs)] += 1
    right = table.trace() / len(rows)
    answered = table.argmax(axis=1)  # what each class is answered most often
    is_true = table.sum(axis=1) > 0
    other = table.max(axis=1).sum() / len(rows)
    one_to_one = len(set(answered[is_true])) == is_true.sum() > 1
    if right >= 1 / len(names) or other < _RIGHT_UNDER_OTHER_NAMES or not one_to_one:
        return
    of_data = {index: name for name, index in labels.items()}
    pairs = [(of_data[names[at]], material.id2label[names[answered[at]]], table[at].max()) for at in np.flatnonzero(is_true)]
    shown = [f"it answers {theirs!r} to {count} rows of {ours!r}" for ours, theirs, count in pairs if ours != theirs][:4]
    mapping = _as_data_has_it({ours: theirs for ours, theirs, _ in pairs}, material)
    raise EdgepackError(
        f"the model is right in {right:.0%} of {len(rows)} test rows, which is less than "
        "chance. With other names for the labels it is right in "
        f"{other:.0%}: " + "; ".join(shown),
        f"the labels of the data and of the model are not in the same order: {label_map_flag(mapping)}",
    )


def _as_data_has_it(mapping: dict[str, str], material: Material) -> dict[str, str]:
    """By the names that stand in the data: a --label-map that was given has renamed them already."""
    stated = stated_mapping(material.recipe.columns.label_map)
    renamed = set(stated.values())
    whole = {ours: mapping.get(theirs, theirs) for ours, theirs in stated.items()}
    return whole | {ours: theirs for ours, theirs in mapping.items() if ours not in renamed}
