"""Before any work, compares the teacher's answers on raw texts with those of the library that its users run."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.core.cache import key_of, stage
from edgepack.core.distributed import is_first
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar, say
from edgepack.core.showing import shown
from edgepack.model.material import Material
from edgepack.pipeline.keys import library_inputs
from edgepack.pipeline.scoring import load_model
from edgepack.pipeline.state import BuildState
from edgepack.pipeline.torch_pack import torch_pack
from edgepack.ship.load import device_module
from edgepack.tasks.common.library import Call, Figures

if TYPE_CHECKING:
    from torch import nn

_TEXTS = 32
_FEWEST_UNLIKE = 5  # texts that a model cannot all answer alike, unless it reads none of them
_LARGEST_GAP = 2e-3  # of a score, or of a vector's value beside the largest one: what fp32 on two paths is apart


def check_library(state: BuildState) -> None:
    """The comparison below as a stage: it is made once for a model, its data and this code."""
    with stage(state.cache, key_of(library_inputs(state.material, (__name__,)))) as place:
        if not place.is_finished:
            if is_first():
                check_against_library(load_model(state.material, state.work.checkpoint), state.material)
            place.record = {}


def check_against_library(model: "nn.Module", material: Material) -> None:
    """EdgepackError says which text is asked otherwise, by how much, and how many are. Does nothing where no library tells:
    it is not installed, the task has none, or the checkpoint is one that only edgepack reads."""
    library, source = material.task.library, material.source
    is_plain = source.record is None and ((source.root / "config.json").is_file() or source.sentence is not None)
    if library is None or not is_plain or material.recipe.trust_remote_code or not library.applies(source, material.answers):
        return
    if source.adapter is not None:
        say(f"not compared with {library.name}: edgepack merges the adapter, and the library does not")
        return
    if find_spec(library.package) is None:
        say(f"not compared with {library.name}: it is not installed")
        return
    calls = _calls(material)
    ours = _asked_as_a_pack(model, material, calls)
    asked = [(call, figures) for call, figures in zip(calls, ours, strict=True) if figures is not None]
    from edgepack.model.checkpoint import quiet_transformers

    with bar(f"compare with {library.name}", 1) as progress, quiet_transformers():
        try:
            theirs = library.ask(source.root, [call for call, _ in asked], material.answers, material.max_length)
        except Exception as error:  # the library's border: what it cannot compute of a folder, it says by a class of any kind
            reason = (str(error).strip().splitlines() or [""])[0]
            raise EdgepackError(
                f"{library.name} itself fails on {source.name}: {type(error).__name__}: {reason}",
                "see whether the library answers a text with this folder, and correct its config.json",
            ) from error
        progress.advance()
    gaps = [_gap(mine, other) for (_, mine), other in zip(asked, theirs, strict=True)]
    wrong = [index for index, gap in enumerate(gaps) if not gap <= _LARGEST_GAP]
    if wrong:
        worst = max(wrong, key=lambda index: gaps[index])
        raise EdgepackError(
            f"a pack would give other answers than {library.name}: {len(wrong)} of {len(gaps)} texts differ. The worst is "
            f"{shown(' | '.join(asked[worst][0]))}: {_difference(asked[worst][1], theirs[worst])} (limit {_LARGEST_GAP:g})",
            "edgepack does not reproduce something in this model: please report its config.json and tokenizer_config.json",
        )
    say(f"compared with {library.name} on {len(gaps)} raw texts: the largest difference is {max(gaps, default=0.0):.1g}")
    if len(theirs) >= _FEWEST_UNLIKE and theirs[0] and all(_gap(theirs[0], other) == 0 for other in theirs[1:]):
        say(f"{source.name} gives the same answer to all {len(theirs)} texts, also in {library.name}: it may not be trained")


def _calls(material: Material) -> list[Call]:
    """The data's texts, short and long, nasty ones, and one that is longer than most models read."""
    library = material.task.library
    calls = list(dict.fromkeys(call for row in material.sample[0] if (call := library.call(row)) is not None))
    step = max(1, len(calls) // _TEXTS)
    return [*calls[::step][: _TEXTS - 1], *([library.long_call] if library.long_call else [])]


def _asked_as_a_pack(model: "nn.Module", material: Material, calls: Sequence[Call]) -> list[Figures | None]:
    """None: the pack refuses the text."""
    module: Any = device_module()
    library, figures = material.task.library, [Figures() for _ in calls]
    refused: set[int] = set()
    for record in library.records(material.answers):
        with torch_pack(model, material, record) as pack:
            for index, call in enumerate(calls):
                try:
                    figures[index] |= library.figures(pack(*call, **library.settings))
                except module.BadInput:
                    refused.add(index)
                except module.ModuleError as error:  # numbers that are none, before anything was exported or narrowed
                    raise EdgepackError(
                        f"{material.source.name} itself answers {shown(' | '.join(call))} with what is no number",
                        "see whether transformers gives numbers for this text; config.json or the weights are damaged",
                    ) from error
    return [None if index in refused else each for index, each in enumerate(figures)]


def _gap(ours: Figures, theirs: Figures) -> float:
    if set(ours) != set(theirs):
        return float("inf")
    scale = max([1.0, *(abs(value) for value in theirs.values())])
    return max((abs(ours[name] - value) for name, value in theirs.items()), default=0.0) / scale


def _difference(ours: Figures, theirs: Figures) -> str:
    """Of the figures that are farthest apart."""
    names = [*theirs, *(name for name in ours if name not in theirs)]
    names = sorted(names, key=lambda name: -abs(ours[name] - theirs[name]) if name in ours and name in theirs else -np.inf)[:2]
    return "; ".join(f"{name}: {_of(name, ours)} here, {_of(name, theirs)} there" for name in names)


def _of(name: str, figures: Figures) -> str:
    return f"{figures[name]:.4f}" if name in figures else "not"
