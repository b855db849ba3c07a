"""adapter_config.json of PEFT: a LoRA adapter, which is nothing without the model that it was trained on."""

from pathlib import Path
from typing import Any

from pydantic import Field

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.model.statements.statement_file import check_keys, read_object, refusal, typed

FILE, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Which modules have an adapter, and which are stored whole, shows in the weights; the others say how the adapter was trained.
_HARMLESS = (
    "auto_mapping", "peft_version", "revision", "inference_mode", "r", "rank_pattern", "target_modules", "exclude_modules", "lora_dropout",
    "bias", "modules_to_save", "layers_to_transform", "layers_pattern", "megatron_config", "megatron_core", "eva_config",
    "loftq_config", "runtime_config", "qalora_group_size", "ensure_weight_tying",
)  # fmt: skip
# What computes something else than W + scaling * B A, or changes the base model first.
_REFUSED = (
    "layer_replication", "trainable_token_indices", "target_parameters", "lora_bias", "use_qalora", "use_bdlora", "alora_invocation_tokens",
    "corda_config", "lora_ga_config", "velora_config", "monteclora_config", "arrow_config", "kasa_config",
)  # fmt: skip
_READ = (
    "peft_type", "task_type", "base_model_name_or_path", "lora_alpha", "alpha_pattern", "use_rslora", "use_dora", "fan_in_fan_out",
    "init_lora_weights",
)  # fmt: skip
_PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")  # of training: the base model stays as it is


class Adapter(Frozen):
    """alpha: the scaling times the rank, or times its root where `root_of_rank`; by patterns of module names in `alphas`."""

    base: str | None
    kind: str | None  # of model, as PEFT names it: SEQ_CLS
    alpha: float = Field(gt=0)
    alphas: dict[str, float]
    root_of_rank: bool
    by_magnitude: bool  # DoRA
    transposed: bool  # weights stand as [in, out]


def read_adapter(folder: Path) -> Adapter | None:
    """None: the folder holds no adapter. EdgepackError: one that is not a LoRA, or that computes what is not reproduced."""
    if not (folder / FILE).is_file():
        return None
    content = read_object(folder / FILE)
    if content.get("peft_type") != "LORA":
        raise refusal(FILE, "peft_type", content.get("peft_type"), "only LoRA can be merged into a model", _merge_with_peft())
    for key in _REFUSED:
        if content.get(key):
            raise refusal(FILE, key, content[key], "this kind of LoRA is not merged here", _merge_with_peft())
    if content.get("init_lora_weights") not in _PLAIN_STARTS:
        why = "such an adapter changes the base model when it is loaded"
        raise refusal(FILE, "init_lora_weights", content["init_lora_weights"], why, _merge_with_peft())
    check_keys(FILE, content, (*_HARMLESS, *_REFUSED, *_READ))
    if not (folder / WEIGHTS).is_file():
        raise EdgepackError(f"no {WEIGHTS} in {folder}", "save the adapter as safetensors: `model.save_pretrained(folder)` of PEFT does so")
    return Adapter(
        base=typed(FILE, content, "base_model_name_or_path", str, None),
        kind=typed(FILE, content, "task_type", str, None),
        alpha=_above_zero("lora_alpha", content.get("lora_alpha", 8)),
        alphas={name: _number("alpha_pattern", value) for name, value in typed(FILE, content, "alpha_pattern", dict, {}).items()},
        root_of_rank=typed(FILE, content, "use_rslora", bool, False),
        by_magnitude=typed(FILE, content, "use_dora", bool, False),
        transposed=typed(FILE, content, "fan_in_fan_out", bool, False),
    )


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(FILE, key, value, "it is not a number", "save the adapter again")
    return float(value)


def _above_zero(key: str, value: Any) -> float:
    number = _number(key, value)
    if not number > 0:
        raise refusal(FILE, key, value, "it is not above 0", "save the adapter again")
    return number


def _merge_with_peft() -> str:
    return "merge it once with PEFT: `merge_and_unload()`, then `save_pretrained(folder)`, and give that folder"
