"""Cuts a vocabulary: removes the embedding rows of tokens that a corpus does not need, and renumbers every id that the model names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from edgepack.core.errors import EdgepackError
from edgepack.model.checkpoint import load_tokenizer, quiet_transformers
from edgepack.model.material import Material
from edgepack.model.pieces import VocabularyCut, encode, losses
from edgepack.tasks.common.task import Text

_SETTINGS = ("model_max_length", "padding_side", "truncation_side", "model_input_names", "clean_up_tokenization_spaces", "chat_template")


def cut_vocabulary(model: nn.Module, material: Material, folder: Path) -> dict[str, float | int | str]:
    """Cuts the model in place, writes the new tokenizer into `folder`, and returns what it counted.

    The tokenizer is then read back from the folder: every text of the corpus must have the pieces that it had. What texts
    of the test split lose, which no corpus held, is measured.
    """
    cut, corpus = material.vocabulary_cut, material.corpus
    cut_rows(model, cut)
    save_tokenizer(material.tokenizer, cut, folder)
    check_pieces(folder, cut, corpus.texts)
    return {
        "corpus_texts": len(corpus.texts),
        "pieces_before": len(cut.before.get_vocab()),
        "pieces_after": len(cut.order),
        "pieces_for_unseen_texts": cut.common,
        "corpus_texts_changed": 0,
        **losses(cut, material.task.texts(material.rows("test"))),
    }


def cut_rows(model: nn.Module, cut: VocabularyCut) -> None:
    """Keeps the rows of `cut.order` in the embedding and in an LM head, tied or not, and renumbers the ids in the configs."""
    rows = torch.tensor(cut.order)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if cut.order and max(cut.order) >= embedding.num_embeddings:
        raise EdgepackError(
            f"the tokenizer has a piece with id {max(cut.order)}, the model {embedding.num_embeddings} embedding rows",
            "save the model again after `resize_token_embeddings(len(tokenizer))`",
        )
    tied = head is not None and head.weight is embedding.weight
    embedding.weight = nn.Parameter(embedding.weight.detach()[rows].clone())
    embedding.num_embeddings = len(rows)
    if embedding.padding_idx is not None:
        embedding.padding_idx = cut.new_id.get(embedding.padding_idx)
    if head is not None:
        head.weight = embedding.weight if tied else nn.Parameter(head.weight.detach()[rows].clone())
        head.out_features = len(rows)
        if getattr(head, "bias", None) is not None:
            head.bias = nn.Parameter(head.bias.detach()[rows].clone())
    model.config.vocab_size = len(rows)
    for config in (model.config, getattr(model, "generation_config", None)):
        if config is not None:
            _renumber(config, cut.new_id)


def save_tokenizer(tokenizer: Any, cut: VocabularyCut, folder: Path) -> None:
    """A plain tokenizer.json with its config beside it, in the folder of the checkpoint."""
    from transformers import PreTrainedTokenizerFast

    names = {key: str(value) for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    settings = {name: getattr(tokenizer, name) for name in _SETTINGS if getattr(tokenizer, name, None) is not None}
    with quiet_transformers():
        fast = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(cut.spec)), **names, **settings)
        fast.save_pretrained(folder)


def check_pieces(folder: Path, cut: VocabularyCut, texts: tuple[Text, ...]) -> None:
    """Our own mistake, not the user's, where the tokenizer that was written gives a corpus text other pieces than the old one."""
    written = load_tokenizer(folder).backend_tokenizer
    written.no_truncation()
    written.no_padding()
    for index, (old, new) in enumerate(zip(encode(cut.before, texts), encode(written, texts), strict=True)):
        if [cut.new_id.get(piece) for piece in old.ids] != new.ids:
            raise RuntimeError(f"text {index} of the corpus changed its pieces: {texts[index]!r:.80}")
    known = written.get_vocab()
    moved = [token for token, piece in cut.after.get_vocab().items() if known.get(token) != piece]
    if moved or len(known) != len(cut.after.get_vocab()):
        raise RuntimeError(f"the tokenizer numbers its pieces otherwise when it is read again: {moved[:3]}")


def _renumber(config: Any, new_id: Mapping[int, int]) -> None:
    """pad_token_id, bos_token_id and their like, single or in lists; an id that was not a row before stays what it was."""
    for name, value in config.to_dict().items():
        if not name.endswith(("_token_id", "_token_ids")) or value is None:
            continue
        renumbered = [new_id.get(each, each) for each in value] if isinstance(value, list) else new_id.get(value, value)
        setattr(config, name, renumbered)
