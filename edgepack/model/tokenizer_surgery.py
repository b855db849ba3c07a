"""Removes tokens from the JSON of a fast tokenizer, and renumbers the others. Knows nothing of models.

`spec` is the content of a tokenizer.json throughout. The rules by which pieces stay the same are in pieces.py.
"""

import copy
from collections.abc import Collection, Iterator
from typing import Any

from edgepack.core.errors import EdgepackError

KINDS = ("WordPiece", "BPE", "Unigram")


def kind_of(spec: dict[str, Any], place: str) -> str:
    """EdgepackError: a tokenizer model whose pieces cannot be cut."""
    kind = spec["model"].get("type")
    if kind is None:  # files of old versions leave it out
        kind = "BPE" if "merges" in spec["model"] else "Unigram" if isinstance(spec["model"].get("vocab"), list) else "WordPiece"
    if kind not in KINDS:
        raise EdgepackError(
            f"the vocabulary of a {kind} tokenizer cannot be cut ({place})", f"leave --vocabulary out: it takes {', '.join(KINDS)}"
        )
    return kind


def vocabulary_of(spec: dict[str, Any]) -> dict[str, int]:
    """Piece to id of the tokenizer's model, without the added tokens that it does not know."""
    vocab = spec["model"]["vocab"]
    return dict(vocab) if isinstance(vocab, dict) else {piece: index for index, (piece, _) in enumerate(vocab)}


def merges_of(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """BPE's merges, the earliest first; old files write `a b`, new ones [a, b]."""
    return [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in spec["model"]["merges"]]


def named_ids(spec: dict[str, Any]) -> set[int]:
    """Ids that the file names outside its model's pieces: added tokens, post-processor, padding, the unknown piece."""
    vocab, model = vocabulary_of(spec), spec["model"]
    ids = {token["id"] for token in spec.get("added_tokens") or ()}
    ids |= {index for part in _processors(spec.get("post_processor")) for index in _processor_ids(part)}
    if spec.get("padding"):
        ids.add(spec["padding"]["pad_id"])
    if model.get("unk_id") is not None:
        ids.add(model["unk_id"])
    if model.get("unk_token") in vocab:
        ids.add(vocab[model["unk_token"]])
    return ids


def order_of(spec: dict[str, Any], kept_ids: Collection[int]) -> list[int]:
    """The old id of every new one: the model's pieces in their old order, then added tokens that the model does not know.

    That is how the tokenizers library numbers them when it reads the file.
    """
    known = set(vocabulary_of(spec).values())
    outside = sorted({token["id"] for token in spec.get("added_tokens") or ()} - known)
    return [*sorted(known & set(kept_ids)), *outside]


def cut_tokenizer(spec: dict[str, Any], order: list[int]) -> dict[str, Any]:
    """The same tokenizer with the pieces of `order` only; a piece's new id is its place in `order`.

    Of BPE's merges all stay whose two parts and result stay.
    """
    new_id = {old: new for new, old in enumerate(order)}
    cut = {key: value if key == "model" else copy.deepcopy(value) for key, value in spec.items()}
    model = cut["model"] = dict(spec["model"])
    if isinstance(model["vocab"], dict):
        model["vocab"] = {piece: new_id[index] for piece, index in model["vocab"].items() if index in new_id}
    else:
        model["vocab"] = [entry for index, entry in enumerate(model["vocab"]) if index in new_id]
    if model.get("unk_id") is not None:
        model["unk_id"] = new_id[model["unk_id"]]
    if "merges" in model:
        prefix = len(model.get("continuing_subword_prefix") or "")
        vocab = model["vocab"]
        model["merges"] = [
            [left, right] for left, right in merges_of(spec) if left in vocab and right in vocab and left + right[prefix:] in vocab
        ]
    for token in cut.get("added_tokens") or ():
        token["id"] = new_id[token["id"]]
    for part in _processors(cut.get("post_processor")):
        _renumber_processor(part, new_id)
    if cut.get("padding"):
        cut["padding"]["pad_id"] = new_id[cut["padding"]["pad_id"]]
    return cut


def is_byte_level(spec: dict[str, Any]) -> bool:
    """Whether texts reach the model as visible stand-ins of their bytes, as GPT-2's do."""
    parts = (part for name in ("pre_tokenizer", "normalizer") for part in _processors(spec.get(name)))
    return any(part.get("type") == "ByteLevel" for part in parts)


def _processors(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A processor, normalizer or pre-tokenizer and, where it is a sequence, all that are in it."""
    if part is None:
        return
    yield part
    for name in ("processors", "pretokenizers", "normalizers"):
        for inner in part.get(name) or ():
            yield from _processors(inner)


def _processor_ids(part: dict[str, Any]) -> list[int]:
    if part["type"] == "TemplateProcessing":
        return [index for token in part["special_tokens"].values() for index in token["ids"]]
    if part["type"] in ("BertProcessing", "RobertaProcessing"):
        return [part["sep"][1], part["cls"][1]]
    return []


def _renumber_processor(part: dict[str, Any], new_id: dict[int, int]) -> None:
    if part["type"] == "TemplateProcessing":
        for token in part["special_tokens"].values():
            token["ids"] = [new_id[index] for index in token["ids"]]
    if part["type"] in ("BertProcessing", "RobertaProcessing"):
        for end in ("sep", "cls"):
            part[end] = [part[end][0], new_id[part[end][1]]]
