"""A training on blocks in a process of its own: python killed_training.py MODEL DATA FOLDER [STEP, at which it kills itself with -9].

Where it ends, FOLDER/trained.pt holds the weights. A checkpoint is written after each epoch.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from edgepack.compress.context import StageContext
from edgepack.compress.distillation import distill
from edgepack.model import training
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.evaluation import run_model
from edgepack.model.material import gather
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import BlockRounding, Distill

STEPS = 80  # the grids are found again before the 51st


def main(model_folder: str, data: str, folder: str, step: str = "0") -> None:
    if int(step):
        _die_at(int(step))
    material = gather(Recipe(model=model_folder, data=data, task="text-generation"))
    model = load_checkpoint(Path(model_folder))
    outputs = run_model(model, material.task, material.train, "teacher", material.task.kept_outputs)
    context = StageContext(material.task, material.rows("train"), material.train, outputs, material.labels, Path(folder), 0)
    layers, hidden = model.config.num_hidden_layers, model.config.hidden_size
    rounding = BlockRounding(bits=4, block=32, asymmetric=True, bf16=False)
    settings = {"layers": layers, "hidden": hidden, "epochs": 40, "batch_rows": 1, "learning_rate": 1e-3, "temperature": 1.0}
    trained = distill(model, Distill(**settings, training_steps=STEPS, rounding=rounding, why=""), context)
    torch.save(trained.state_dict(), Path(folder) / "trained.pt")


def _die_at(last: int) -> None:
    compute, steps = training._LossTrainer.compute_loss, []

    def counted(*given, **named):
        steps.append(1)
        if len(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return compute(*given, **named)

    training._LossTrainer.compute_loss = counted


if __name__ == "__main__":
    main(*sys.argv[1:])
