"""Prompt lookup: the tokens that followed a text's last tokens when they stood in it before are tried as its next ones.

A run of the model scores them all, and those that it would have chosen itself are taken: a text that copies takes fewer runs. Tokens stay
the same as far as sums over several rows are those over one: in fp32 to 1e-5 of a logit. Where activations are rounded to int8, two tokens
that are nearly as likely as each other may change places, as they may where a text is read at once that was written token by token.

Method: Saxena 2023, "Prompt Lookup Decoding"; prompt_lookup_num_tokens of transformers. Standard library alone; an app's module takes
this file as it is.
"""

from __future__ import annotations

MOST_TOKENS = 32  # tried at once: each takes a row of logits
_LONGEST, _SHORTEST = 3, 2  # tokens that are looked up; a single one stands before others too often


class Lookup:
    """What followed each sequence of tokens when it last stood in one text."""

    def __init__(self, most) -> None:
        """most: tokens to try at once."""
        self._most, self._read, self._after = most, 0, {}

    def behind(self, ids, room) -> list:
        """What may follow `ids`: at most `room` tokens, none where nothing is known. The next call's ids begin with these."""
        self._index(ids)
        for size in range(_LONGEST, _SHORTEST - 1, -1):
            place = self._after.get(tuple(ids[-size:]))
            if place is not None:
                return ids[place : place + min(self._most, room)]
        return []

    def _index(self, ids) -> None:
        for place in range(self._read, len(ids)):
            for size in range(_SHORTEST, min(_LONGEST, place) + 1):
                self._after[tuple(ids[place - size : place])] = place
        self._read = len(ids)
