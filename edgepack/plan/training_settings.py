"""Training: how a student is distilled, as settings of a recipe, and what a task makes of them."""

from typing import Annotated, Literal

from edgepack.core.errors import EdgepackError
from edgepack.core.fields import Count, CountOrNone, NotNegative, Positive
from edgepack.core.records import Stated
from edgepack.plan.setting import STUDENT, Searched, Setting
from edgepack.tasks import task_named

STATED_RATE = 1e-4  # where epochs are stated and a learning rate is not
TrainingPrecision = Literal["fp32", "bf16"]
_WEIGHT = Searched(values=(0.0, 1.0), by_itself=False)


class Training(Stated):
    """Settings of the distillation. Without epochs a training lasts as long as it brings something: see model/course.py."""

    epochs: Annotated[
        CountOrNone | None,
        Setting(
            "Passes of the distillation over the train split. With 0 a pruned model is not trained.",
            STUDENT,
            unset="as many steps as progress on the dev split needs",
        ),
    ] = None
    training_steps: Annotated[
        Count | None,
        Setting("Stop the distillation after this many steps.", STUDENT, unset="no limit"),
    ] = None
    batch_rows: Annotated[Count, Setting("Texts in each training step of the distillation.", STUDENT)] = 32
    learning_rate: Annotated[
        Positive | None,
        Setting(
            "Learning rate of the distillation.",
            STUDENT,
            unset="found by a short test; with --epochs 0.0001",
            searched=Searched(low=2e-5, high=1e-3, logarithmic=True, by_itself=False),
        ),
    ] = None
    temperature: Annotated[
        Positive,
        Setting(
            "Temperature that softens the teacher's outputs.", STUDENT, searched=Searched(low=1.0, high=8.0, step=1.0, by_itself=False)
        ),
    ] = 2.0
    soft_weight: Annotated[NotNegative | None, Setting("Weight of the teacher's outputs in the loss.", STUDENT, unset="1")] = None
    hidden_weight: Annotated[
        NotNegative | None,
        Setting(
            "Weight of the teacher's hidden states in the loss (TinyBERT).",
            STUDENT,
            unset="1 for text-classification and token-classification, else 0",
            searched=_WEIGHT,
        ),
    ] = None
    relation_weight: Annotated[
        NotNegative | None,
        Setting("Weight of the teacher's attention relations in the loss (MiniLM).", STUDENT, unset="0", searched=_WEIGHT),
    ] = None
    hard_weight: Annotated[
        NotNegative | None, Setting("Weight of the data's own labels in the loss.", STUDENT, unset="0", searched=_WEIGHT)
    ] = None
    training_precision: Annotated[
        TrainingPrecision | None,
        Setting(
            "Precision of the products in the distillation of an encoder; weights and losses stay in fp32.",
            STUDENT,
            unset="bf16 where this CPU has instructions for it, else fp32",
        ),
    ] = None
    minutes: Annotated[
        Positive | None,
        Setting("Stop the distillation after this many minutes, and keep the best checkpoint.", STUDENT, unset="no limit"),
    ] = None


def training_for(task: str, training: Training) -> Training:
    """The same training with the task's weights where none are given. EdgepackError: every weight of the loss would be 0."""
    facts = task_named(task)
    given = {name: getattr(training, name) for name in facts.loss_weights}
    weights = {name: value if given[name] is None else given[name] for name, value in facts.loss_weights.items()}
    if not any(weights.values()):
        raise EdgepackError(
            "every weight of the loss is 0, so the student has nothing to learn from", "leave out --soft-weight 0, or give another weight"
        )
    if weights["hard_weight"] and facts.hard_targets is None:
        weight = f"--hard-weight {weights['hard_weight']:g}"
        raise EdgepackError(f"{weight}: texts for {task} have no labels to learn", "leave --hard-weight out")
    rate = {"learning_rate": STATED_RATE} if training.epochs is not None and training.learning_rate is None else {}
    return training.model_copy(update=weights | rate)
