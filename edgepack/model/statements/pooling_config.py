"""config.json of a Pooling: how the vectors of tokens become the vector of a text."""

from pathlib import Path
from typing import Any, get_args

from edgepack.model.statements.sentence_record import Pooling, PoolingMode
from edgepack.model.statements.statement_file import check_keys, read_object, refusal, typed

_MODES = get_args(PoolingMode)
_OLD_KEYS = {  # in the order in which the modes' vectors stand
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_WIDTHS = ("word_embedding_dimension", "embedding_dimension")  # of the tokens; the transformer states it too
_KNOWN = (*_WIDTHS, *_OLD_KEYS, "pooling_mode", "include_prompt")


def read_pooling(folder: Path, path: str) -> Pooling:
    """The Pooling part in folder/path. EdgepackError: a key or a mode that edgepack does not reproduce."""
    file, content = f"{path}/config.json", read_object(folder / path / "config.json")
    check_keys(file, content, _KNOWN)
    modes = _modes(content)
    if not modes:
        raise refusal(file, "pooling_mode", [], "no vector is made of the tokens", f"name one of {', '.join(_MODES)}")
    for mode in modes:
        if mode not in _MODES:
            raise refusal(file, "pooling_mode", mode, "edgepack does not know this mode", f"it knows {', '.join(_MODES)}")
    return Pooling(modes=modes, include_prompt=typed(file, content, "include_prompt", bool, True))


def _modes(content: dict[str, Any]) -> tuple[str, ...]:
    if (stated := content.get("pooling_mode")) is not None:
        return tuple(stated) if isinstance(stated, list) else (str(stated),)
    return tuple(mode for key, mode in _OLD_KEYS.items() if content.get(key)) or ("mean",)
