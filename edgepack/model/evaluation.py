"""Runs a torch model over features: the outputs that quality.py judges and that a student learns from."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from edgepack.core.distributed import device_here
from edgepack.core.host import usable_cores
from edgepack.core.progress import bar
from edgepack.model.linear_kernels import fast_linears
from edgepack.tasks.common.task import Features, Outputs, Task

BATCH_ROWS = 32


def use_all_cores(processes: int = 1) -> int:
    """Lets torch use the cores that this process may use, or its share where `processes` work side by side; returns how many."""
    cores = max(1, usable_cores() // processes)
    torch.set_num_threads(cores)
    return cores


@contextmanager
def _moved(model: nn.Module, device: str) -> Iterator[None]:
    """The model is on `device` while the block runs, and where it was before afterwards."""
    before = next(model.parameters()).device
    model.to(device)
    try:
        yield
    finally:
        model.to(before)


def padded(features: Sequence[Features], pad_id: int, with_types: bool) -> dict[str, torch.Tensor]:
    """A batch [rows, longest] of int64: input_ids, attention_mask and, where the model takes them, token_type_ids."""
    longest = max(len(item.ids) for item in features)
    batch = {
        "input_ids": torch.full((len(features), longest), pad_id),
        "attention_mask": torch.zeros(len(features), longest, dtype=torch.long),
    }
    if with_types:
        batch["token_type_ids"] = torch.zeros(len(features), longest, dtype=torch.long)
    for index, item in enumerate(features):
        batch["input_ids"][index, : len(item.ids)] = torch.tensor(item.ids)
        batch["attention_mask"][index, : len(item.ids)] = 1
        if with_types:
            batch["token_type_ids"][index, : len(item.ids)] = torch.tensor(item.type_ids)
    return batch


def takes_types(model: nn.Module) -> bool:
    """Whether the model distinguishes the first text of a pair from the second (token types)."""
    return getattr(model.config, "type_vocab_size", 0) > 1


def pad_id_of(model: nn.Module) -> int:
    """The id of the padding token; 0 where the config names none, as padding is masked."""
    return model.config.pad_token_id or 0


def batches_on(model: nn.Module, features: Sequence[Features], batch_rows: int = BATCH_ROWS) -> Iterator[dict[str, torch.Tensor]]:
    """The model's inputs, `batch_rows` of the features at a time and in their order, padded, where the model is."""
    place = next(model.parameters()).device
    for at in range(0, len(features), batch_rows):
        batch = padded(features[at : at + batch_rows], pad_id_of(model), takes_types(model))
        yield {name: tensor.to(place) for name, tensor in batch.items()}


def run_model(
    model: nn.Module, task: Task, features: Sequence[Features], title: str, keep: Callable[[torch.Tensor], torch.Tensor] | None = None
) -> Outputs:
    """Outputs for each of the features, in their order: see `Task.outputs` for shapes. Batches hold texts of like length.

    keep: what to keep of one text's outputs, in place of what a score needs.
    """
    use_all_cores()
    order = sorted(range(len(features)), key=lambda index: len(features[index].ids))
    outputs: list[np.ndarray | None] = [None] * len(features)
    model.eval()
    with _moved(model, device_here()), torch.inference_mode(), fast_linears(model), bar(title, len(features)) as progress:
        waiting = iter(order)
        for batch in batches_on(model, [features[index] for index in order]):
            results = task.forward(model, batch).float().cpu()
            for output, index in zip(results, waiting, strict=False):
                length = len(features[index].ids)
                trimmed = output[:length] if task.per_token else output
                outputs[index] = keep(trimmed).numpy().copy() if keep else task.reduced(features[index].ids, trimmed)
            progress.advance(len(results))
    return [output for output in outputs if output is not None]
