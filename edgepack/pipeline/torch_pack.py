"""A torch model in place of a pack's file: a module's own code asks it, as it will ask the file."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.core.records import Frozen
from edgepack.model.material import Material
from edgepack.pack.runnable import Runnable
from edgepack.pipeline.pack_texts import write_tokenizer
from edgepack.ship.load import device_module
from edgepack.tasks.common.task import Features, Task

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def torch_pack(model: "nn.Module", material: Material, answers: Frozen | None) -> "Iterator[Any]":
    """A module's Model around a torch model. answers: how it answers; of the task's record of them."""
    module: Any = device_module()
    labels = {str(index): name for index, name in sorted(material.id2label.items())}
    facts = {"labels": labels, "answers": None if answers is None else answers.as_json(), "max_length": material.max_length}
    stated = _described(model, material.task).model_copy(update=facts).as_json()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        reads_types = "token_type_ids" in stated["inputs"]
        write_tokenizer(replace(material), material.max_length, folder, reads_types)  # a tokenizer of its own: a pack's is set up otherwise
        yield module.Model(folder, stated, module.model.Texts(folder, stated), _TorchSession(model, material.task))


def _described(model: "nn.Module", task: Task) -> Runnable:
    from edgepack.export.onnx_decoder import runnable_decoder
    from edgepack.export.onnx_export import runnable

    return runnable_decoder(model, task) if task.decodes else runnable(model, task)


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

    def decoder(self, positions: int) -> "_TorchDecoder":
        return _TorchDecoder(self.model, positions)


class _TorchDecoder:
    """Reads a text with transformers' own cache, as `generate` does. length: as of a file's decoder; a shorter text is read anew."""

    def __init__(self, model: "nn.Module", positions: int) -> None:
        self._model, self._ids, self._cache, self.positions = model, list[int](), None, positions

    @property
    def length(self) -> int:
        return len(self._ids)

    @length.setter
    def length(self, count: int) -> None:
        if count < len(self._ids):
            del self._ids[count:]
            self._cache = None

    def step(self, ids: list[int]) -> np.ndarray:
        """Logits [vocabulary] of what follows."""
        import torch

        self._ids += ids
        unread = self._ids if self._cache is None else ids
        with torch.inference_mode():
            outputs = self._model(input_ids=torch.tensor([unread]), past_key_values=self._cache, use_cache=True)
        self._cache = outputs.past_key_values
        logits: np.ndarray = outputs.logits[0, -1].float().numpy()
        return logits
