"""The training loop: transformers' Trainer with edgepack's loss. A stopped training continues exactly where it stopped.

The order of all batches is drawn before the first step, and dropout is off, so that a resumed run computes the same bytes
as an unbroken one on the same machine with the same number of threads. Under torchrun each process takes its part of
every batch: `batch_rows` is what all of them do together, and the loss curve is that of one process.
"""

import json
import logging
import math
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from edgepack.core.deadline import check_deadline
from edgepack.core.distributed import agreed, is_first, processes_here, world_size
from edgepack.core.errors import EdgepackError
from edgepack.core.files import hashes_under, write_atomically
from edgepack.core.progress import Bar, bar, say
from edgepack.core.reading import read_json_object
from edgepack.model.batches import Ordered, batch_order, collate
from edgepack.model.best_checkpoint import is_best_intact, keep_best, load_best, remove_best
from edgepack.model.checkpoint import quiet_transformers
from edgepack.model.course import Course
from edgepack.model.evaluation import pad_id_of, takes_types, use_all_cores
from edgepack.plan.training_settings import STATED_RATE, Training
from edgepack.tasks.common.task import Features

_COMPLETE = "edgepack-complete.json"  # written into a checkpoint last: one without it was cut off
_WARM_UP = 0.06  # share of a training
_CHECKPOINTS = 10  # saved over a whole training
_CHECKS_A_SAVE = 3  # of a course
_JUDGING_SHARE = 8  # times as long as a judging takes lie between two of them, under a time limit
_TIMED_END = 0.25  # share of a time limit in which a course's rates fall
_PLAIN_EPOCHS = 5  # where neither epochs nor a course say how long

_SPARE_SECONDS = 2.0  # kept of a time limit for what comes after the last step

BatchLoss = Callable[[nn.Module, dict[str, torch.Tensor], Any], torch.Tensor]
Judge = Callable[[nn.Module], float]


