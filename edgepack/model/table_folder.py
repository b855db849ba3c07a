"""A folder of sentence-transformers' StaticEmbedding: a table of tokens' vectors and tokenizer.json, without config.json.

The functions are those of plain_folder.py. What the model is, its weights say. The library reads those two files alone: a
config.json or a tokenizer_config.json beside them, as model2vec writes them, says nothing to it. No torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.core.errors import EdgepackError, stopped_in_rust
from edgepack.core.reading import TOKENIZER_BYTES
from edgepack.core.showing import shown
from edgepack.model.plain_folder import is_file, no_weights
from edgepack.model.safetensors_file import check_safetensors, kinds_of
from edgepack.model.statements.statement_file import read_object, refusal
from edgepack.model.statements.tokenizer_config import WHOLE_FILE, check_model, ids_without_rows
from edgepack.model.tokenizer_trial import try_tokenizer

if TYPE_CHECKING:
    from torch import nn

    from edgepack.model.source import Source

WEIGHTS = "model.safetensors"
TABLE = "embedding.weight"
FOLDED = ("embeddings", "mapping", "weights")  # as model2vec stores a table: rows, the row of each token, and a factor of each token
LONGEST = 1_000_000  # tokens: the library cuts no text, and a tokenizer needs some number to cut at
_FLOATS = ("F64", "F32", "F16", "BF16")
_INTEGERS = ("I64", "I32", "I16", "I8", "U8")
_NOT_READ = ("config.json", "tokenizer_config.json", "special_tokens_map.json")
_SAVE_AGAIN = "save or download the model again"


def read_config(folder: Path) -> dict[str, Any]:
    """What a config.json would say of the table. EdgepackError: no such table in the folder."""
    path = folder / WEIGHTS
    if not is_file(path):
        raise no_weights(folder, "sentence-transformers")
    rows, width = _table_shape(path)
    return {
        "model_type": "static-embedding",
        "architectures": ["StaticEmbeddingModel"],
        "vocab_size": rows,
        "hidden_size": width,
        "num_hidden_layers": 0,
        "num_attention_heads": 1,
        "max_position_embeddings": LONGEST,
    }


def weight_files(folder: Path) -> list[Path]:
    """The library reads no shards."""
    return [folder / WEIGHTS]


def check_tokenizer(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines for people about what is peculiar. EdgepackError: no tokenizer.json, an id without a row, or a cut that texts cannot have."""
    if not is_file(folder / WHOLE_FILE):
        raise EdgepackError(f"no {WHOLE_FILE} in {folder}: a StaticEmbedding reads no other tokenizer", _SAVE_AGAIN)
    whole = read_object(folder / WHOLE_FILE, TOKENIZER_BYTES)
    check_model(whole)
    truncation = whole.get("truncation")
    if isinstance(truncation, Mapping) and truncation.get("strategy") == "OnlySecond":
        why = "a text by itself has no second one that could be cut"
        raise refusal(WHOLE_FILE, "truncation.strategy", "OnlySecond", why, "set it to LongestFirst")
    _check_mapping(folder / WEIGHTS)
    rows = config["vocab_size"]
    stated, fix = f"the table in {WEIGHTS} has {rows} rows", "save the tokenizer that the table was made for"
    lines = ids_without_rows(whole, rows, stated, fix)
    beside = [name for name in _NOT_READ if (folder / name).is_file()]
    if beside:
        lines += (f"not read, as sentence-transformers does not read it for a StaticEmbedding: {', '.join(beside)}",)
    return lines


