"""config.json of a SpladePooling: how the logits of tokens over the vocabulary become one sparse vector of a text."""

from pathlib import Path
from typing import get_args

from edgepack.model.statements.sentence_record import Splade, SpladeActivation, SpladeStrategy
from edgepack.model.statements.statement_file import check_keys, read_object, refusal, typed

_WIDTHS = ("word_embedding_dimension", "embedding_dimension")  # of the vocabulary; the transformer states it too
_KNOWN = (*_WIDTHS, "pooling_strategy", "activation_function", "chunk_size")  # chunks are a matter of memory


def read_splade(folder: Path, path: str) -> Splade:
    """The SpladePooling part in folder/path. EdgepackError: a key or a value that edgepack does not reproduce."""
    file, content = f"{path}/config.json", read_object(folder / path / "config.json")
    check_keys(file, content, _KNOWN)
    strategy = typed(file, content, "pooling_strategy", str, "max")
    activation = typed(file, content, "activation_function", str, "relu")
    for key, value, known in (
        ("pooling_strategy", strategy, get_args(SpladeStrategy)),
        ("activation_function", activation, get_args(SpladeActivation)),
    ):
        if value not in known:
            raise refusal(file, key, value, "edgepack does not know this value", f"it knows {', '.join(known)}")
    return Splade(strategy=strategy, activation=activation)
