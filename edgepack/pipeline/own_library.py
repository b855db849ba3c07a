"""Before any work: the teacher, asked as a pack will be, answers raw texts as the library that its users run does, or the build ends."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.core.cache import key_of, stage
from edgepack.core.distributed import is_first
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar, say
from edgepack.core.showing import shown
from edgepack.model.material import Material
from edgepack.pipeline.keys import library_inputs
from edgepack.pipeline.packing import write_tokenizer
from edgepack.pipeline.scoring import load_model
from edgepack.pipeline.state import BuildState
from edgepack.ship.load import device_module
from edgepack.tasks.common.library import Figures
from edgepack.tasks.common.task import Features, Task

if TYPE_CHECKING:
    from torch import nn

_TEXTS = 32
_LARGEST_GAP = 2e-3  # of a score, or of a vector's value beside the largest one: what fp32 on two paths is apart


class _TorchSession:
    """The teacher in place of a file: what a module's code runs."""

    def __init__(self, model: "nn.Module", task: Task) -> None:
        self.model, self.task = model.eval(), task

    def run(self, ids: list[int], type_ids: list[int]) -> list[np.ndarray]:
        import torch

        from edgepack.model.evaluation import pad_id_of, padded, takes_types

        batch = padded([Features(ids, type_ids, 0)], pad_id_of(self.model), takes_types(self.model))
        with torch.inference_mode():
            output = self.task.forward(self.model, batch)[0].float().numpy()
        return [output] if len(self.task.outputs) == 1 else list(np.moveaxis(output, -1, 0))


def check_library(state: BuildState) -> None:
    """The comparison below as a stage: it is made once for a model, its data and this code."""
    with stage(state.cache, key_of(library_inputs(state.material, (__name__,)))) as place:
        if not place.is_finished:
            if is_first():
                check_against_library(load_model(state.material, state.work.checkpoint), state.material)
            place.record = {}


def check_against_library(model: "nn.Module", material: Material) -> None:
    """EdgepackError says which text is answered otherwise, by how much, and how many are. Does nothing where no library tells:
    it is not installed, the task has none, or the checkpoint is one that only edgepack reads."""
    library, source = material.task.library, material.source
    is_plain = source.kept is None and ((source.root / "config.json").is_file() or source.sentence is not None)
    if library is None or not is_plain or material.recipe.trust_remote_code or not library.applies(source, material.answers):
        return
    if source.adapter is not None:
        say(f"not compared with {library.name}: an adapter is merged here, and there it is not")
        return
    if find_spec(library.package) is None:
        say(f"not compared with {library.name}: it is not installed")
        return
    calls = _calls(material)
    ours = _asked_as_a_pack(model, material, calls)
    kept = [(call, figures) for call, figures in zip(calls, ours, strict=True) if figures is not None]
    from edgepack.model.checkpoint import quiet_transformers

    with bar(f"compare with {library.name}", 1) as progress, quiet_transformers():
        theirs = library.ask(source.root, [call for call, _ in kept], material.answers, material.max_length)
        progress.advance()
    gaps = [_gap(mine, other) for (_, mine), other in zip(kept, theirs, strict=True)]
    wrong = [index for index, gap in enumerate(gaps) if not gap <= _LARGEST_GAP]
    if wrong:
        worst = max(wrong, key=lambda index: gaps[index])
        raise EdgepackError(
            f"a pack would answer otherwise than {library.name}: {len(wrong)} of {len(gaps)} texts differ. The worst is "
            f"{shown(' | '.join(kept[worst][0]))}: {_top(kept[worst][1])} here, {_top(theirs[worst])} there (limit {_LARGEST_GAP:g})",
            "this model states something that edgepack does not reproduce: please report its config.json and tokenizer_config.json",
        )
    say(f"compared with {library.name} on {len(gaps)} raw texts: the largest difference is {max(gaps, default=0.0):.1g}")


def _calls(material: Material) -> list[tuple[str, ...]]:
    """The data's texts, short and long, nasty ones, and one that is longer than most models read."""
    calls = []
    for row in material.sample[0]:
        calls.append((row.text, row.text_pair) if row.text_pair else (row.text,))
    calls = list(dict.fromkeys(calls))
    step = max(1, len(calls) // _TEXTS)
    return [*calls[::step][: _TEXTS - 1], (" ".join(["one word after another"] * 200),)]


def _asked_as_a_pack(model: "nn.Module", material: Material, calls: Sequence[tuple[str, ...]]) -> list[Figures | None]:
    """None: the pack refuses the text."""
    from edgepack.export.onnx_export import runnable

    module: Any = device_module()
    fresh = replace(material)  # a tokenizer of its own: a pack's is set up otherwise
    stated = None if material.answers is None else material.answers.as_json()
    labels = {str(index): name for index, name in sorted(material.id2label.items())}
    manifest = runnable(model, material.task).model_copy(update={"labels": labels, "answers": stated, "max_length": material.max_length})
    figures: list[Figures | None] = []
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(fresh, material.max_length, Path(folder))
        facts = manifest.as_json()
        pack = module.Model(Path(folder), facts, module.model.Texts(Path(folder), facts), _TorchSession(model, material.task))
        for call in calls:
            try:
                figures.append(material.task.library.figures(pack(*call)))
            except module.BadInput:
                figures.append(None)
    return figures


def _gap(ours: Figures, theirs: Figures) -> float:
    if set(ours) != set(theirs):
        return float("inf")
    scale = max(1.0, *(abs(value) for value in theirs.values()))
    return max(abs(ours[name] - value) for name, value in theirs.items()) / scale


def _top(figures: Figures) -> str:
    best = sorted(figures.items(), key=lambda pair: -pair[1])[:2]
    return ", ".join(f"{name} {value:.4f}" for name, value in best) + (f" and {len(figures) - 2} more" if len(figures) > 2 else "")
