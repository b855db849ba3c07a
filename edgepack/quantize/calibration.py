"""Texts that quantization may look at, and how many of them each method reads. Pure: no torch, no runtime."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgepack.quantize.coarse_weights import RowWeights
from edgepack.tasks.common.task import Features

SAMPLED_TEXTS = 64  # for an encoder's smoothing and static scales; as many again judge the choice
_RUNNING_TEXTS, _RUNNING_TOKENS = 32, 8192  # for GPTQ: blocks of 256 tokens of running text; of single texts, more
_FEWEST_TOKENS = 512  # GPTQ's moments of fewer tokens fit the texts rather than the language


@dataclass(frozen=True)
class CalibrationTexts:
    """The user's texts, encoded when they are first asked for.

    running: returns the train split in its order. sampled: takes a count and returns so many texts of the train split, drawn
    by the build's seed, with texts of other scripts behind them, and so many of the dev split.
    is_precision_fixed: the user named the precision, so no wider one is tried.
    row_weights: takes texts and returns what errors in a decoder's rows weigh on them; None: there is no torch model to ask.
    """

    running: Callable[[], Sequence[Features]]
    sampled: Callable[[int], tuple[Sequence[Features], Sequence[Features]]]
    is_precision_fixed: bool
    row_weights: Callable[[Sequence[Features]], RowWeights] | None = None


def running_texts(texts: CalibrationTexts) -> tuple[Sequence[Features], int | str]:
    """Texts for GPTQ's moments, and what the report says of them: their count, or why there are none."""
    every = texts.running()
    lengths = sorted(len(text.ids) for text in every) or [0]
    median = max(lengths[len(lengths) // 2], 1)
    count = max(_RUNNING_TEXTS, _RUNNING_TOKENS // median)
    picked = every[:: max(1, len(lengths) // count)][:count]
    if not picked or sum(len(text.ids) for text in picked) >= _FEWEST_TOKENS:
        return picked, len(picked)
    return (), f"none: the train split has fewer than {_FEWEST_TOKENS} tokens"
