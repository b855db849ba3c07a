"""The training loop: transformers' Trainer with a loss of ours, that stops at any moment and goes on as if it had not.

The order of all batches is drawn before the first step, and dropout is off, so that a resumed run computes the same bytes
as an unbroken one on the same machine with the same number of threads.
"""

import json
import logging
import math
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from edgepack.errors import EdgepackError
from edgepack.model.checkpoint import quiet_transformers
from edgepack.model.evaluation import pad_id_of, padded, takes_types, use_all_cores
from edgepack.model.tasks import Features
from edgepack.progress import Bar, bar
from edgepack.recipe import Training

_COMPLETE = "edgepack-complete.json"  # written into a checkpoint last: one without it was cut off
_POOL_BATCHES = 20  # batches that are drawn together and sorted by length: less padding, still random
_CHECKPOINTS = 10  # saved over a whole training

BatchLoss = Callable[[nn.Module, dict[str, torch.Tensor], torch.Tensor], torch.Tensor]


def train(
    model: nn.Module,
    features: Sequence[Features],
    targets: np.ndarray,
    loss: BatchLoss,
    settings: Training,
    folder: Path,
    seed: int,
    title: str,
) -> nn.Module:
    """Trains `model` in place and returns it.

    targets: [rows, ...], handed to loss(model, batch, targets of the batch). folder: checkpoints, resumed from where there
    are some. EdgepackError: no rows, or a loss that is no number any more.
    """
    if not features:
        raise EdgepackError("no rows to train on", "give data with a train split")
    use_all_cores()
    order = batch_order([len(item.ids) for item in features], settings.batch_rows, settings.epochs, seed)
    batch_rows = min(settings.batch_rows, len(features))
    steps = len(order) // batch_rows
    folder.mkdir(parents=True, exist_ok=True)
    resume = _last_complete(folder)
    clock = _Clock(spent_seconds(folder))
    with quiet_transformers(), _dropout_off(model), bar(title, steps) as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("accelerate").setLevel(logging.ERROR)
        trainer = _LossTrainer(
            model=model,
            args=_arguments(folder, settings, batch_rows, steps, seed),
            train_dataset=_Ordered(features, targets, order),
            data_collator=lambda items: _collate(items, pad_id_of(model), takes_types(model)),
            callbacks=[_Follow(progress, clock)],
        )
        trainer.batch_loss = loss
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return model.eval().cpu()


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


class _Ordered(torch.utils.data.Dataset):
    """Rows in the order drawn beforehand; Trainer reads them one after the other."""

    def __init__(self, features: Sequence[Features], targets: np.ndarray, order: np.ndarray) -> None:
        self.features, self.targets, self.order = features, targets, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> tuple[Features, np.ndarray]:
        row = self.order[index]
        return self.features[row], self.targets[row]


def _collate(items: list[tuple[Features, np.ndarray]], pad_id: int, with_types: bool) -> dict[str, torch.Tensor]:
    batch = padded([item for item, _ in items], pad_id, with_types)
    batch["targets"] = torch.as_tensor(np.stack([target for _, target in items]))
    return batch


class _LossTrainer(Trainer):
    batch_loss: BatchLoss
    loss_is_scaled_for_ga = False

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        targets = inputs.pop("targets")
        loss = self.batch_loss(model, inputs, targets)
        if not math.isfinite(loss.item()):
            raise EdgepackError(f"the loss is {loss.item()} at step {self.state.global_step + 1}", "choose a lower --learning-rate")
        return loss


class _Clock:
    def __init__(self, before: float) -> None:
        self.before, self.started = before, time.monotonic()

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started


class _Follow(TrainerCallback):
    """Moves the bar, and seals each checkpoint."""

    def __init__(self, progress: Bar, clock: _Clock) -> None:
        self.progress, self.clock = progress, clock

    def on_train_begin(self, args, state, control, **kwargs):
        self.progress.advance(state.global_step)

    def on_step_end(self, args, state, control, **kwargs):
        self.progress.advance(1)

    def on_save(self, args, state, control, **kwargs):
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (checkpoint / _COMPLETE).write_text(json.dumps({"seconds": self.clock.seconds()}))


def _arguments(folder: Path, settings: Training, batch_rows: int, steps: int, seed: int) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,  # the order already holds every epoch
        train_sampling_strategy="sequential",
        per_device_train_batch_size=batch_rows,
        learning_rate=settings.learning_rate,
        warmup_steps=0.06,
        weight_decay=0.01,
        max_grad_norm=1.0,
        save_steps=max(1, math.ceil(steps / _CHECKPOINTS)),
        save_total_limit=2,
        seed=seed,
        bf16=on_gpu and torch.cuda.is_bf16_supported(),
        use_cpu=not on_gpu,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        logging_strategy="no",
    )


def _last_complete(folder: Path) -> Path | None:
    """The newest sealed checkpoint; those that a kill cut off are removed."""
    sealed = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / _COMPLETE).is_file():
            sealed.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(sealed, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def spent_seconds(folder: Path) -> float:
    """What killed runs have spent on the checkpoints in `folder`."""
    checkpoint = _last_complete(folder)
    return json.loads((checkpoint / _COMPLETE).read_text())["seconds"] if checkpoint else 0.0


class _dropout_off:
    """Sets every dropout to 0 while the block runs: a teacher's soft targets regularise enough, and resuming stays exact."""

    def __init__(self, model: nn.Module) -> None:
        self.dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]

    def __enter__(self) -> None:
        self.before = [module.p for module in self.dropouts]
        for module in self.dropouts:
            module.p = 0.0

    def __exit__(self, *_) -> None:
        for module, p in zip(self.dropouts, self.before, strict=True):
            module.p = p
