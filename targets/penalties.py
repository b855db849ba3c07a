"""What a model's folder says of its next token, before one is chosen: penalties, and tokens that are forced or forbidden.

Order and arithmetic are those of transformers' generation/logits_process.py, in float32. Standard library and numpy; an app's module
takes this file as it is.
"""

from __future__ import annotations

import numpy as np


class Penalties:
    """Call it with the logits [vocab] and all ids so far. answers: the manifest's; most: of tokens, the prompt's among them."""

    def __init__(self, answers, prompt_length, most, stop_ids=()) -> None:
        answers = answers or {}
        self._prompt, self._most, self._stops = prompt_length, most, sorted(stop_ids)
        get = answers.get
        self._sequences = [(tuple(ids), bias) for ids, bias in get("sequence_bias") or ()]
        self._repetition, self._ngram = get("repetition_penalty", 1.0), get("no_repeat_ngram_size", 0)
        self._bad = [(tuple(ids), -np.inf) for ids in get("bad_words_ids") or () if len(ids) != 1 or ids[0] not in stop_ids]
        self._least, self._least_new = get("min_length", 0), get("min_new_tokens") or 0
        self._forced_first, self._forced_last = get("forced_bos_token_id"), get("forced_eos_token_id")
        self._decay, self._never = get("exponential_decay_length_penalty"), get("suppress_tokens")
        self._not_first = get("begin_suppress_tokens")
        self._begin = prompt_length + (0 if prompt_length > 1 or self._forced_first is None else 1)
        off = (None, None, None, None, None)
        stated = (self._forced_first, self._forced_last, self._decay, self._never, self._not_first)
        lists = self._sequences or self._bad or self._ngram or self._least or self._least_new
        self._idle = self._repetition == 1 and not lists and stated == off

    def __call__(self, logits, ids):
        """New logits where something changes; the same array where nothing can."""
        if self._idle:
            return logits
        scores = np.array(logits, np.float32)
        count, history = len(ids), np.asarray(ids)
        _bias(scores, ids, self._sequences)
        if self._repetition != 1:
            known = np.unique(history[history < len(scores)])
            some, penalty = scores[known], np.float32(self._repetition)
            scores[known] = np.where(some < 0, some * penalty, some / penalty)
        if 0 < self._ngram <= count:
            windows = np.lib.stride_tricks.sliding_window_view(history, self._ngram)
            same = (windows[:, :-1] == history[count + 1 - self._ngram :]).all(axis=1)
            banned = windows[same, -1]
            scores[banned[banned < len(scores)]] = -np.inf
        _bias(scores, ids, self._bad)
        if count < self._least or count - self._prompt < self._least_new:
            scores[self._stops] = -np.inf
        if self._forced_first is not None and count == 1:
            scores = _only([self._forced_first], len(scores))
        if self._forced_last is not None and count == self._most - 1:
            scores = _only(self._forced_last, len(scores))
        if self._decay is not None and count > self._decay[0] + self._prompt:
            start, factor = self._decay[0] + self._prompt, self._decay[1]
            some = scores[self._stops]
            scores[self._stops] = some + np.abs(some) * np.float32(factor ** (count - start) - 1)
        if self._never is not None:
            scores[self._never] = -np.inf
        if self._not_first is not None and count == self._begin:
            scores[self._not_first] = -np.inf
        return scores


def _bias(scores, ids, sequences) -> None:
    """Adds to the last token of every sequence whose other tokens are the last of `ids`."""
    if not sequences:
        return
    added = np.zeros(len(scores), np.float32)
    for sequence, value in sorted(sequences, key=lambda each: len(each[0]) > 1):  # single tokens first: of those the last bias counts
        before = sequence[:-1]
        if not before:
            added[sequence[-1]] = value
        elif tuple(ids[-len(before) :]) == before:
            added[sequence[-1]] += np.float32(value)
    scores += added


def _only(tokens, vocab):
    scores = np.full(vocab, -np.inf, np.float32)
    scores[tokens] = 0
    return scores


class StopStrings:
    """Whether a text ended: one of `strings` ends within its last token. decode: ids to text, special tokens shown."""

    def __init__(self, strings, decode) -> None:
        self._strings, self._decode = tuple(strings or ()), decode
        self._tail = 4 * max([len(string) for string in self._strings], default=0) + 4  # tokens that hold the longest of them

    def __call__(self, ids) -> bool:
        if not self._strings:
            return False
        tail = list(ids[-self._tail :])
        text, before = self._decode(tail), len(self._decode(tail[:-1]).rstrip("\ufffd"))
        return any(text.find(string, max(0, before - len(string) + 1)) >= 0 for string in self._strings)
