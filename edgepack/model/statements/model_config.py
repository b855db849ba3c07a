"""config.json: values that no model can have, and keys by which a transformer computes what a pack does not. Before anything is loaded.

Widths and counts are read in plan/shape.py, what a family stands for in plan/architectures, labels in tasks/common/labels.py. All other
keys change the model that transformers builds of them, which is what is exported, and the export is compared with it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown
from edgepack.model.statements.statement_file import refusal

FILE = "config.json"
_WHOLE = "edgepack builds encoders and decoders by themselves"
# Of any family: the values that change nothing, why others are refused, and the way out.
_REFUSED: dict[str, tuple[tuple[Any, ...], str, str]] = {
    "quantization_config": ((None, {}), "the weights are stored quantized", "give the model that it was made of, in fp32, fp16 or bf16"),
    "is_encoder_decoder": ((None, False), _WHOLE, "give a model of one of the families that edgepack knows"),
    "add_cross_attention": ((None, False), _WHOLE, "give a model of one of the families that edgepack knows"),
    "pruned_heads": ((None, {}), "transformers 5 reads it no more", "prune with edgepack: --prune-heads"),
    "position_embedding_type": ((None, "absolute"), "transformers 5 computes absolute ones", "give a model that has those"),
}  # fmt: skip
_OF_ENCODERS = {"is_decoder": ((None, False), "an encoder that sees no later token is not reproduced", "set it to false")}
_OF_WRITING = {
    "prefix": ((None, ""), "transformers' pipeline puts it before every prompt", "set it to null, and put it before your prompts")
}
_BY_LENGTH = ("dynamic", "longrope", "su")  # how positions are turned depends on the text; a file has that fixed
_POSITIVE = ("layer_norm_eps", "rms_norm_eps", "norm_eps", "layer_norm_epsilon", "rope_theta")
_ACTIVATIONS = ("hidden_act", "hidden_activation", "activation", "activation_function", "classifier_activation")


def check_model_config(config: Mapping[str, Any], causal: bool, place: str, writes: bool = False) -> None:
    """EdgepackError names the key. causal: whether the family sees no later token anyway. writes: whether the task continues a text."""
    for key, (harmless, why, fix) in (_REFUSED | ({} if causal else _OF_ENCODERS) | (_OF_WRITING if writes else {})).items():
        if key in config and config[key] not in harmless:
            raise refusal(place, key, config[key], why, fix)
    for key in ("rope_parameters", "rope_scaling"):  # of today and of before
        _check_rotation(key, config.get(key), place)
    rotation = config.get("rope_parameters") or config.get("rope_scaling")
    rotation = rotation if isinstance(rotation, Mapping) else {}
    stated = {key: config.get(key) for key in _POSITIVE}
    stated |= {f"rope_parameters {key}": rotation.get(key) for key in ("rope_theta", "factor")}
    for key, value in stated.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            raise EdgepackError(f"wrong value in {place} {key}: {shown(value)}", "it is a number above 0")


def check_padding(pad_id: Any, place: str) -> None:
    """EdgepackError: the last token that is no padding decides, and nothing says which token is padding. pad_id: of the config."""
    if pad_id is None:
        why = "a decoder's head for classes reads the last token that is no padding, and transformers cannot tell it in a batch"
        raise refusal(
            place, "pad_token_id", pad_id, why, "write the id that the model was trained with, which its tokenizer's pad_token has"
        )


def _check_rotation(key: str, stated: Any, place: str) -> None:
    """EdgepackError: positions are turned by the length of the text, which a file does not know. stated: all, or each kind of layer."""
    if not isinstance(stated, Mapping):
        return
    kind = stated.get("rope_type", stated.get("type", "default"))
    if kind in _BY_LENGTH:
        why = "such positions depend on the length of the text, and a file has them fixed"
        raise refusal(place, f"{key}.rope_type", kind, why, "give a model with rope_type default, linear, llama3 or yarn")
    for name, part in stated.items():
        if isinstance(part, Mapping):
            _check_rotation(f"{key}.{name}", part, place)


def check_with_library(folder: Path, config: Mapping[str, Any], trust_remote_code: bool) -> Any:
    """The config as transformers reads it. EdgepackError: it does not take the config, or does not know an activation."""
    from transformers import AutoConfig
    from transformers.activations import ACT2FN
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    place = f"{folder.name}/{FILE}"
    for key in _ACTIVATIONS:
        value = config.get(key)
        if isinstance(value, str) and value not in ACT2FN:  # of other types transformers says below whether it takes them
            raise EdgepackError(f"wrong value in {place} {key}: {shown(value)}", f"transformers knows {', '.join(sorted(ACT2FN))}")
    rotation = config.get("rope_parameters") or config.get("rope_scaling")
    kind = (rotation.get("rope_type") or rotation.get("type")) if isinstance(rotation, Mapping) else None
    if isinstance(kind, str) and kind not in ("default", *ROPE_INIT_FUNCTIONS):
        known = ", ".join(sorted({"default", *ROPE_INIT_FUNCTIONS}))
        raise EdgepackError(f"wrong value in {place} rope_type: {shown(kind)}", f"transformers knows {known}")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    except Exception as error:  # whatever a class of transformers raises for a value that it does not take
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise EdgepackError(f"transformers does not take {place}: {' '.join(lines)[:300]}", "save the model again") from None
