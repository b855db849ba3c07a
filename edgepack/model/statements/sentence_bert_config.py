"""sentence_bert_config.json: how the transformer of a sentence-transformers folder takes texts."""

from pathlib import Path
from typing import Any

from edgepack.model.statements.statement_file import check_keys, read_object, refusal, typed

# The library reads the first of these that there is.
FILES = tuple(f"sentence_{name}_config.json" for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"))
_HARMLESS = (
    "unpad_inputs",  # where the padding goes, not what comes out
    "modality_config", "module_output_name",  # the kinds of input and the name of the output; texts are checked below
)  # fmt: skip
_ARGUMENTS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs", "processing_kwargs")
_OF_NO_USE = ("query_length", "document_length", "query_expansion")  # of models with a vector for each token
_SAME_ANSWERS = ("torch_dtype", "dtype", "attn_implementation", "device_map", "low_cpu_mem_usage", "use_fast", "use_safetensors")
_HEADS = ("feature", "sequence", "fill")  # the first word of what the library calls the outputs: of tokens, of classes, of masked words
_KNOWN = ("max_seq_length", "do_lower_case", "transformer_task", *_HARMLESS, *_ARGUMENTS, *_OF_NO_USE)


def read_sentence_bert_config(folder: Path, is_sparse: bool = False, gives_logits: bool = False) -> tuple[int | None, bool]:
    """The tokens after which a text is cut (None: the tokenizer's own limit), and whether texts are lowered first.

    is_sparse: the logits of the transformer's head for masked words are pooled. gives_logits: the head that is taken where none is stated.
    """
    file = next((name for name in FILES if (folder / name).is_file()), FILES[0])
    content = read_object(folder / file)
    check_keys(file, content, _KNOWN)
    for key in _OF_NO_USE:
        if content.get(key) is not None:
            raise refusal(file, key, content[key], "other lengths for queries than for documents are not reproduced", "remove the key")
    task = typed(file, content, "transformer_task", str, "fill-mask" if gives_logits else "feature-extraction")
    if task.startswith("fill") != is_sparse:
        why = "SpladePooling reads the logits of the head for masked words, and every other part reads hidden states"
        raise refusal(file, "transformer_task", task, why, "give a model whose parts fit each other: fill-mask with SpladePooling")
    if task.partition("-")[0] not in _HEADS:
        raise refusal(
            file,
            "transformer_task",
            task,
            "this head of the transformer is not reproduced",
            "give a SentenceTransformer, or a CrossEncoder with a head for classification",
        )
    _check_modalities(file, content.get("modality_config") or {})
    for key in _ARGUMENTS:
        _check_arguments(file, key, content.get(key) or {})
    length = typed(file, content, "max_seq_length", int, None)
    if length is None:
        length = next((content[key]["model_max_length"] for key in _ARGUMENTS if (content.get(key) or {}).get("model_max_length")), None)
    return length, typed(file, content, "do_lower_case", bool, False)


def _check_modalities(file: str, stated: dict[str, Any]) -> None:
    """Texts are put to a model as they are; as messages they would go through a chat template."""
    for kind in stated:
        if kind == "message":
            raise refusal(file, "modality_config", stated, "texts as chat messages are not reproduced", "save the model with texts alone")


def _check_arguments(file: str, key: str, arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        if name not in (*_SAME_ANSWERS, "model_max_length"):
            why = "this argument may change what the model answers"
            raise refusal(file, f"{key}.{name}", value, why, "remove it, or put it into the model's config.json or tokenizer_config.json")
