"""What a LoRA adapter and the model that it was trained on must have in common, and the head that it brings. No torch."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from edgepack.core.files import sha256_of
from edgepack.core.reading import TOKENIZER_BYTES, read_json_object
from edgepack.model.safetensors_file import check_safetensors

TOKENIZERS = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "spm.model", "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip
_HEAD = re.compile(r"\.(classifier|score)(\.modules_to_save)?(\.out_proj)?\.weight$")  # gives a number for each label


def has_other_tokenizer(folder: Path, base: Path) -> bool:
    """Whether an adapter's folder holds a tokenizer, and another one than its base model's."""
    holds = any((folder / name).is_file() for name in TOKENIZERS)
    return holds and _tokenizer_sha256(folder) != _tokenizer_sha256(base)


def _tokenizer_sha256(folder: Path) -> str:
    """Of the vocabulary alone: a trainer saves tokenizer.json with other settings of padding and truncation."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return "".join(sha256_of(folder / name) for name in TOKENIZERS if (folder / name).is_file())
    content = read_json_object(path, TOKENIZER_BYTES)
    compared = {key: value for key, value in content.items() if key not in ("padding", "truncation")}
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()


def config_with_head(config: dict[str, Any], weights: Path) -> dict[str, Any]:
    """The base model's config with as many labels as the head that the adapter stores whole."""
    rows = [shape[0] for name, shape in check_safetensors(weights).items() if _HEAD.search(name)]
    if not rows or len(config.get("id2label") or (0, 1)) == rows[0]:
        return config
    names = {str(index): f"LABEL_{index}" for index in range(rows[0])}
    return config | {"id2label": names, "label2id": {name: int(index) for index, name in names.items()}}
