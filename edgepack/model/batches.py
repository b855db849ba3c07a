"""Batches for training: drawn beforehand, with texts of similar length together, padded to the longest."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from edgepack.model.evaluation import BATCH_ROWS, batches_on, padded
from edgepack.tasks.common.task import Features

_POOL_BATCHES = 20  # batches that are drawn together and sorted by length: less padding, still random


def batch_order(lengths: Sequence[int], batch_rows: int, epochs: int, seed: int) -> np.ndarray:
    """Row indices of every batch of every epoch, one after the other: random, and like lengths together in a batch.

    Each epoch leaves out the rows that do not fill a batch, others each time.
    """
    batch_rows = min(batch_rows, len(lengths))
    lengths = np.asarray(lengths)
    parts = []
    for epoch in range(epochs):
        draw = np.random.default_rng((seed, epoch))
        rows = draw.permutation(len(lengths))[: len(lengths) // batch_rows * batch_rows]
        pools = [rows[at : at + batch_rows * _POOL_BATCHES] for at in range(0, len(rows), batch_rows * _POOL_BATCHES)]
        grouped = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
        batches = grouped.reshape(-1, batch_rows)
        parts.append(batches[draw.permutation(len(batches))].reshape(-1))
    return np.concatenate(parts)


class Ordered(torch.utils.data.Dataset):
    """Rows in the order drawn beforehand; Trainer reads them one after the other."""

    def __init__(self, features: Sequence[Features], targets: Sequence[Any], order: np.ndarray) -> None:
        self.features, self.targets, self.order = features, targets, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> tuple[Features, Any]:
        row = self.order[index]
        return self.features[row], self.targets[row]


def collate(items: list[tuple[Features, Any]], pad_id: int, with_types: bool) -> dict[str, Any]:
    """A padded batch with its `targets` stacked, by name where they have names."""
    return padded([item for item, _ in items], pad_id, with_types) | {"targets": _joined([target for _, target in items])}


def batches_with_targets(
    model: nn.Module, features: Sequence[Features], targets: Sequence[Any], batch_rows: int = BATCH_ROWS
) -> Iterator[tuple[dict[str, torch.Tensor], Any]]:
    """As `batches_on`, each batch with the targets of its rows, by name where they have names."""
    place, at = next(model.parameters()).device, 0
    for batch in batches_on(model, features, batch_rows):
        rows = len(batch["input_ids"])
        joined = _joined(targets[at : at + rows])
        yield batch, {name: each.to(place) for name, each in joined.items()} if isinstance(joined, dict) else joined.to(place)
        at += rows


def _joined(targets: Sequence[Any]) -> torch.Tensor | dict[str, torch.Tensor]:
    if isinstance(targets[0], dict):
        return {name: _stacked([target[name] for target in targets]) for name in targets[0]}
    return _stacked(targets)


def _stacked(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    """Arrays that differ in their first axis alone, padded to the longest."""
    if arrays[0].ndim == 0 or len({len(array) for array in arrays}) == 1:
        return torch.as_tensor(np.stack(arrays))
    filler = -100 if np.issubdtype(arrays[0].dtype, np.integer) else 0
    whole = np.full((len(arrays), max(len(array) for array in arrays), *arrays[0].shape[1:]), filler, dtype=arrays[0].dtype)
    for row, array in zip(whole, arrays, strict=True):
        row[: len(array)] = array
    return torch.as_tensor(whole)
