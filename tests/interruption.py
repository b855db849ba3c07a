"""A training that is stopped in its middle, as Ctrl-C stops one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgepack.model import training


@contextmanager
def stopped_at(step: int) -> Iterator[None]:
    """The block has to train for so many steps: the loss of that one raises KeyboardInterrupt, which ends the block."""
    calls = []

    def stopped(self, model, inputs, *rest, original=training._LossTrainer.compute_loss, **named):
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        return original(self, model, inputs, *rest, **named)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training._LossTrainer, "compute_loss", stopped)
        yield
