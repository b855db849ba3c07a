"""A decoder's text, piece by piece. Every text has keys and values of its own, so several may be written at once."""

from __future__ import annotations

import time

from .errors import BadInput, ModuleError
from .lookup import MOST_TOKENS, Lookup
from .penalties import Penalties, StopStrings
from .results import Generated, Piece
from .sampling import WINDOWS, Written, most_tokens, sampling_of, tokens

_NOT_WHOLE = "\ufffd"  # what a tokenizer shows for bytes that are no character, or none yet


def write(model, prompt=None, messages=None, **settings) -> Generated:
    """The whole of stream(), with its tokens."""
    writing = _Writing(model, _ids(model, prompt, messages), **settings)
    text = "".join(piece.text for piece in writing.pieces())
    return Generated(text, tuple(writing.tokens), len(writing.prompt), writing.ended_by)


def stream(model, prompt=None, messages=None, **settings):
    """Pieces of the text behind `prompt`, or of the answer to `messages`, at most `max_tokens` tokens in `seconds` (no limit).

    messages: [{"role": "user", "content": "..."}, ...], or such a list in the prompt's place, for a model with a chat template. What is
    left out is as the model's folder says: max_tokens (128 where it says nothing), temperature, top_k, top_p. temperature 0 takes the
    likeliest token each time; above, tokens are drawn by `seed` from the `top_k` likeliest (0: all) and from those that together reach
    the probability `top_p`.
    window: `refuse`, or `slide` to go on where the model has no position left, with the last half of them.
    With lookup_tokens, up to 32 of them, tokens that followed the text's last ones before are tried at once, which is faster where an
    answer repeats its prompt; see lookup.py. Not for TFLite files, nor for ONNX files of earlier releases.
    The text is that of the new tokens alone, as transformers' pipeline gives it: a tokenizer that writes no blank before the first word
    of a text writes none before the first new word either. A prompt without tokens is the model's start token, where it names one.
    BadInput: no token to begin with, a prompt of more tokens than the model has positions, messages that the template refuses, or
    lookup_tokens of a file that cannot.
    """
    return Pieces(_Writing(model, _ids(model, prompt, messages), **settings))


class Pieces:
    """An iterator over pieces of text, which raises StopIteration with the way that the text ended. tokens: those written so far."""

    def __init__(self, writing) -> None:
        self._pieces = writing.pieces()
        self.prompt_tokens, self.tokens = len(writing.prompt), writing.tokens

    def __iter__(self):
        return self

    def __next__(self) -> Piece:
        return next(self._pieces)

    def close(self) -> None:
        """Ends the writing."""
        self._pieces.close()


def _ids(model, prompt, messages) -> list:
    if isinstance(prompt, (list, tuple)) and messages is None:
        prompt, messages = None, prompt
    if (prompt is None) == (messages is None):
        raise BadInput("give either a prompt or messages", "messages are for a model with a chat template")
    if messages is None:
        return model.texts.prompt(prompt)
    from .chat import rendered

    return model.texts.chat(rendered(model.manifest.get("answers"), messages))


class _Writing:
    def __init__(  # noqa: PLR0913, PLR0917  a setting is a parameter
        self, model, prompt, max_tokens=None, temperature=None, top_k=None, top_p=None, seed=0, seconds=None, window="refuse",
        lookup_tokens=0,
    ) -> None:  # fmt: skip
        manifest, answers = model.manifest, model.manifest.get("answers")
        self._lead = [] if prompt else model.texts.start()  # it belongs to the text, unless it is a special token
        self.prompt = prompt = prompt or self._lead
        self.tokens = []
        self._max_tokens = most_tokens(answers, len(prompt), max_tokens)
        self._sampling = sampling = sampling_of(answers, temperature, top_k, top_p, seed)
        ok = 0 <= sampling.temperature < float("inf") and sampling.top_k >= 0 and 0 < sampling.top_p <= 1 and seed >= 0
        if not ok or self._max_tokens < 1 or window not in WINDOWS or not 0 <= lookup_tokens <= MOST_TOKENS:
            wanted = "max_tokens from 1, temperature, top_k and seed from 0, top_p above 0 and up to 1, window refuse or slide"
            raise BadInput("settings out of range", "{}, lookup_tokens up to {}".format(wanted, MOST_TOKENS))
        self._positions, self._window = manifest["positions"], window
        if len(prompt) > self._positions and window != "slide":
            problem = "the prompt has {} tokens, the model {} positions".format(len(prompt), self._positions)
            raise BadInput(problem, "shorten the prompt, as what is generated needs room too, or ask with window slide")
        self._texts, self._stop_ids = model.texts, set(manifest["stop_ids"])
        self._adjust = Penalties(answers, len(prompt), len(prompt) + self._max_tokens, self._stop_ids)
        self._ends = StopStrings((answers or {}).get("stop_strings"), lambda ids: model.texts.decode(ids, with_special=True))
        self._until = None if seconds is None else time.monotonic() + seconds
        self.ended_by = None
        self._decoder = decoder = model.session.decoder(min(len(prompt) + self._max_tokens - 1, self._positions))
        self._lookup = Lookup(lookup_tokens) if lookup_tokens else None
        if lookup_tokens and not decoder.scores_several:
            problem = "the model's file scores one token a run, so that no tokens can be looked up"
            raise BadInput(problem, "leave lookup_tokens out, or build the pack again, as ONNX")

    def pieces(self):
        """A character of several tokens waits for its last. The token that ends a text is shown, unless it is a special one."""
        ids, shown, text = list(self._lead), "", ""
        for token in self._in_time():
            ids.append(token)
            text = self._texts.decode(ids)
            certain = text.rstrip(_NOT_WHOLE)
            if len(certain) > len(shown) and certain.startswith(shown):
                yield Piece(certain[len(shown) :])
                shown = certain
        if len(text) > len(shown):  # bytes that never became a character
            yield Piece(text[len(shown) :])
        return self.ended_by

    def _in_time(self):
        asked = (self._decoder, self.prompt, self._max_tokens, self._stop_ids, self._sampling, self._adjust, self._ends, self._window)
        written = Written(tokens(*asked, self._lookup))
        try:
            for token in written:
                self.tokens.append(token)
                yield token
                if self._until is not None and time.monotonic() > self._until:
                    self.ended_by = "seconds"
                    return
            self.ended_by = written.ended_by
            if written.stop_token is not None:
                yield written.stop_token
        except FloatingPointError as error:
            raise ModuleError(str(error), "run the self-test; build the pack in a wider precision") from None
