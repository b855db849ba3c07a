"""sentence_bert_config.json: how the transformer of a sentence-transformers folder takes texts."""

from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.model.statements.statement_file import check_keys, read_object, refusal, typed

# The library reads the first of these that states something.
FILES = tuple(f"sentence_{name}_config.json" for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"))
_HARMLESS = ("unpad_inputs",)  # where the padding goes, not what comes out
_TOKENIZER = ("tokenizer_args", "processor_kwargs")  # the library takes the first, the older name, where both are there
_ARGUMENTS = ("model_args", "model_kwargs", *_TOKENIZER, "config_args", "config_kwargs")
_OF_NO_USE = ("query_length", "document_length", "query_expansion")  # of models with a vector for each token
_SAME_ANSWERS = (
    "torch_dtype", "dtype", "attn_implementation", "device_map", "low_cpu_mem_usage", "use_fast", "use_safetensors", "use_cache",
)  # fmt: skip
_OUTPUTS = {"feature": ("last_hidden_state", "token_embeddings"), "sequence": ("logits", "scores"), "fill": ("logits", "token_embeddings")}
_OTHER_INPUTS = ("audio", "image", "video", "chat_template")  # of no use where texts are put to a model as they are
# Arguments of the tokenizer's call and the values that change nothing for a text by itself; None: whatever the value is.
_OF_A_CALL: dict[str, tuple[Any, ...] | None] = {
    "truncation": (True, "longest_first", "only_first"),
    "padding": (True, False, "longest", "do_not_pad", "max_length"),
    "padding_side": ("right",),
    "add_special_tokens": (True,),
    "return_token_type_ids": (True,),
    "return_attention_mask": (True,),
    **dict.fromkeys(("pad_to_multiple_of", "return_tensors", "verbose", "logits_to_keep")),
}  # fmt: skip
_HEADS = ("feature", "sequence", "fill")  # the first word of what the library calls the outputs: of tokens, of classes, of masked words
_KNOWN = (
    "max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name", "processing_kwargs",
    *_HARMLESS, *_ARGUMENTS, *_OF_NO_USE,
)  # fmt: skip


def read_sentence_bert_config(folder: Path, is_sparse: bool = False, gives_logits: bool = False) -> tuple[int | None, bool]:
    """The tokens after which a text is cut (None: the tokenizer's own limit), and whether texts are lowered first.

    is_sparse: the logits of the transformer's head for masked words are pooled. gives_logits: the head that is taken where none is stated.
    """
    file = next((name for name in FILES if read_object(folder / name)), FILES[0])
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
    _check_modalities(file, content, task.partition("-")[0])
    for key in _ARGUMENTS:
        _check_arguments(file, key, typed(file, content, key, dict, {}))
    return _longest(file, content), typed(file, content, "do_lower_case", bool, False)


def refuse_sentence_bert_config(folder: Path) -> None:
    """EdgepackError: such a file beside a StaticEmbedding, which the library does not read there, though it states how texts are cut."""
    for name in FILES:
        if (folder / name).is_file():
            raise EdgepackError(
                f"{name} stands beside a StaticEmbedding, for which sentence-transformers does not read it: it cuts and lowers no text",
                "remove the file; a length that texts are to be cut at goes into tokenizer.json, or is given as --max-length",
            )


def _longest(file: str, content: dict[str, Any]) -> int | None:
    """As the library has it: the length of the tokenizer's call, else the tokenizer's stated one, else max_seq_length."""
    lengths = [
        (key, stated.get(name))
        for key, stated, name in (
            ("processing_kwargs", _call_arguments(file, content), "max_length"),
            *((key, content.get(key) or {}, "model_max_length") for key in _TOKENIZER),
            ("", content, "max_seq_length"),
        )
    ]
    key, length = next(((key, length) for key, length in lengths if length is not None), ("", None))
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
        raise refusal(file, key or "max_seq_length", length, "it is no number of tokens", "give a whole number from 1")
    return length


def _call_arguments(file: str, content: dict[str, Any]) -> dict[str, Any]:
    """Of the tokenizer's call, checked; those for every kind of input go first, as in the library."""
    stated = typed(file, content, "processing_kwargs", dict, {})
    check_keys(f"{file} processing_kwargs", stated, ("common", "text", *_OTHER_INPUTS))
    arguments = typed(file, stated, "text", dict, {}) | typed(file, stated, "common", dict, {})
    for name, value in arguments.items():
        usual = _OF_A_CALL.get(name, ())
        if name != "max_length" and usual is not None and value is not None and value not in usual:
            why = "this argument may change what the model answers"
            known = f", or set it to {' or '.join(map(repr, usual))}" if usual else ""
            raise refusal(file, f"processing_kwargs.{name}", value, why, f"remove it{known}")
    return arguments


def _check_modalities(file: str, content: dict[str, Any], head: str) -> None:
    """Texts are put to a model as they are; as messages they would go through a chat template. Its usual output is read."""
    stated = typed(file, content, "modality_config", dict, {})
    if "message" in stated:
        raise refusal(file, "modality_config", stated, "texts as chat messages are not reproduced", "save the model with texts alone")
    output, name = _OUTPUTS[head]
    of_texts = stated.get("text", {"method": "forward", "method_output_name": output})
    if of_texts not in ({"method": "forward", "method_output_name": output}, {"method": "forward", "method_output_name": [output]}):
        why = f"of a model's outputs only {output} is reproduced"
        raise refusal(file, "modality_config.text", of_texts, why, "remove the key where the parts behind the transformer read that output")
    if content.get("module_output_name", name) not in (name, None):
        why = f"the parts behind the transformer read {name}"
        raise refusal(file, "module_output_name", content["module_output_name"], why, "remove the key")


def _check_arguments(file: str, key: str, arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        if name not in (*_SAME_ANSWERS, *(("model_max_length", "padding_side") if key in _TOKENIZER else ())):
            why = "this argument may change what the model answers"
            raise refusal(file, f"{key}.{name}", value, why, "remove it, or put it into the model's config.json or tokenizer_config.json")