def tokenizer_of(folder: Path, lower_case: bool) -> Any:
    """The tokenizer as the library asks it: no special token is put around a text, and only what the file itself states cuts it."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    content = read_object(folder / WHOLE_FILE, TOKENIZER_BYTES) | {"post_processor": None, "padding": None}
    try:
        backend = Tokenizer.from_str(json.dumps(content))
    except BaseException as error:  # the library raises nothing more precise, and in Rust what is no Exception
        if not isinstance(error, Exception) and stopped_in_rust(error) is None:
            raise
        reason = (str(error).strip().splitlines() or [""])[0]
        raise EdgepackError(f"{folder / WHOLE_FILE} cannot be read: {reason}", _SAVE_AGAIN) from None
    try_tokenizer(backend, folder)
    cut = backend.truncation or {}
    backend.no_truncation()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=cut.get("max_length", LONGEST), truncation_side=cut.get("direction", "right").lower()
    )


def config_of_library(folder: Path, config: Mapping[str, Any], trust_remote_code: bool) -> Any:
    """The config as an object of transformers."""
    from edgepack.model.static_embedding import StaticEmbeddingConfig

    return StaticEmbeddingConfig(**config)


def load_model(source: "Source", task: str, dimensions: int | None, trust_remote_code: bool) -> "nn.Module":
    """The table with the parts that its folder states behind it. dimensions: where they can be, they are those of the table."""
    from edgepack.model.sentence_head import with_head
    from edgepack.model.static_embedding import load_table
    from edgepack.tasks import task_named

    stated = source.parts_for(task_named(task))
    columns = dimensions if stated is not None and stated.is_token_mean else None
    whole = with_head(load_table(source.folder, source.config, columns), stated, dimensions, source.root)
    read = (TABLE,) if TABLE in check_safetensors(source.folder / WEIGHTS) else FOLDED
    whole.unread_weights = tuple(sorted(name for name in check_safetensors(source.folder / WEIGHTS) if name not in read))
    return whole


def _table_shape(path: Path) -> tuple[int, int]:
    """Rows and width. EdgepackError: there is no table of floats, or its parts do not fit each other."""
    shapes, kinds = check_safetensors(path), kinds_of(path)
    name = TABLE if TABLE in shapes else FOLDED[0]
    if name not in shapes:
        raise EdgepackError(
            f"{path} has no {TABLE}, the table of a StaticEmbedding, and no {FOLDED[0]}, as model2vec calls it",
            "give the folder that sentence-transformers wrote",
        )
    if len(shapes[name]) != 2 or 0 in shapes[name]:
        raise EdgepackError(f"{path}: {name} is no table: its shape is {list(shapes[name])}", _SAVE_AGAIN)
    if kinds[name] not in _FLOATS:
        raise EdgepackError(
            f"{path} stores {name} as {shown(kinds[name])}, of which sentence-transformers itself computes no vectors",
            "save the table in fp32: model2vec's `quantize_to` float32",
        )
    rows, width = shapes[name]
    if name == TABLE:
        return rows, width
    _, mapping, weights = FOLDED
    rows = next(iter(shapes.get(mapping, ())), rows)
    for part, allowed in ((mapping, _INTEGERS), (weights, _FLOATS)):
        if part in shapes and (shapes[part] != (rows,) or kinds[part] not in allowed):
            raise EdgepackError(
                f"{path}: {part} is of the shape {list(shapes[part])} in {kinds[part]}, and the table has {rows} tokens", _SAVE_AGAIN
            )
    return rows, width


def _check_mapping(path: Path) -> None:
    """EdgepackError: a token whose row the table does not have, or a file that the format's own library does not open."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            if TABLE in file.keys() or FOLDED[1] not in file.keys():  # noqa: SIM118, as it is no mapping
                return
            mapping, rows = file.get_tensor(FOLDED[1]), file.get_slice(FOLDED[0]).get_shape()[0]
    except SafetensorError as error:
        raise EdgepackError(f"{path} cannot be read: {error}", _SAVE_AGAIN) from None
    wrong = mapping[(mapping < -rows) | (mapping >= rows)]
    if len(wrong):
        raise EdgepackError(f"{path}: mapping names the row {int(wrong[0])}, and {FOLDED[0]} has {rows} rows", _SAVE_AGAIN)
