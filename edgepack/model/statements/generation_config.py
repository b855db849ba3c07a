"""generation_config.json, or where a folder has none the same keys in config.json: how a text is continued.

A key is reproduced, or it changes no answer of a pack, or it is refused by its name. As transformers 5 reads them (GenerationConfig).
"""

import json
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.model.statements.statement_file import read_object, refusal

FILE = "generation_config.json"

# Reproduced, with the value that changes nothing. Their order and arithmetic stand in targets/penalties.py and targets/sampling.py.
REPRODUCED: dict[str, Any] = {
    "do_sample": False, "temperature": 1.0, "top_k": None, "top_p": 1.0, "min_p": None, "typical_p": 1.0, "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "bad_words_ids": None, "sequence_bias": None,
    "suppress_tokens": None, "begin_suppress_tokens": None, "forced_bos_token_id": None, "forced_eos_token_id": None, "min_length": 0,
    "min_new_tokens": None, "max_new_tokens": None, "max_length": None, "exponential_decay_length_penalty": None, "stop_strings": None,
}  # fmt: skip

# They change how an answer is computed or returned, not which it is; length_penalty and early_stopping judge beams alone.
WITHOUT_EFFECT = frozenset({
    "eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id", "use_cache", "cache_implementation", "cache_config",
    "max_cache_len", "renormalize_logits", "remove_invalid_values", "length_penalty", "early_stopping", "output_attentions",
    "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "is_assistant", "num_assistant_tokens",
    "num_assistant_tokens_schedule", "assistant_confidence_threshold", "prompt_lookup_num_tokens", "max_matching_ngram_size",
    "assistant_early_exit", "assistant_lookbehind", "target_lookbehind", "assistant_ensemble_weight", "speculation_type", "use_mtp",
    "compile_config", "disable_compile", "continuous_batching_config", "low_memory", "diversity_penalty", "prefill_chunk_size",
    "transformers_version",
})  # fmt: skip

# Not reproduced: the value that changes nothing, and what to do about any other.
_AS_GREEDY = "edgepack continues a text greedily or by drawing: remove the key, or set it to {} if such answers are good enough"
_REMOVE = "remove the key, or set it to {}"
REFUSED: dict[str, tuple[Any, str]] = {
    "num_beams": (1, _AS_GREEDY), "num_beam_groups": (1, _AS_GREEDY), "penalty_alpha": (0.0, _AS_GREEDY), "dola_layers": (None, _AS_GREEDY),
    "constraints": (None, _AS_GREEDY), "force_words_ids": (None, _AS_GREEDY), "guidance_scale": (1, _REMOVE), "top_h": (None, _REMOVE),
    "encoder_repetition_penalty": (1.0, "it is for models with an encoder: set repetition_penalty, or set it to {}"),
    "encoder_no_repeat_ngram_size": (0, "it is for models with an encoder: set no_repeat_ngram_size, or set it to {}"),
    "watermarking_config": (None, _REMOVE), "token_healing": (False, _REMOVE),
    "num_return_sequences": (1, "set it to {}, and ask several times, each with another seed"),
    "max_time": (None, "remove it, and pass `seconds` with a call of the module"),
}  # fmt: skip


def read_generation(folder: Path, config: dict[str, Any], name: str) -> dict[str, Any]:
    """The keys of REPRODUCED that change something, with their values. EdgepackError: a key that changes answers otherwise."""
    file, content = FILE, read_object(folder / FILE)
    if not (folder / FILE).is_file():
        file, content = "config.json", {key: value for key, value in config.items() if key in REPRODUCED or key in REFUSED}
    for key, value in content.items():
        if key in REFUSED and value is not None and value != REFUSED[key][0]:
            raise _refused(f"{name}/{file}", key, value, REFUSED[key][1].format(json.dumps(REFUSED[key][0])))
    unknown = [
        key
        for key, value in content.items()
        if value is not None and key not in REPRODUCED | REFUSED and key not in WITHOUT_EFFECT and not key.startswith("_")
    ]
    for key in _of_the_library(unknown) if unknown else ():
        raise _refused(f"{name}/{file}", key, content[key], "remove the key")
    stated = {key: value for key, value in content.items() if key in REPRODUCED and value is not None and value != REPRODUCED[key]}
    return _checked(stated, f"{name}/{file}")


def _of_the_library(keys: list[str]) -> list[str]:
    """Those that the installed transformers knows: it reads no others."""
    from transformers import GenerationConfig

    known = vars(GenerationConfig())
    return [key for key in keys if key in known]


def _refused(place: str, key: str, value: Any, way_out: str) -> EdgepackError:
    return refusal(place, key, value, "edgepack does not reproduce it", way_out)


def _checked(stated: dict[str, Any], place: str) -> dict[str, Any]:
    """Values as plain lists, in the range where transformers takes them. EdgepackError names the key otherwise."""
    if isinstance(stated.get("stop_strings"), str):
        stated = stated | {"stop_strings": [stated["stop_strings"]]}
    if isinstance(stated.get("forced_eos_token_id"), int):
        stated = stated | {"forced_eos_token_id": [stated["forced_eos_token_id"]]}
    if isinstance(stated.get("sequence_bias"), dict):
        raise _refused(place, "sequence_bias", stated["sequence_bias"], "write it as a list of [[token ids], bias]")
    for key, low, high in (
        ("temperature", 0, None),
        ("repetition_penalty", 0, None),
        ("top_p", 0, 1),
        ("min_p", 0, 1),
        ("typical_p", 0, 1),
    ):
        value = stated.get(key)
        if value is not None and not (isinstance(value, int | float) and value >= low and (high is None or value <= high)):
            raise EdgepackError(f"{place} sets {key} to {json.dumps(value)}, which transformers does not take", _range(low, high))
    if stated.get("repetition_penalty") == 0:
        raise EdgepackError(f"{place} sets repetition_penalty to 0, which transformers does not take", "give a number above 0")
    if stated.get("temperature") == 0 and stated.get("do_sample"):
        raise EdgepackError(f"{place} sets temperature to 0 with do_sample, which transformers does not take", "set do_sample to false")
    decay, least = stated.get("exponential_decay_length_penalty"), stated.get("min_new_tokens")
    begins = decay[0] if isinstance(decay, list) and decay and isinstance(decay[0], int) else None
    if begins is not None and (stated.get("min_length") or (isinstance(least, int) and least > begins + 1)):
        why = "where min_new_tokens or min_length forbids the end, transformers itself computes what is no number"
        fix = "remove one of them, or let the decay begin behind min_new_tokens"
        raise refusal(place, "exponential_decay_length_penalty", decay, why, fix)
    for key in ("temperature", "repetition_penalty", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"):
        if isinstance(stated.get(key), int):
            stated = stated | {key: float(stated[key])}
    return stated


def _range(low: float, high: float | None) -> str:
    return f"give a number from {low} on" if high is None else f"give a number from {low} to {high}"
