"""Whether a decoder's file gives the same answers for a whole prompt as token by token."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.measure.answers import answer
from edgepack.tasks.common.task import Features

_TEXTS, _TOKENS = 6, 64
# The kernels of blocks turn activations to int8 for one token and not for many, which costs where some are very large: SmolLM2-135M
# in 8 bits agrees in 96.2 %, 0.067 nats apart; a Llama of 260 K parameters in 98.9 %, 0.015 nats, and in dynamic int8, with one scale
# for a whole prompt, in 82 %, 0.33 nats. In fp32 it is all of them, and 0.000003.
_LEAST_AGREEMENT, _MOST_NLL = 0.92, 0.15


class Decoding(Frozen):
    """tokens: predictions compared. agreement: share whose likeliest token is the same. nll: mean difference of the true
    token's negative log-likelihood, in nats."""

    tokens: int
    agreement: float
    nll: float


def chosen_texts(features: Sequence[Features]) -> list[Features]:
    """The longest few of the texts, cut: a cache that is wrong shows within tens of tokens."""
    longest = sorted(features, key=lambda item: -len(item.ids))[:_TEXTS]
    return [replace(item, ids=item.ids[:_TOKENS], type_ids=item.type_ids[:_TOKENS]) for item in longest]


def compare_decoding(folder: Path, runtime: str, features: Sequence[Features], threads: int, exact: bool) -> Decoding:
    """Outputs of the file in `folder` for the same texts, at once and with its cache, one token in one inference."""
    texts = [item for item in chosen_texts(features) if len(item.ids) > 1]
    whole, single = (
        np.concatenate(list(answer(folder, runtime, texts, threads, exact, title="check the cache", at_once=count))) for count in (None, 1)
    )
    return Decoding(
        tokens=len(whole),
        agreement=round(float((whole[:, 1] == single[:, 1]).mean()), 4),
        nll=round(float(np.abs(whole[:, 0] - single[:, 0]).mean()), 6),
    )


def check_decoding(decoding: Decoding, what: str) -> None:
    """EdgepackError where a prompt is read otherwise than what follows it: the quantization broke one of the two."""
    if decoding.agreement < _LEAST_AGREEMENT or not decoding.nll <= _MOST_NLL:
        raise EdgepackError(
            f"the {what} file gives other answers for a whole prompt than token by token: "
            f"{decoding.agreement:.1%} of {decoding.tokens} tokens agree "
            f"(limit {_LEAST_AGREEMENT:.0%}), {decoding.nll:.3f} nats apart (limit {_MOST_NLL:g})",
            "choose a wider precision: --precision fp32",
        )
