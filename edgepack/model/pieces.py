"""Which tokens of a tokenizer a corpus needs, so that each of its texts keeps its tokens; and what other texts lose.

Why the pieces stay the same, by kind. A cut vocabulary holds a part of the old pieces, so whatever is chosen as the best of
all stays the best of those left:
- WordPiece takes the longest piece that matches, and each that it took is kept.
- BPE merges the earliest merge that applies, and every merge on the way to a kept piece is kept. (A piece is built by the
  same merges wherever it stands: no merge across its ends ever came first.)
- Unigram takes the path of the highest score. The score of an unknown character hangs on the lowest score of all pieces, so
  that piece stays too; a single character that goes leaves an unknown one behind, which scores less than it did.
"""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tokenizers import Encoding, Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from edgepack.model.tokenizer_surgery import cut_tokenizer, is_byte_level, kind_of, merges_of, named_ids, order_of, vocabulary_of
from edgepack.tasks.common.task import Text

_BATCH_TEXTS = 1000
_LONGEST_PIECE = 24  # characters: no word is built of longer ones
_LOST_TOKENS = 0.03  # of unseen texts, at most: at 18 % SST-2 lost 6.7 points, at 2.8 % 0.7 (benchmarks/RESULTS.md, Vocabulary)
_MOST_KEPT = 0.9  # of all pieces: more for the sake of unseen texts would leave no cut
_NEVER_WRITTEN = re.compile(r"\[unused\d+\]|<unused\d+>|<extra_id_\d+>|<0x[0-9A-F]{2}>")  # places that makers of models keep free
_SCRIPT_SHARE = 0.01  # of the letters: a script used less is a quotation, and CJK alone would bring in thousands of characters


@dataclass(frozen=True)
class VocabularyCut:
    """`spec`: the new tokenizer.json. `order`: the old id of every new id. `common`: pieces that stay for unseen texts alone."""

    old: dict[str, Any]
    spec: dict[str, Any]
    order: list[int]
    common: int = 0

    @cached_property
    def before(self) -> Tokenizer:
        return _plain(self.old)

    @cached_property
    def after(self) -> Tokenizer:
        return _plain(self.spec)

    @cached_property
    def sha256(self) -> str:
        """Over both tokenizers."""
        return hashlib.sha256(json.dumps([self.old, self.spec], sort_keys=True).encode()).hexdigest()

    @cached_property
    def new_id(self) -> dict[int, int]:
        return {old: new for new, old in enumerate(self.order)}

    def changed(self, texts: Sequence[Text]) -> list[int]:
        """Indices of the texts whose pieces, or the places where they stand, are no longer the same."""
        pairs = zip(encode(self.before, texts), encode(self.after, texts), strict=True)
        return [
            index
            for index, (old, new) in enumerate(pairs)
            if [self.new_id.get(piece) for piece in old.ids] != new.ids or old.offsets != new.offsets
        ]


def cut_to_corpus(
    spec: dict[str, Any], texts: Sequence[Text], also: Iterable[int] = (), place: str = "tokenizer.json", unseen: Sequence[Text] = ()
) -> VocabularyCut:
    """The tokenizer `spec` with what `texts` need; `also` are ids that stay whatever happens.

    Other pieces that stay: added and special tokens; all byte symbols; single characters that occur in a kept piece, are
    ASCII, punctuation or currency signs, or belong to a script that makes up a hundredth of the corpus's letters; of WordPiece and Unigram
    what occurs inside a word of the corpus, for unseen words of the same language are built of that. A small corpus shows few words, so
    the commonest other pieces stay too, until `unseen` texts keep all but a small share of their tokens.
    """
    kind = kind_of(spec, place)
    vocab, before = vocabulary_of(spec), _plain(spec)
    kept_ids = {piece for encoding in encode(before, texts) for piece in encoding.ids} | named_ids(spec) | set(also)
    kept_ids |= _byte_pieces(spec, vocab)
    if kind == "Unigram":
        scores = [score for _, score in spec["model"]["vocab"]]
        kept_ids.add(scores.index(min(scores)))
    pieces = {index: piece for piece, index in vocab.items()}
    if not is_byte_level(spec):
        kept_ids |= _single_characters(spec, vocab, {pieces[index] for index in kept_ids if index in pieces}, texts)
    if kind != "BPE":  # whose every piece brings the merges that build it
        kept_ids |= {vocab[piece] for piece in _inside_words(before, spec, texts, vocab)}
    common = _commonest(before, pieces, kept_ids, None if is_byte_level(spec) else _scripts(texts), unseen)
    kept_ids |= common
    cut = replace(_cut(spec, kept_ids, vocab), common=len(common))
    if lost := cut.changed(texts):  # a WordPiece word that ends as unknown took pieces on the way which no text shows
        kept_ids |= {vocab[piece] for index in lost for piece in _pieces_inside(before, spec, texts[index]) if piece in vocab}
        cut = replace(_cut(spec, kept_ids, vocab), common=len(common))
        if lost := cut.changed(texts):
            raise RuntimeError(f"{len(lost)} of {len(texts)} texts changed their pieces, the first: {texts[lost[0]]!r:.80}")
    return cut


