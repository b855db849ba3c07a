"""What the verdict says of a student that learned too little: no better than a constant answer, or still improving at the end."""

from collections.abc import Iterator, Sequence

from edgepack.pack.manifest import StageRecord


def doubts_of_training(ladder: Sequence[StageRecord]) -> Iterator[str]:
    """Sentences about the last training, by the details of its row."""
    row = next((row for row in reversed(ladder) if row.stage == "distill"), None)
    if row is None:
        return
    if "chance" in row.details and row.score:
        yield (
            f"The student is no better than always the same answer ({row.score.metric} {row.score.value:.3f}, that answer "
            f"{row.details['chance']:g}): it has learned nothing of use. Choose a larger --student, or give more texts with --unlabelled."
        )
    if "still_improving" in row.details:
        yield (
            f"The student was still improving when its training ended after {row.details['steps']} steps. "
            "A longer one (--epochs) would make it better."
        )
