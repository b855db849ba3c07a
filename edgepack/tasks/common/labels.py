"""The labels of a model's config.json, named and numbered as transformers reads them. Pure: no transformers, no torch."""

from collections.abc import Mapping
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown

_MOST = 1_000_000  # labels: each gets a name
_DEFAULT_COUNT = 2  # a config that names no labels and states no number of them


def label_names(config: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """Names in the order of ids. Where `num_labels` and `id2label` disagree transformers keeps the number and names them LABEL_0 and on.

    place: the file, for errors. EdgepackError: an id of an output has no name, or a name is not a text.
    """
    stated, count = config.get("id2label"), config.get("num_labels")
    if not isinstance(stated, Mapping | None) or not (count is None or (type(count) is int and 0 < count <= _MOST)):
        key = "num_labels" if isinstance(stated, Mapping | None) else "id2label"
        raise EdgepackError(
            f"{place}: {key} is {shown(config[key])}", f"write the labels as id2label, at most {_MOST:,} of them: {{'0': 'first'}}"
        )
    if not stated or (count is not None and count != len(stated)):
        return tuple(f"LABEL_{index}" for index in range(count or _DEFAULT_COUNT))
    try:
        names = {int(index): name for index, name in stated.items()}
    except ValueError:
        raise EdgepackError(f"{place}: id2label has a key that is not a number", "write ids as keys: {'0': 'first'}") from None
    gap = next((index for index in range(len(stated)) if index not in names), None)
    if gap is not None:
        problem = f"{place}: id2label has {len(stated)} labels, so the model has outputs 0 to {len(stated) - 1}, but no name for {gap}"
        raise EdgepackError(problem, f"name every output in id2label, or remove it and state num_labels: {max(names) + 1}")
    wrong = next((index for index, name in names.items() if not isinstance(name, str)), None)
    if wrong is not None:
        raise EdgepackError(f"{place}: id2label names {wrong} as {names[wrong]!r}, which is not a text", "write a text")
    return tuple(names[index] for index in range(len(stated)))


def contradiction(config: Mapping[str, Any], place: str) -> str | None:
    """A sentence where label2id gives a label another id than the one by which it is named; None where the two agree.

    Answers are named by id2label, as in transformers' pipeline; label2id is what trainings number their labels by.
    """
    names, numbered = label_names(config, place), config.get("label2id")
    if not isinstance(numbered, Mapping):
        return None
    for label, index in numbered.items():
        if type(index) is not int or not 0 <= index < len(names):
            reason = f"the id {shown(index)}, and the ids are 0 to {len(names) - 1}"
        elif names[index] != label:
            reason = f"the id {index}, which id2label names {shown(names[index])}"
        else:
            continue
        by = "id2label" if config.get("id2label") else "its number, for want of an id2label"
        return f"{place}: label2id gives {shown(label)} {reason}. The pack names each answer by {by}: correct the file if that is wrong"
    return None
