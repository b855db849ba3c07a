"""Texts become token ids exactly as the teacher's tokenizer makes them, cut where it cuts them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from .errors import BadInput, ModuleError, NotText

_STRIDE = 64  # tokens that two windows of a long context share, as when the model was measured


@dataclass(frozen=True)
class Encoded:
    """words: for each token the index of its word, None for special tokens; offsets: of the context's tokens in a window, else None.

    places: for each token its start and end, in a word where words were given; text_tokens: the positions of all tokens but special ones.
    """

    ids: list
    type_ids: list
    cut: bool = False
    words: tuple = ()
    offsets: tuple = ()
    places: tuple = ()
    text_tokens: tuple = ()


class Texts:
    """A pack's tokenizer, set up once for the task; calls change nothing, so threads may share it."""

    def __init__(self, folder: Path, manifest: dict) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except BaseException as error:
            if not _is_of_library(error):
                raise
            raise ModuleError("tokenizer.json cannot be read: {!r}".format(str(error)[:200]), "build the pack again") from None
        self._tokenizer.no_padding()
        self._start_id = manifest.get("start_id")  # older packs state none
        self._rows = manifest.get("vocab")
        length, task = manifest["max_length"], manifest["task"]
        if task == "text-generation":
            self._tokenizer.no_truncation()  # a prompt that is too long is an error, not another prompt
        elif task == "question-answering":
            self._tokenizer.enable_truncation(
                length, stride=min((manifest.get("answers") or {}).get("stride", _STRIDE), length // 4), strategy="only_second"
            )
        else:
            self._tokenizer.enable_truncation(length, direction=(self._tokenizer.truncation or {}).get("direction", "right"))

    def text(self, text, pair=None, reads_empty_pair=False, may_be_empty=False) -> Encoded:
        """One text, or a pair of them. BadInput where nothing is left of it, unless it may be empty.

        An empty second text is none, as for transformers' pipeline. reads_empty_pair: it is a text, as for a CrossEncoder.
        """
        check_text(text, "text")
        if pair is not None:
            check_text(pair, "the second text")
        return _encoded(self._asked(text, pair if pair or reads_empty_pair else None), may_be_empty)

    def words(self, words) -> Encoded:
        for word in words:
            check_text(word, "a word")
        return _encoded(self._asked(list(words), is_pretokenized=True))

    def windows(self, question, context) -> list:
        """A question with its context, in overlapping windows where that is too long for one."""
        check_text(question, "question")
        check_text(context, "context")
        first = self._asked(question, context)
        return [self._window(self._checked(encoding)) for encoding in (first, *first.overflowing)]

    def prompt(self, text) -> list:
        """Ids of a prompt, with the special tokens around it; none where the tokenizer makes none of it: see `start`."""
        check_text(text, "prompt")
        return self._asked(text).ids

    def start(self) -> list:
        """What stands in the place of a prompt without tokens, as for transformers' generate. BadInput: the model names no such token."""
        if self._start_id is None:
            raise BadInput("the prompt is empty: no tokens, and the model has none to begin with", "give the text to continue")
        return [self._start_id]

    def token(self, token_id: int) -> str:
        return self._tokenizer.id_to_token(token_id) or ""

    def chat(self, text) -> list:
        """Ids of a conversation that was rendered: its special tokens stand in the text."""
        return self._asked(text, add_special_tokens=False).ids

    def decode(self, ids, with_special=False) -> str:
        try:
            return self._tokenizer.decode(ids, skip_special_tokens=not with_special)
        except BaseException as error:
            if not _is_of_library(error):
                raise
            raise ModuleError("the tokenizer makes no text of what was written: {}".format(error), "build the pack again") from None

    def _asked(self, *texts, **how):
        """BadInput, too, where a pattern never ends on the text, or the vocabulary has no token for a word that it does not know."""
        try:
            return self._checked(self._tokenizer.encode(*texts, **how))
        except ModuleError:
            raise
        except BaseException as error:
            if not _is_of_library(error):
                raise
            if "truncat" in str(error).lower():  # the first of two texts is never cut
                raise BadInput("the question leaves no room for the context: {}".format(error), "shorten the question") from None
            raise BadInput("the tokenizer gives up on this text: {}".format(error), "give another text") from None

    def _checked(self, encoding):
        """ModuleError where the model has no row for a token: some runtimes read what lies behind the table then."""
        if self._rows is not None and max(encoding.ids, default=0) >= self._rows:
            problem = "the tokenizer makes token {} of this text, and the model knows {} tokens".format(max(encoding.ids), self._rows)
            raise ModuleError(problem, "build the pack again")
        return encoding

    @staticmethod
    def _window(encoding) -> Encoded:
        offsets = tuple(span if part == 1 else None for span, part in zip(encoding.offsets, encoding.sequence_ids))
        return Encoded(encoding.ids, encoding.type_ids, offsets=offsets)


def _is_of_library(error: BaseException) -> bool:
    """It raises nothing narrower, and what is no Exception where it gives up in Rust."""
    return isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime"


def check_text(value, what: str) -> None:
    """NotText for anything but str; BadInput for a str that is no Unicode text."""
    if not isinstance(value, str):
        raise NotText("{} must be str, not {}: {}".format(what, type(value).__name__, repr(value)[:60]), "give a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadInput("{} holds half a character at {}: a lone surrogate".format(what, error.start), "decode the text anew") from None


def split_words(text: str) -> list:
    """(start, end) of every word: runs without white space, less punctuation and symbols at their ends, which are words of their own.

    As corpora with tagged words do it, which such models learn from; written so that other languages can do it alike.
    """
    spans = []
    at = 0
    for run in text.split():
        start = text.index(run, at)
        at = end = start + len(run)
        first, last = start, end
        while first < last and not _in_a_word(text[first]):
            first += 1
        while last > first and not _in_a_word(text[last - 1]):
            last -= 1
        spans += [(place, place + 1) for place in range(start, first)]
        spans += [(first, last)] if first < last else []
        spans += [(place, place + 1) for place in range(last, end)]
    return spans


def split_characters(text: str) -> list:
    """(start, end) of every character that is no white space."""
    return [(index, index + 1) for index, character in enumerate(text) if not character.isspace()]


WORDS = {"white-space": split_words, "characters": split_characters}


def _in_a_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _encoded(encoding, may_be_empty=False) -> Encoded:
    if not (encoding.ids or may_be_empty):
        raise BadInput("nothing is left of the text: no tokens", "give a text with at least one character that the model knows")
    text_tokens = tuple(index for index, special in enumerate(encoding.special_tokens_mask) if not special)
    words, places, cut = tuple(encoding.word_ids), tuple(encoding.offsets), bool(encoding.overflowing)
    return Encoded(encoding.ids, encoding.type_ids, cut=cut, words=words, places=places, text_tokens=text_tokens)
