"""What the verdict says of a student that learned too little: no better than a constant answer, or still improving at the end."""

from collections.abc import Iterator, Sequence
from math import ceil

from edgepack.pack.manifest import StageRecord
from edgepack.plan.recipe import Recipe


def doubts_of_training(recipe: Recipe, ladder: Sequence[StageRecord]) -> Iterator[str]:
    """Sentences about the last training, by the details of its row."""
    row = _last_training(ladder)
    if row is None:
        return
    if "chance" in row.details:
        score = f" ({row.score.metric} {row.score.value:.3f}, that answer {row.details['chance']:g})" if row.score else ""
        yield (
            f"The student is no better than always the same answer{score}: it has learned nothing of use. "
            "Choose a larger --student, or give more texts with --unlabelled."
        )
    flags = flags_of_longer_training(recipe, ladder)
    if flags:
        yield (
            f"The student, which is the small model, was still improving when its training ended after {row.details['steps']} steps. "
            f"A longer one ({flags}) would make it better."
        )


def flags_of_longer_training(recipe: Recipe, ladder: Sequence[StageRecord]) -> str | None:
    """Twice the last training, by what limited it: stated steps, stated minutes, or neither. None: it was not improving any more."""
    row, training = _last_training(ladder), recipe.training
    if row is None or "still_improving" not in row.details:
        return None
    steps = 2 * int(row.details["steps"])
    if training.training_steps is not None:
        return f"--training-steps {steps}"
    if training.minutes is not None:
        return f"--minutes {2 * training.minutes:g}"
    return f"--epochs {ceil(steps * training.batch_rows / int(row.details['texts']))}"


def _last_training(ladder: Sequence[StageRecord]) -> StageRecord | None:
    return next((row for row in reversed(ladder) if row.stage == "distill"), None)