def train(  # noqa: PLR0913, PLR0917
    model: nn.Module,
    features: Sequence[Features],
    targets: Sequence[Any],
    loss: BatchLoss,
    settings: Training,
    folder: Path,
    seed: int,
    title: str,
    judge: Judge | None = None,
    course: Course | None = None,
) -> tuple[nn.Module, int]:
    """Trains `model` in place and returns it, and after how many steps the training ended.

    targets: for each of the features an array, or arrays by name (padded to the longest of a batch: whole numbers with -100,
    others with 0), handed to loss(model, batch, targets of the batch). folder: checkpoints, resumed from where there are
    some. With `settings.minutes` or a course, judge(model) picks the checkpoint that is kept, higher is better; without a judge it is
    the last. course: decides when the training ends, by that judge; None: after `settings.epochs`. EdgepackError: no rows, a loss that
    is not a number any more, or the time of whoever asked is up (core/deadline.py).
    """
    if not features:
        raise EdgepackError("no rows to train on", "give data with a train split")
    use_all_cores(processes_here())
    batch_rows = min(settings.batch_rows, len(features))
    epochs = -(-course.most // (len(features) // batch_rows)) if course else _PLAIN_EPOCHS if settings.epochs is None else settings.epochs
    order = batch_order([len(item.ids) for item in features], settings.batch_rows, epochs, seed)
    limits = [limit for limit in (course and course.most, settings.training_steps) if limit]
    order = order[: min(limits) * batch_rows] if limits else order
    steps = len(order) // batch_rows
    if batch_rows % world_size():
        raise EdgepackError(
            f"{world_size()} processes cannot share batches of {batch_rows} rows", f"choose a --batch-rows that {world_size()} divides"
        )
    folder.mkdir(parents=True, exist_ok=True)
    agreed(_tidied(folder) if is_first() else False)  # the first process does it before the others look
    resume = _last_complete(folder)
    clock = _Clock(spent_seconds(folder))
    if course and resume:
        course.restore(_seal_of(resume)["course"])
    with quiet_transformers(), _dropout_off(model), bar(title, steps) as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("accelerate").setLevel(logging.ERROR)
        trainer = _LossTrainer(
            model=model,
            args=_arguments(folder, settings, batch_rows // world_size(), _save_steps(steps, course), seed),
            train_dataset=Ordered(features, targets, order),
            data_collator=lambda items: collate(items, pad_id_of(model), takes_types(model)),
            callbacks=[_Follow(progress, clock, settings.minutes, judge, course)],
        )
        trainer.clock, trainer.seconds_limit, trainer.course = clock, (settings.minutes or 0) * 60, course
        trainer.batch_loss = loss
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    model = model.eval().cpu()
    if settings.minutes or course:
        agreed(True)  # the first process may still write them
        load_best(folder, model)
    return model, trainer.state.global_step


def bare(model: nn.Module) -> nn.Module:
    """The model itself, out of what trains it in several processes."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


class _LossTrainer(Trainer):
    batch_loss: BatchLoss
    clock: "_Clock"
    seconds_limit: float
    course: Course | None
    loss_is_scaled_for_ga = False

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        targets = inputs.pop("targets")
        loss = self.batch_loss(model, inputs, targets)
        if not math.isfinite(loss.item()):
            saved = _last_complete(Path(self.args.output_dir))
            last_good = f"; {saved.name} is the last good one and stays in {self.args.output_dir}" if saved else ""
            raise EdgepackError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}{last_good}", "choose a lower --learning-rate"
            )
        return loss

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        """Linear, with a warm-up; under a time limit it falls by the time that is gone where that is ahead of the steps."""
        if not self.seconds_limit and not self.course:
            return super().create_scheduler(num_training_steps, optimizer)

        def rate(step: int) -> float:
            if self.course:
                left = 1 - self.clock.seconds() / self.seconds_limit if self.seconds_limit else 1.0
                return self.course.rate(step) * max(0.0, min(1.0, left / _TIMED_END))
            gone = max(step / num_training_steps, min(1.0, self.clock.seconds() / self.seconds_limit))
            return min(step / max(1, _WARM_UP * num_training_steps), gone / _WARM_UP, 1.0) * (1 - gone)

        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, rate)
        return self.lr_scheduler


class _Clock:
    def __init__(self, before: float) -> None:
        self.before, self.started = before, time.monotonic()

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started


class _Follow(TrainerCallback):
    """Moves the bar, seals each checkpoint, stops in time and keeps the best weights until then."""

    def __init__(self, progress: Bar, clock: _Clock, minutes: float | None, judge: Judge | None, course: Course | None) -> None:
        self.progress, self.clock, self.course = progress, clock, course
        self.limit, self.judge = (minutes * 60 if minutes else None), judge
        self.judged_at = clock.seconds()
        self.judging = 0.0  # seconds that the last judging took
        self.last = clock.seconds()

    def on_train_begin(self, args, state, control, **kwargs):
        self.progress.advance(state.global_step)

    def on_step_end(self, args, state, control, **kwargs):
        self.progress.advance(1)
        check_deadline()
        if self.course is not None:
            self._follow_course(self.course, args, state, control, bare(kwargs["model"]))
        if self.limit is None:
            return
        now, step = self.clock.seconds(), self.clock.seconds() - self.last
        self.last = now
        stops = agreed(now + 2 * step + self.judging + _SPARE_SECONDS > self.limit) or state.global_step >= state.max_steps
        waits = max(self.limit / _CHECKPOINTS, _JUDGING_SHARE * self.judging)
        if self.judge and agreed(stops or (self.course is None and now - self.judged_at > waits)):
            self._keep_best(Path(args.output_dir), bare(kwargs["model"]))
            self.last = self.judged_at = self.clock.seconds()
            self.judging = self.judged_at - now
        control.should_training_stop |= stops

    def _follow_course(self, course: Course, args, state, control, model: nn.Module) -> None:
        """The first process checks, and all of them go by what it finds."""
        step = state.global_step
        if step % course.check_steps == 0 or step >= course.last:
            score = self._keep_best(Path(args.output_dir), model) if self.judge else None
            if agreed(course.should_fall(step, None if score is None else -score)):
                course.fall(step)
            control.should_training_stop |= step >= course.last

    def _keep_best(self, folder: Path, model: nn.Module) -> float | None:
        """The score, in the first process."""
        if not is_first() or self.judge is None:
            return None
        score = self.judge(model)
        model.train()
        keep_best(folder, model, score)
        return score

    def on_save(self, args, state, control, **kwargs):
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        agreed(True)  # the others' random states are written too
        if is_first():
            sealed = {"seconds": self.clock.seconds(), "files": hashes_under(checkpoint, without=_COMPLETE)}
            sealed |= {"course": self.course.state()} if self.course else {}
            write_atomically(checkpoint / _COMPLETE, json.dumps(sealed))


def _arguments(folder: Path, settings: Training, batch_rows: int, save_steps: int, seed: int) -> TrainingArguments:
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,  # the order already holds every epoch
        train_sampling_strategy="sequential",
        per_device_train_batch_size=batch_rows,
        learning_rate=settings.learning_rate or STATED_RATE,
        warmup_steps=_WARM_UP,
        weight_decay=0.01,
        max_grad_norm=1.0,
        save_steps=save_steps,
        save_total_limit=2,
        seed=seed,
        bf16=on_gpu and settings.training_precision in (None, "bf16") and torch.cuda.is_bf16_supported(),
        use_cpu=not on_gpu,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        logging_strategy="no",
        ddp_find_unused_parameters=False,
    )


def _save_steps(steps: int, course: Course | None) -> int:
    return course.check_steps * _CHECKS_A_SAVE if course else max(1, math.ceil(steps / _CHECKPOINTS))


def _tidied(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from. Without its best weights a training begins anew: the steps before would not count."""
    if not is_best_intact(folder):
        say(f"the best weights of the training are damaged, or an older edgepack wrote them, and the training begins anew: {folder}")
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        remove_best(folder)  # last: a kill before this line leaves what tells the next run to do the same
    return _last_complete(folder) is not None


def _last_complete(folder: Path) -> Path | None:
    """The newest sealed checkpoint that is as it was saved; those that a kill cut off, or that were damaged, are removed."""
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.removeprefix("checkpoint-")), reverse=True):
        sealed = _seal_of(checkpoint)
        if sealed is not None and sealed.get("files") == hashes_under(checkpoint, without=_COMPLETE):
            return checkpoint
        if sealed is not None:
            say(f"a checkpoint of the training is damaged and is not used: {checkpoint}")
        shutil.rmtree(checkpoint)
    return None


def _seal_of(checkpoint: Path) -> dict[str, Any] | None:
    """None: it has none. Empty where it cannot be read."""
    if not (checkpoint / _COMPLETE).is_file():
        return None
    try:
        return read_json_object(checkpoint / _COMPLETE)
    except EdgepackError:
        return {}


def spent_seconds(folder: Path) -> float:
    """What killed runs have spent on the checkpoints in `folder`."""
    checkpoint = _last_complete(folder)
    return _seal_of(checkpoint)["seconds"] if checkpoint else 0.0


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
