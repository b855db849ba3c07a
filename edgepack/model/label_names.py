"""Matches the names of labels in the data with those of the model: by name, by number, or by the user's mapping."""

import difflib
import json
import re
import shlex
from dataclasses import replace

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.reading import as_object, parse_json
from edgepack.core.showing import LONGEST_QUOTED, shown, visible_lines
from edgepack.tasks.common.rows import Row


def as_label_number(label: str) -> int | None:
    """Of 1, 1.0, true and false."""
    if label.lower() in ("true", "false"):
        return int(label.lower() == "true")
    whole = re.fullmatch(r"(\d{1,9})(\.0*)?", label)
    return int(whole[1]) if whole else None


def label_fix(labels: list[str], known: list[str], missing: str) -> str:
    """A mapping to give, where each label of the data has a name of the model's that differs in case or spelling alone."""
    folded = {_folded(name): name for name in known}
    mapping: dict[str, str] = {}
    for label in labels:
        close = difflib.get_close_matches(_folded(label), folded, n=1, cutoff=0.75)
        if label not in known and close:
            mapping[label] = folded[close[0]]
    unknown = [label for label in labels if label not in known and label not in mapping]
    if mapping and not unknown and len(set(mapping.values())) == len(mapping):
        return f"if this is what you mean, name the pairs: {label_map_flag(mapping)}"
    return f"{did_you_mean(missing, known)}; or name the pairs: {_flag({missing: known[0]}, is_whole=False)}"


def label_map_flag(mapping: dict[str, str]) -> str:
    """`--label-map` with these pairs, for a shell. Of many only the first: a message cuts what is long, and nobody could use the rest."""
    whole = _flag(mapping)
    if len(whole) <= LONGEST_QUOTED:
        return whole
    return f"{_flag(dict(list(mapping.items())[:1]), is_whole=False)} with all {len(mapping)} pairs, or a column of the model's names"


def _flag(mapping: dict[str, str], is_whole: bool = True) -> str:
    """Pairs, or JSON where a name holds what parts them or what no terminal shows."""
    names = (*mapping, *mapping.values())
    if any(name != name.strip() or not name or visible_lines(name) != name or set(name) & set(",=\t\n") or "{" in name for name in names):
        stated = json.dumps(mapping, ensure_ascii=False)
        return f"--label-map {shlex.quote(stated if is_whole else f'{stated[:-1]}, ...}}')}"
    return f"--label-map {shlex.quote(','.join(f'{label}={name}' for label, name in mapping.items()))}{'' if is_whole else ',...'}"


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def label_mapping(stated: str | None, splits: dict[str, list[Row]]) -> dict[str, str]:
    """What --label-map says. EdgepackError: it is neither pairs nor JSON, or names a label that the data does not have."""
    mapping = stated_mapping(stated)
    known = {
        label for rows in splits.values() for row in rows for label in (row.label, *row.tags, *(row.labels or ())) if label is not None
    }
    if unknown := next((label for label in mapping if label not in known), None):
        raise EdgepackError(f"--label-map: the data has no label {shown(unknown)}", did_you_mean(unknown, sorted(known)))
    return mapping


def stated_mapping(stated: str | None) -> dict[str, str]:
    """From the data's names to the model's; empty where nothing is stated. EdgepackError: it is neither pairs nor JSON."""
    if not stated:
        return {}
    return _of_json(stated) if stated.lstrip().startswith("{") else _of_pairs(stated)


def _of_json(stated: str) -> dict[str, str]:
    """`{"ours": "theirs"}`: names may hold any sign."""
    fix = 'write one JSON object, in single quotes for the shell: \'{"a, b": "NAME"}\''
    mapping = as_object(parse_json(stated, "--label-map", fix), "--label-map", fix)
    if wrong := next((label for label, name in mapping.items() if not isinstance(name, str)), None):
        raise EdgepackError(f"--label-map: the name of {shown(wrong)} is {shown(mapping[wrong])}, which is not a text", fix)
    return mapping


def _of_pairs(stated: str) -> dict[str, str]:
    """`ours=theirs,...`"""
    parts = [part.strip() for part in stated.split(",")]
    if wrong := next((part for part in parts if part.count("=") != 1), None):
        raise EdgepackError(
            f"--label-map: {shown(wrong)} is not a pair",
            'write the data\'s label and the model\'s: neg=NEGATIVE,pos=POSITIVE. Names with a comma or = go into JSON: {"a, b": "NAME"}',
        )
    pairs = [(ours.strip(), theirs.strip()) for ours, _, theirs in (part.partition("=") for part in parts)]
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        twice = next(ours for ours, theirs in pairs if mapping[ours] != theirs or pairs.count((ours, theirs)) > 1)
        raise EdgepackError(f"--label-map names the label {shown(twice)} twice", "name each label of the data once")
    return mapping


def renamed(rows: list[Row], mapping: dict[str, str]) -> list[Row]:
    """The rows with labels and tags renamed by `mapping`, from the data's names to the model's."""
    if not mapping:
        return rows
    return [
        replace(
            row,
            label=None if row.label is None else mapping.get(row.label, row.label),
            tags=tuple(mapping.get(tag, tag) for tag in row.tags),
            labels=None if row.labels is None else tuple(mapping.get(label, label) for label in row.labels),
        )
        for row in rows
    ]
