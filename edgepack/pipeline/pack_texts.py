"""How a pack's texts become token ids: the tokenizer's files as a module reads them, and the longest text."""

import json
from pathlib import Path

from edgepack.core.files import write_json
from edgepack.model.material import Material
from edgepack.model.statements.tokenizer_config import WHOLE_FILE
from edgepack.model.tokenizer_types import without_types
from edgepack.pack.runnable import Runnable

_TOKENIZER_CONFIG = "tokenizer_config.json"


def longest_text(runnable: Runnable, material: Material) -> int:
    """What a text is cut to: a decoder reads a long one in parts, as far as its cache goes."""
    if runnable.has_fixed_lengths and not runnable.is_decoder:
        return runnable.buckets[-1]
    return min(material.max_length, runnable.positions or material.max_length)


def write_tokenizer(material: Material, max_length: int, folder: Path, takes_types: bool = False) -> None:
    """tokenizer.json cuts at the pack's length and pads nothing: an app need not know.

    takes_types: the model reads types of tokens, which are all 0 where the tokenizer does not give them.
    """
    tokenizer = material.tokenizer
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.enable_truncation(max_length, direction=tokenizer.truncation_side)
    tokenizer.model_max_length = max_length
    if isinstance(tokenizer.chat_template, dict):  # several by name would be a folder of their own
        tokenizer.chat_template = tokenizer.chat_template.get("default")
    tokenizer.save_pretrained(folder)
    if takes_types and "token_type_ids" not in tokenizer.model_input_names:
        whole = folder / WHOLE_FILE
        write_json(whole, without_types(json.loads(whole.read_text(encoding="utf-8"))))
    config = json.loads((folder / _TOKENIZER_CONFIG).read_text(encoding="utf-8"))
    if config.get("tokenizer_class") == "TokenizersBackend":  # transformers 5's own name for what all of them call so:
        write_json(folder / _TOKENIZER_CONFIG, config | {"tokenizer_class": "PreTrainedTokenizerFast"})
