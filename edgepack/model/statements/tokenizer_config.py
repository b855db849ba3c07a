"""tokenizer_config.json and tokenizer.json: settings of a tokenizer's call that tokenizer.json does not hold.

Nearly all that the two files state is part of the tokenizer that transformers builds of them, which a pack carries whole: added tokens,
normalizer, special tokens around a text. What is left is read here, or by the code that asks the tokenizer: `truncation_side` and
`model_max_length` cut, `model_input_names` says whether types of tokens are given. `padding_side` and `pad_to_multiple_of` change
nothing, as a pack reads one text at a time; `clean_up_tokenization_spaces` is of a decoder's text alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack.model.statements.statement_file import read_object, refusal

FILE, WHOLE_FILE = "tokenizer_config.json", "tokenizer.json"


def check_tokenizer_statements(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines for people about what is peculiar. EdgepackError: something that changes token ids, and that a pack does not reproduce."""
    stated = read_object(folder / FILE)
    if stated.get("split_special_tokens"):
        why = "special tokens in a text are split into pieces, and tokenizer.json cannot hold that"
        raise refusal(FILE, "split_special_tokens", stated["split_special_tokens"], why, "set it to false, or remove it")
    model = read_object(folder / WHOLE_FILE).get("model")
    if isinstance(model, dict) and model.get("dropout"):
        why = "a text gets other pieces each time"
        raise refusal(WHOLE_FILE, "model.dropout", model["dropout"], why, "set it to null: dropout is for training")
    _check_pad_id(config)
    if config.get("pad_token_id") is None and not stated.get("pad_token"):
        return ("the folder names no padding token: texts are read one at a time, and what is padded elsewhere is masked",)
    return ()


def _check_pad_id(config: Mapping[str, Any]) -> None:
    pad, rows = config.get("pad_token_id"), config.get("vocab_size")
    if isinstance(pad, int) and isinstance(rows, int) and rows > 0 and not 0 <= pad < rows:
        why = f"the embeddings have {rows} rows"
        raise refusal("config.json", "pad_token_id", pad, why, "name a token that the embeddings have, such as the end of a text, or null")
