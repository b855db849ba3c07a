"""A decoder's text, piece by piece. Every text has keys and values of its own, so several may be written at once."""

from __future__ import annotations

import time

from .errors import BadInput, ModuleError
from .results import Generated, Piece
from .sampling import Sampling, tokens

_NOT_WHOLE = "\ufffd"  # what a tokenizer shows for bytes that are no character, or none yet


def write(model, prompt: str, **settings) -> Generated:
    """The whole of stream(), with its tokens."""
    found = _Writing(model, prompt, **settings)
    text = "".join(piece.text for piece in found.pieces())
    return Generated(text, tuple(found.tokens), len(found.prompt), found.ended_by())


def stream(model, prompt: str, **settings):
    """Pieces of the text behind `prompt`, at most `max_tokens` (128) tokens in `seconds` (no limit).

    temperature 0, the default, takes the likeliest token each time; above, tokens are drawn by `seed` from the `top_k` likeliest (0:
    all) and from those that together reach the probability `top_p`. BadInput: an empty prompt, or one of more tokens than the model
    has positions.
    """
    return _Writing(model, prompt, **settings).pieces()


class _Writing:
    def __init__(self, model, prompt, max_tokens=128, temperature=0.0, top_k=0, top_p=1.0, seed=0, seconds=None) -> None:
        ok = max_tokens > 0 and 0 <= temperature < float("inf") and top_k >= 0 and 0 < top_p <= 1 and seed >= 0
        if not ok:
            wanted = "max_tokens from 1, temperature, top_k and seed from 0, top_p above 0 and up to 1"
            raise BadInput("settings out of range", wanted)
        manifest = model.manifest
        self.prompt, self.tokens = model.texts.prompt(prompt), []
        if len(self.prompt) > manifest["positions"]:
            problem = "the prompt has {} tokens, the model {} positions".format(len(self.prompt), manifest["positions"])
            raise BadInput(problem, "shorten the prompt: what is generated needs room too")
        self._texts, self._stop_ids = model.texts, set(manifest["stop_ids"])
        self._max_tokens, self._sampling = max_tokens, Sampling(temperature, top_k, top_p, seed)
        self._positions, self._until = manifest["positions"], None if seconds is None else time.monotonic() + seconds
        self._late = False
        self._decoder = model.session.decoder(min(len(self.prompt) + max_tokens - 1, manifest["positions"]))

    def ended_by(self) -> str:
        if self._late:
            return "seconds"
        if len(self.tokens) == self._max_tokens:
            return "max_tokens"
        return "positions" if self._decoder.seen == self._positions else "stop"

    def pieces(self):
        """A character of several tokens waits for its last."""
        ids = list(self.prompt)
        shown = text = self._texts.decode(ids)
        for token in self._in_time():
            self.tokens.append(token)
            ids.append(token)
            text = self._texts.decode(ids)
            certain = text.rstrip(_NOT_WHOLE)
            if len(certain) > len(shown) and certain.startswith(shown):
                yield Piece(certain[len(shown) :])
                shown = certain
        if len(text) > len(shown):  # bytes that never became a character
            yield Piece(text[len(shown) :])
        return self.ended_by()

    def _in_time(self):
        try:
            for token in tokens(self._decoder, self.prompt, self._max_tokens, self._stop_ids, self._sampling):
                yield token
                if self._until is not None and time.monotonic() > self._until:
                    self._late = True
                    return
        except FloatingPointError as error:
            raise ModuleError(str(error), "run the self-test; build the pack in a wider precision") from None