def losses(cut: VocabularyCut, texts: Sequence[Text]) -> dict[str, float | int]:
    """What texts that were not in the corpus lose; shares are of texts and of tokens (special tokens left out)."""
    if not texts:
        return {}
    old, new = (list(encode(tokenizer, texts, special=False)) for tokenizer in (cut.before, cut.after))
    old_tokens, new_tokens = (max(1, sum(len(encoding.ids) for encoding in each)) for each in (old, new))
    return {
        "unseen_texts": len(texts),
        "unseen_changed_share": round(len(cut.changed(texts)) / len(texts), 6),
        "unseen_tokens_per_text_before": round(old_tokens / len(texts), 3),
        "unseen_tokens_per_text_after": round(new_tokens / len(texts), 3),
        "unseen_unknown_share_before": round(_unknown(cut.old, cut.before, old) / old_tokens, 6),
        "unseen_unknown_share_after": round(_unknown(cut.spec, cut.after, new) / new_tokens, 6),
    }


def encode(tokenizer: Tokenizer, texts: Sequence[Text], special: bool = True) -> Iterator[Encoding]:
    """Each text by itself, in order: strings whole, tuples word by word."""
    for at in range(0, len(texts), _BATCH_TEXTS):
        group = texts[at : at + _BATCH_TEXTS]
        words = iter(tokenizer.encode_batch([list(t) for t in group if isinstance(t, tuple)], True, special))
        strings = iter(tokenizer.encode_batch([t for t in group if isinstance(t, str)], False, special))
        yield from (next(words) if isinstance(text, tuple) else next(strings) for text in group)


def _plain(spec: dict[str, Any]) -> Tokenizer:
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _cut(spec: dict[str, Any], kept_ids: set[int], vocab: dict[str, int]) -> VocabularyCut:
    if "merges" in spec["model"]:
        kept_ids = kept_ids | _merge_chains(spec, kept_ids, vocab)
    order = order_of(spec, kept_ids)
    order += sorted(kept_ids - set(order))  # rows that a config names and the tokenizer has no piece for
    return VocabularyCut(spec, cut_tokenizer(spec, order), order)


def _merge_chains(spec: dict[str, Any], kept_ids: set[int], vocab: dict[str, int]) -> set[int]:
    """Every piece on the way from single symbols to a kept piece."""
    ranks = {merge: rank for rank, merge in reversed(list(enumerate(merges_of(spec))))}
    prefix, suffix = (spec["model"].get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix"))
    ids: set[int] = set()
    for piece, index in vocab.items():
        if index in kept_ids:
            ids |= {vocab[part] for part in _parts(piece, ranks, prefix, suffix) if part in vocab}
    return ids


def _parts(piece: str, ranks: dict[tuple[str, str], int], prefix: str, suffix: str) -> Iterator[str]:
    """Symbols and merged parts of a piece in the order in which BPE makes them (Sennrich 2016)."""
    inside = bool(prefix) and piece.startswith(prefix)
    ends = bool(suffix) and piece.endswith(suffix)
    characters = piece.removeprefix(prefix).removesuffix(suffix) if prefix or suffix else piece
    symbols = [(prefix if inside or index else "") + character for index, character in enumerate(characters)]
    if ends and symbols:
        symbols[-1] += suffix
    yield from symbols
    while len(symbols) > 1:
        rank, at = min((ranks.get((symbols[at], symbols[at + 1]), len(ranks)), at) for at in range(len(symbols) - 1))
        if rank == len(ranks):
            return
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1][len(prefix) :]]
        yield symbols[at]


def _byte_pieces(spec: dict[str, Any], vocab: dict[str, int]) -> set[int]:
    wanted = ByteLevel.alphabet() if is_byte_level(spec) else []
    if spec["model"].get("byte_fallback"):
        wanted = [*wanted, *(f"<0x{byte:02X}>" for byte in range(256))]
    return {vocab[piece] for piece in wanted if piece in vocab}


