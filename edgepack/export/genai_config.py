"""genai_config.json: what onnxruntime-genai must know to run a decoder's pack as it is. Pure: no torch, no model files."""

from collections.abc import Mapping
from typing import Any

from edgepack.pack.runnable import Runnable
from edgepack.plan.architectures import family_of

GENAI_FILE = "genai_config.json"
_LEVELS = {"disable_all": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}

# Names of tensors, as onnx_decoder.py gives them; %d is the layer.
_INPUTS = {
    "input_ids": "input_ids",
    "attention_mask": "attention_mask",
    "past_key_names": "past_key_values.%d.key",
    "past_value_names": "past_key_values.%d.value",
}
_OUTPUTS = {"logits": "logits", "present_key_names": "present.%d.key", "present_value_names": "present.%d.value"}
_GREEDY = {
    "min_length": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "past_present_share_buffer": True,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_k": 1,
    "top_p": 1.0,
    "early_stopping": True,
}


def genai_config(config: Mapping[str, Any], runnable: Runnable) -> dict[str, Any]:
    """The file's content, from a model's config.json and what a target must know of it.

    Heads and head size are those of the config: genai reads each layer's own from the model's inputs, so layers with fewer
    heads and layers without attention run as they are. Search defaults are those of the model's folder, greedy where it has none,
    up to the model's last position.
    """
    family = family_of(config, "config.json")
    heads, hidden = config[family.config_heads], config[family.config_hidden]
    first_stop = runnable.stop_ids[0] if runnable.stop_ids else runnable.pad_id
    session = {
        "log_id": "onnxruntime-genai",
        "graph_optimization_level": _LEVELS[runnable.session.graph_optimization_level],
        "provider_options": [],
    }
    return {
        "model": {
            "type": "decoder",  # of any family: a plain decoder with the inputs named below
            "bos_token_id": config.get("bos_token_id") if config.get("bos_token_id") is not None else first_stop,
            "eos_token_id": list(runnable.stop_ids) or first_stop,
            "pad_token_id": runnable.pad_id,
            "vocab_size": runnable.vocab,
            "context_length": runnable.positions,
            "decoder": {
                "session_options": session | runnable.session.config,  # genai takes what it does not know as config entries
                "filename": runnable.model,
                "hidden_size": hidden,
                "head_size": config.get("head_dim") or hidden // heads,
                "num_attention_heads": heads,
                "num_key_value_heads": config.get("num_key_value_heads") or heads,
                "num_hidden_layers": config[family.config_layers],
                "inputs": _INPUTS,
                "outputs": _OUTPUTS,
            },
        },
        "search": {"do_sample": False, "max_length": runnable.positions} | _GREEDY | _stated(runnable.answers or {}),
    }


def _stated(answers: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's folder says of a text's continuation, in as far as genai has the same settings."""
    settings = {key: answers[key] for key in ("repetition_penalty", "min_length") if key in answers}
    if answers.get("no_repeat_ngram_size"):
        settings["no_repeat_ngram_size"] = answers["no_repeat_ngram_size"]
    if answers.get("do_sample"):
        settings |= {key: answers[key] for key in ("do_sample", "temperature", "top_k", "top_p")}
    return settings
