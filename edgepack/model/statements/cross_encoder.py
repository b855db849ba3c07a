"""What a CrossEncoder of sentence-transformers states in config.json and beside it: the function behind its logits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack.model.statements.config_sentence_transformers import FILE
from edgepack.model.statements.modules_json import FILE as MODULES
from edgepack.model.statements.statement_file import read_object, refusal

_CLASS = "CrossEncoder"
_FUNCTIONS = {"Sigmoid": "sigmoid", "Identity": "none"}  # classes of torch.nn, and what a pack calls them
_OLD_KEY = "sbert_ce_default_activation_function"


def read_activation(folder: Path, config: Mapping[str, Any]) -> str | None:
    """`sigmoid` or `none`; None: the folder is no CrossEncoder's. EdgepackError: a function that is not reproduced.

    The library takes that of config_sentence_transformers.json, a file that it reads beside modules.json alone; else config.json's
    `sentence_transformers`, and where that does not name a function the older key. Where none states one, one logit goes through the
    sigmoid, and several stay as they are.
    """
    beside, inside = read_object(folder / FILE), config.get("sentence_transformers")
    is_one, has_parts = beside.get("model_type") == _CLASS, (folder / MODULES).is_file()
    newer = isinstance(inside, dict) and "activation_fn" in inside
    stated = [
        (FILE, "activation_fn", beside.get("activation_fn") if is_one and has_parts else None),
        ("config.json", "sentence_transformers.activation_fn", inside["activation_fn"] if newer else None),
        ("config.json", _OLD_KEY, None if newer else config.get(_OLD_KEY)),
    ]
    for file, key, value in stated:
        if value is not None:
            return _function(file, key, value)
    if not (is_one or isinstance(inside, dict) or _OLD_KEY in config):
        return None
    return "sigmoid" if len(config.get("id2label") or (0, 1)) == 1 else "none"


def _function(file: str, key: str, value: Any) -> str:
    name = str(value).rpartition(".")[2]
    if not str(value).startswith("torch.nn.") or name not in _FUNCTIONS:
        fix = f"edgepack knows torch.nn's {' and '.join(_FUNCTIONS)}: state one of them, and apply the function to the logits in your app"
        raise refusal(file, key, value, "this function is not reproduced", fix)
    return _FUNCTIONS[name]
