"""Which token comes next: greedy, temperature, top-k, top-p and the like.

Standard library and numpy; an app's module takes this file as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. temperature 0: always the likeliest. top_k 0, top_p 1 and so on: among all tokens."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0


GREEDY = Sampling()
WINDOWS = ("refuse", "slide")


def sampling_of(answers, temperature=None, top_k=None, top_p=None, seed=0) -> Sampling:
    """What is asked for, and for all that is None what the model's folder says: greedy where it says nothing."""
    get = (answers or {}).get
    if temperature is None:
        temperature = get("temperature", 1.0) if get("do_sample") else 0.0
    top_k = get("top_k", 0) if top_k is None else top_k
    top_p = get("top_p", 1.0) if top_p is None else top_p
    rare = (get("min_p") or 0.0, get("typical_p", 1.0), get("epsilon_cutoff", 0.0), get("eta_cutoff", 0.0))
    return Sampling(temperature, top_k, top_p, seed, *rare)


def most_tokens(answers, prompt_length, asked=None, otherwise=128) -> int:
    """How many tokens to write: as asked, or as the model's folder says, or `otherwise`."""
    get = (answers or {}).get
    if asked is not None:
        return asked
    if get("max_new_tokens"):
        return get("max_new_tokens")
    return max(1, get("max_length") - prompt_length) if get("max_length") else otherwise


def tokens(  # noqa: PLR0913, PLR0917  a setting is a parameter
    decoder, prompt, max_tokens, stop_ids=(), sampling=GREEDY, adjust=None, ended=None, window="refuse", lookup=None
):
    """Yields the tokens that follow `prompt`, without the stop token that ends them. Returns why it ended, and that token: see Written.

    adjust(logits, ids): the logits to choose by, see penalties.py. ended(ids): whether the text ends behind its last token. window
    `slide`: where there is no room left, the first token and the last half of the positions are read again, and the text goes on.
    lookup: what tries several tokens in a run, see lookup.py; for a decoder that scores_several. Each token is chosen by logits of its
    place and by the same draw as without, so that tokens that are drawn stay the same too, as far as several rows' logits are a row's.
    """
    draw = np.random.default_rng(sampling.seed)
    ids, left = list(prompt), max_tokens
    rows, tried = [decoder.step(_fitting(ids, decoder.positions) if window == "slide" else ids)], []
    while True:
        agreed = 0
        for logits in rows:
            token = choose(logits if adjust is None else adjust(logits, ids), sampling, draw)
            if token in stop_ids:
                return "stop", token
            yield token
            ids.append(token)
            left -= 1
            if ended is not None and ended(ids):
                return "stop", None
            if left == 0:
                return "max_tokens", None
            if agreed == len(tried) or token != tried[agreed]:
                break
            agreed += 1
        decoder.length -= len(tried) - agreed
        room = decoder.positions - decoder.length
        if room == 0 and window != "slide":
            return "positions", None
        if room == 0:
            decoder.length = 0
            rows, tried = [decoder.step(_fitting(ids, decoder.positions))], []
        else:
            tried = lookup.behind(ids, min(left, room) - 1) if lookup else []
            rows = decoder.score([token, *tried]) if tried else [decoder.step([token])]


class Written:
    """Tokens as they come. ended_by, when they have ended: stop (a stop token or string), max_tokens or positions (no room left).

    stop_token: the one that ended them, where one did.
    """

    def __init__(self, from_tokens) -> None:
        self.ended_by, self.stop_token, self._tokens = None, None, from_tokens

    def __iter__(self):
        self.ended_by, self.stop_token = yield from self._tokens


def _fitting(ids, positions):
    """All of `ids` where there is room for one more; else the first, which models lean on, and the last half of the positions."""
    return ids if len(ids) < positions else [ids[0], *ids[len(ids) - max(1, positions // 2) :]]


def choose(logits, sampling, draw) -> int:
    """A token by its logits [vocab]. FloatingPointError: logits that are not numbers."""
    if not np.isfinite(logits.max()):
        raise FloatingPointError("the model's logits are not numbers")
    if sampling.temperature == 0 or sampling.top_k == 1:
        return int(logits.argmax())
    candidates, chances = likely(logits, sampling)
    sums = np.cumsum(chances)
    return int(candidates[min(np.searchsorted(sums, draw.random() * sums[-1], side="right"), len(candidates) - 1)])


def likely(logits, sampling) -> tuple:
    """Tokens and their probabilities: temperature, then top-k (Fan 2018), top-p (Holtzman 2020), min-p (Nguyen 2024), typical
    (Meister 2022), epsilon and eta (Hewitt 2022), in the order of transformers. What they leave adds up to any sum above 0."""
    candidates, scores = np.arange(len(logits)), logits.astype(np.float64)
    if 0 < sampling.top_k < len(logits):
        candidates = np.argpartition(scores, -sampling.top_k)[-sampling.top_k :]
    chances = np.exp((scores[candidates] - scores.max()) / sampling.temperature)
    chances /= chances.sum()
    if sampling.top_p < 1:
        mask = chances >= (1 - sampling.top_p) / len(chances)  # all below add up to less than what is cut: no need to sort them
        candidates, chances = candidates[mask], chances[mask]
        order = np.argsort(-chances)
        count = np.searchsorted(np.cumsum(chances[order]), sampling.top_p) + 1
        candidates, chances = candidates[order[:count]], chances[order[:count]]
    for cut, is_on in ((_min_p, sampling.min_p > 0), (_typical, sampling.typical_p < 1), (_rare, _cuts_rare(sampling))):
        if is_on:
            mask = cut(chances / chances.sum(), sampling)
            candidates, chances = candidates[mask], chances[mask]
    return candidates, chances


def _min_p(chances, sampling):
    return chances >= sampling.min_p * chances.max()


def _typical(chances, sampling):
    """Tokens whose surprise is nearest to the expected one, as many as reach the mass."""
    surprise = -np.log(np.maximum(chances, 1e-300))
    distance = np.abs(surprise - (chances * surprise).sum())
    order = np.argsort(distance, kind="stable")
    last = min(int((np.cumsum(chances[order]) < sampling.typical_p).sum()), len(order) - 1)
    mask = distance <= distance[order][last]
    mask[order[0]] = True
    return mask


def _cuts_rare(sampling) -> bool:
    return sampling.epsilon_cutoff > 0 or sampling.eta_cutoff > 0


def _rare(chances, sampling):
    """Tokens above epsilon, then those above eta, which goes by the entropy of what epsilon left; the likeliest stays."""
    mask = (chances >= sampling.epsilon_cutoff) | (chances == chances.max())
    if sampling.eta_cutoff > 0:
        left = np.where(mask, chances, 0)
        left = left / left.sum()
        entropy = -(left * np.log(np.maximum(left, 1e-300))).sum()
        eta = min(sampling.eta_cutoff, np.sqrt(sampling.eta_cutoff) * np.exp(-entropy))
        mask &= (left >= eta) | (left == left.max())
    return mask
