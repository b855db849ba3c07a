"""tokenizer_config.json and tokenizer.json: settings of a tokenizer's call that tokenizer.json does not hold.

Nearly all that the two files state is part of the tokenizer that transformers builds of them, which a pack carries whole: added tokens,
normalizer, special tokens around a text. What is left is read here, or by the code that asks the tokenizer: `truncation_side` and
`model_max_length` cut, `model_input_names` says whether types of tokens are given. `padding_side` and `pad_to_multiple_of` change
nothing, as a pack reads one text at a time; `clean_up_tokenization_spaces` is of the text that a decoder writes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import TOKENIZER_BYTES
from edgepack.core.showing import shown
from edgepack.model.statements.statement_file import read_object, refusal

FILE, WHOLE_FILE = "tokenizer_config.json", "tokenizer.json"


def check_tokenizer_statements(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines for people about what is peculiar. EdgepackError: something that changes token ids, and that a pack does not reproduce."""
    stated = read_object(folder / FILE)
    if stated.get("split_special_tokens"):
        why = "special tokens in a text are split into pieces, and tokenizer.json cannot hold that"
        raise refusal(FILE, "split_special_tokens", stated["split_special_tokens"], why, "set it to false, or remove it")
    whole = read_object(folder / WHOLE_FILE, TOKENIZER_BYTES)  # of XLM-RoBERTa 17 MB, of Gemma 34
    check_model(whole)
    _check_named_id("pad_token_id", config)
    rows = config.get("vocab_size")
    fix = (
        "add the rows with model.resize_token_embeddings(len(tokenizer)) and train them, or save the tokenizer that the model was "
        "trained with"
    )
    lines = ids_without_rows(whole, rows, f"config.json states vocab_size = {rows}", fix)
    if config.get("pad_token_id") is None and not stated.get("pad_token"):
        lines += ("the folder names no padding token: texts are read one at a time, and what is padded elsewhere is masked",)
    return lines


def check_model(whole: Mapping[str, Any]) -> None:
    """EdgepackError: tokenizer.json gives a text other tokens each time, or its library ends this process on it."""
    model = whole.get("model")
    if not isinstance(model, dict):
        return
    if model.get("dropout"):
        why = "a text gets other pieces each time"
        raise refusal(WHOLE_FILE, "model.dropout", model["dropout"], why, "set it to null: dropout is for training")
    prefix = model.get("continuing_subword_prefix")
    if "merges" in model and isinstance(prefix, str) and prefix and (merge := _merge_without(prefix, model["merges"])):
        why = f"the merge {shown(merge)} joins a piece without it, on which the tokenizers library ends the whole process"
        raise refusal(WHOLE_FILE, "model.continuing_subword_prefix", prefix, why, "save the tokenizer again, or download it again")


def _merge_without(prefix: str, merges: Any) -> Any:
    """The first merge whose second piece does not begin with the prefix, by the bytes that the library cuts off."""
    for merge in merges if isinstance(merges, list) else ():
        second = merge.split(" ", 1)[-1] if isinstance(merge, str) else merge[-1] if isinstance(merge, list) and merge else None
        if isinstance(second, str) and not (second.startswith(prefix) and prefix.isascii()):
            return merge
    return None


def check_written_text(folder: Path) -> None:
    """EdgepackError: transformers changes blanks in a text that a decoder has written, which a pack does not."""
    stated, forced = read_object(folder / FILE), "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output"
    model = read_object(folder / WHOLE_FILE, TOKENIZER_BYTES).get("model")
    is_bpe = isinstance(model, dict) and model.get("type") == "BPE"  # transformers leaves such texts as they are
    if stated.get("clean_up_tokenization_spaces") and (stated.get(forced) or not is_bpe):
        why = "blanks before punctuation would be taken out of what the model writes, and a pack leaves them"
        raise refusal(FILE, "clean_up_tokenization_spaces", stated["clean_up_tokenization_spaces"], why, "set it to false, or remove it")


def ids_without_rows(whole: Mapping[str, Any], rows: Any, stated: str, fix: str) -> tuple[str, ...]:
    """EdgepackError: a text can become an id that the embeddings have no row for. A line where only a special token's own text does.

    stated: in words, where the number of rows stands.
    """
    model, added = whole.get("model"), whole.get("added_tokens")
    if not isinstance(rows, int) or rows < 1 or not isinstance(model, dict):  # a config that no model can have is refused by its key
        return ()
    vocab = model.get("vocab")
    if isinstance(vocab, dict):
        pieces = list(vocab.items())
    else:  # Unigram: pieces with their scores
        listed = vocab if isinstance(vocab, list) else []
        pieces = [(each[0] if isinstance(each, list) and each else each, at) for at, each in enumerate(listed)]
    tokens = [token for token in added or [] if isinstance(token, dict)] if isinstance(added, list) else []
    special = {token.get("content") for token in tokens if token.get("special")}
    pieces += [(token.get("content"), token.get("id")) for token in tokens]
    beyond = [(piece, index) for piece, index in pieces if isinstance(index, int) and index >= rows]
    for piece, index in beyond:
        if not isinstance(piece, str) or piece not in special:
            raise EdgepackError(
                f"{WHOLE_FILE} gives {shown(piece)} the id {index}, but {stated}",
                fix,
            )
    names = ", ".join(dict.fromkeys(str(piece) for piece, _ in beyond))
    return (f"the embeddings have no row for {names}: a text that holds one fails, as it does in transformers",) if beyond else ()


def check_end_of_text(config: Mapping[str, Any]) -> None:
    """EdgepackError: a model that writes would end with a token that it does not have. Other models never read which it is."""
    _check_named_id("eos_token_id", config)


def _check_named_id(key: str, config: Mapping[str, Any]) -> None:
    rows, stated = config.get("vocab_size"), config.get(key)
    ids = stated if isinstance(stated, list) else [stated]
    if isinstance(rows, int) and rows > 0 and any(isinstance(each, int) and not 0 <= each < rows for each in ids):
        why = f"the embeddings have {rows} rows"
        raise refusal("config.json", key, stated, why, "name a token that the embeddings have, such as the end of a text, or null")
