"""Which token comes next: greedy, temperature, top-k, top-p. Standard library and numpy; an app's module takes this file as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. temperature 0: always the likeliest; top_k 0 and top_p 1: among all tokens."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


GREEDY = Sampling()


def tokens(decoder, prompt, max_tokens, stop_ids=(), sampling=GREEDY):
    """Yields the tokens that follow `prompt`, without the stop token that ends them; ends too where the decoder has no room left."""
    draw = np.random.default_rng(sampling.seed)
    logits = decoder.step(prompt)
    for left in range(max_tokens - 1, -1, -1):
        token = choose(logits, sampling, draw)
        if token in stop_ids:
            return
        yield token
        if left == 0 or decoder.seen == decoder.positions:
            return
        logits = decoder.step([token])


def choose(logits, sampling, draw) -> int:
    """A token by its logits [vocab]: temperature, then top-k (Fan 2018), then top-p (Holtzman 2020).

    FloatingPointError: logits that are not numbers.
    """
    if not np.isfinite(logits.max()):
        raise FloatingPointError("the model's logits are not numbers")
    if sampling.temperature == 0 or sampling.top_k == 1:
        return int(logits.argmax())
    candidates, scores = np.arange(len(logits)), logits.astype(np.float64)
    if 0 < sampling.top_k < len(logits):
        candidates = np.argpartition(scores, -sampling.top_k)[-sampling.top_k :]
    chances = np.exp((scores[candidates] - scores.max()) / sampling.temperature)
    chances /= chances.sum()
    if sampling.top_p < 1:
        likely = chances >= (1 - sampling.top_p) / len(chances)  # all below add up to less than what is cut: no need to sort them
        candidates, chances = candidates[likely], chances[likely]
        order = np.argsort(-chances)
        count = np.searchsorted(np.cumsum(chances[order]), sampling.top_p) + 1
        candidates, chances = candidates[order[:count]], chances[order[:count]]
    sums = np.cumsum(chances)
    return int(candidates[min(np.searchsorted(sums, draw.random() * sums[-1], side="right"), len(candidates) - 1)])
