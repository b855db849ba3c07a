"""The golden texts of a pack: raw texts as an app gives them, what the model's own tokenizer makes of them, and what the pack answers."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.measure.machines.transports.local import run_job
from edgepack.model.material import Material
from edgepack.pack.golden import golden_entry
from edgepack.pack.runnable import Runnable
from edgepack.pipeline.prompts import golden_prompts
from edgepack.pipeline.scoring import file_outputs
from edgepack.pipeline.state import BuildState
from edgepack.plan.precision import precision_facts
from edgepack.ship.load import device_module
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.task import Features, Task

_LONG = 1024  # tokens: a longer text would take a small board minutes
_MOST_WINDOWS = 8  # of one text whose answer is kept
_RAW_TEXTS = 8  # of rows that the data states as words: golden as text too
_WRITTEN = 8  # tokens behind each golden prompt
_CERTAIN = 20.0  # a token is kept where its logit leads by so many times what outputs may differ by
_SHARE_OF_SIZE = 0.01  # of the outputs' mean size: 0.8 % was seen, of a small decoder in int8 on the kernels of WebAssembly

Entry = dict[str, Any]


def golden_texts(folder: Path, state: BuildState, runnable: Runnable, precision: str) -> list[Entry]:
    """All entries of golden.jsonl, in order. folder: the pack so far, its model and tokenizer among it."""
    if runnable.is_decoder:
        return _of_writing(folder, state, runnable, precision)
    material, max_length = state.material, runnable.max_length or state.material.max_length
    shown, features = _texts(material, max_length)
    outputs = file_outputs(folder, state.plan, features, "golden vectors")
    first = {item.row: index for index, item in reversed(list(enumerate(features)))}
    pairs = enumerate(zip(features, outputs, strict=True))
    entries = [golden_entry(shown[item.row] if first[item.row] == at else {}, item, output) for at, (item, output) in pairs]
    replay = replay_of(folder, runnable.as_json(), entries)
    for entry in entries:
        if proof().is_text(entry):
            answer = replay.decision(entry)
            if answer is not None and replay.is_whole():
                entry["answer"] = answer
    return entries


def golden_tolerance(precision: str, task: Task, outputs: Sequence[np.ndarray]) -> float:
    """How far another machine's outputs may be off: what the precision states, or more where int8 or int4 gives large outputs.

    Kernels of another kind of CPU round activations otherwise, and what that moves grows with the outputs.
    """
    facts = precision_facts(precision)
    if not facts.is_integer or not outputs:
        return facts.golden_tolerance
    size = float(np.mean(np.abs(np.concatenate([task.comparable(output).ravel() for output in outputs]))))
    return max(facts.golden_tolerance, round(_SHARE_OF_SIZE * size, 4))


def proof() -> Any:
    """The code of a device's self-test, which knows how texts become ids and outputs become decisions."""
    return import_module(f"{device_module().__name__}.proof")


def replay_of(folder: Path, facts: Entry, golden: list[Entry]) -> Any:
    """A module's code on the files in `folder`, with the golden outputs in the runtime's place."""
    module = device_module()
    return proof().Replay(module.Model(folder, facts, import_module(f"{module.__name__}.texts").Texts(folder, facts), None), golden)


def _texts(material: Material, max_length: int) -> tuple[list[Entry], list[Features]]:
    """What stands beside the ids, a dict a row, and the ids: all windows of a text, or its first where it has very many."""
    task = material.task
    rows = material.sample[0]
    if task.gives_vectors:  # the second text of a pair would be an input of its own, and the first ones do
        rows = [replace(row, text_pair=None) for row in rows]
    shown = [task.shown(row) for row in rows]
    long = " ".join(["one word after another"] * (min(max_length, _LONG) // 4 + 8))
    further = [row for text in (long,) if (row := task.row_of_text(text))]
    if any(row.text_pair is not None for row in rows) and not task.gives_vectors:
        further.append(Row("", text=long, text_pair=long))
    rows, shown = [*rows, *further], [*shown, *(task.shown(row) for row in further)]
    words_of = import_module(f"{device_module().__name__}.texts").WORDS
    read = list(task.prompted(rows, material.answers))
    for row, raw in task.raw_texts(rows[:_RAW_TEXTS], material.answers, words_of):
        read, shown = [*read, row], [*shown, raw]
    features = [item for item in task.encode(material.tokenizer, read, max_length) if item.ids]
    return shown, _some_windows(features)


def _some_windows(features: list[Features]) -> list[Features]:
    counts: dict[int, int] = {}
    for item in features:
        counts[item.row] = counts.get(item.row, 0) + 1
    some: list[Features] = []
    rows: set[int] = set()
    for item in features:
        if counts[item.row] <= _MOST_WINDOWS or item.row not in rows:
            some.append(item)
        rows.add(item.row)
    return some


def _of_writing(folder: Path, state: BuildState, runnable: Runnable, precision: str) -> list[Entry]:
    """Blocks of running text as ids, then prompts and conversations with the tokens that are certain to follow them."""
    material, plan = state.material, state.plan
    blocks = material.sample[1]
    shown, prompts = golden_prompts(material, runnable.max_length or material.max_length)
    features = [*blocks, *prompts]
    outputs = file_outputs(folder, plan, features, "golden vectors")
    texts = [*({} for _ in blocks), *shown]
    entries = [golden_entry(text, item, output) for text, item, output in zip(texts, features, outputs, strict=True)]
    asked = entries[len(blocks) :]
    room = [min(_WRITTEN, max(0, (runnable.positions or 0) - len(entry["input_ids"]))) for entry in asked]
    margin = _CERTAIN * golden_tolerance(precision, material.task, outputs)
    steps = certain_tokens(folder, plan.runtime, asked, room, margin)["steps"]
    written = certain_tokens(folder, plan.runtime, asked, steps, 0.0)["tokens"]  # again: a last token may be one that is forced
    for entry, most, tokens in zip(asked, steps, written, strict=True):
        if most:
            entry["answer"] = {"max_tokens": most, "tokens": tokens}
    return entries


def certain_tokens(folder: Path, runtime: str, entries: list[Entry], most: list[int], margin: float) -> Entry:
    """`tokens` behind each entry's ids, and how many `steps` were certain: see targets/generation.py."""
    indexes = [index for index, count in enumerate(most) if count]
    tokens: list[list[int]] = [[] for _ in entries]
    steps = [0 for _ in entries]
    if indexes:
        prompts = [entries[index]["input_ids"] for index in indexes]
        job = {"kind": "certain", "threads": 1, "prompts": prompts, "most": [most[index] for index in indexes], "margin": margin}
        result = run_job(folder, runtime, job)
        for index, written, count in zip(indexes, result["tokens"], result["steps"], strict=True):
            tokens[index], steps[index] = written, count
    return {"tokens": tokens, "steps": steps}