def _single_characters(spec: dict[str, Any], vocab: dict[str, int], pieces: set[str], texts: Sequence[Text]) -> set[int]:
    prefix, suffix = (spec["model"].get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix"))
    known = {character for piece in pieces for character in piece}
    scripts = _scripts(texts)
    ids = set()
    for piece, index in vocab.items():
        character = piece.removeprefix(prefix) if prefix and len(piece) > 1 else piece
        character = character.removesuffix(suffix) if suffix and len(character) > 1 else character
        if len(character) == 1 and (character in known or _is_common(character) or _script(character) in scripts):
            ids.add(index)
    return ids


def _scripts(texts: Sequence[Text]) -> set[str]:
    """Scripts that make up a hundredth of the letters or more."""
    characters: Counter[str] = Counter()
    for text in texts:
        for part in (text,) if isinstance(text, str) else text:
            characters.update(part)
    counts: Counter[str] = Counter()
    for character, count in characters.items():
        counts[_script(character)] += count
    counts.pop("", None)
    return {script for script, count in counts.items() if count >= _SCRIPT_SHARE * counts.total()}


def _script(character: str) -> str:
    """LATIN, CYRILLIC, CJK ...: a letter's or mark's Unicode name begins with its script; '' for other characters."""
    return unicodedata.name(character, "").split(" ")[0] if unicodedata.category(character)[0] in "LM" else ""


def _is_common(character: str) -> bool:
    return character.isascii() or unicodedata.category(character)[0] == "P" or unicodedata.category(character) == "Sc"


def _pieces_inside(tokenizer: Tokenizer, spec: dict[str, Any], text: Text) -> Iterator[str]:
    """Every string inside a text's words that may be a piece: with all of them kept, nothing about the text can change."""
    prefix, suffix = (spec["model"].get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix"))
    longest = max(map(len, vocabulary_of(spec)))
    for word in _words(tokenizer, text):
        for inner in _runs(word, longest):
            yield from {inner, prefix + inner, inner + suffix, prefix + inner + suffix}


def _words(tokenizer: Tokenizer, text: Text) -> Iterator[str]:
    for part in (text,) if isinstance(text, str) else text:
        normal = tokenizer.normalizer.normalize_str(part) if tokenizer.normalizer else part
        yield from (word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal)) if tokenizer.pre_tokenizer else (normal,)


def _runs(word: str, longest: int) -> Iterator[str]:
    """Every string inside a word."""
    for start in range(len(word)):
        yield from (word[start:end] for end in range(start + 1, min(len(word), start + longest) + 1))


def _inside_words(tokenizer: Tokenizer, spec: dict[str, Any], texts: Sequence[Text], vocab: dict[str, int]) -> set[str]:
    """Pieces that occur inside a word of the texts, where they stand in it: at its beginning, or behind that with the prefix."""
    prefix = spec["model"].get("continuing_subword_prefix") or ""
    longest = min(_LONGEST_PIECE, max(map(len, vocab)))
    inside: set[str] = set()
    for word in {word for text in texts for word in _words(tokenizer, text)}:
        inside.update(piece for piece in _runs(word, longest) if piece in vocab and (not prefix or word.startswith(piece)))
        if prefix:
            inside.update(prefix + piece for piece in _runs(word[1:], longest) if prefix + piece in vocab)
    return inside


def _commonest(
    tokenizer: Tokenizer, pieces: dict[int, str], kept_ids: set[int], scripts: set[str] | None, unseen: Sequence[Text]
) -> set[int]:
    """The ids of the commonest pieces, as many as `unseen` texts need to keep nearly all of their tokens, and as a cut leaves room for.

    A vocabulary lists the commonest first: WordPiece as BERT's was made, BPE by its merges, Unigram by its scores. scripts: of the
    corpus; None: the symbols of pieces are bytes, which tell nothing of scripts.
    """
    counts = Counter(piece for encoding in encode(tokenizer, unseen, special=False) for piece in encoding.ids)
    lost, most = sum(count for piece, count in counts.items() if piece not in kept_ids), _LOST_TOKENS * counts.total()
    added: set[int] = set()
    for index, piece in sorted(pieces.items()):
        if lost <= most or len(kept_ids) + len(added) >= _MOST_KEPT * len(pieces):
            break
        foreign = scripts is not None and not {_script(character) for character in piece} <= scripts | {""}
        if index not in kept_ids and not foreign and not _NEVER_WRITTEN.fullmatch(piece):
            added.add(index)
            lost -= counts[index]
    return added


def _unknown(spec: dict[str, Any], tokenizer: Tokenizer, encodings: Sequence[Encoding]) -> int:
    model = spec["model"]
    unknown = model.get("unk_id") if model.get("unk_id") is not None else tokenizer.token_to_id(model.get("unk_token") or "")
    return sum(encoding.ids.count(unknown) for encoding in encodings) if unknown is not None else 0
