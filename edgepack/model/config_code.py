"""What a config.json may not choose by itself: code of the folder, kernels from a hub, libraries that unpack weights."""

from collections.abc import Iterator, Mapping
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown
from edgepack.plan.architectures import family_of

_OWN_CODE = ("auto_map", "custom_pipelines")
_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")  # a name with a slash is a repository of kernels: code
_OF_TRANSFORMERS = (None, "eager", "sdpa")


def check_config(config: Mapping[str, Any], place: str, model: str, trust_remote_code: bool) -> None:
    """EdgepackError: code that nobody asked for, attention that is not transformers' own, weights that are quantized already.

    Also a family that edgepack does not know, where it brings code: to run that would not help.
    """
    for key, value in _entries(config):
        if key in _OWN_CODE and value and not trust_remote_code:
            fix = "read it, then pass --trust-remote-code"
            if key == "auto_map":
                family = family_of(config, place)  # one that edgepack does not know is the first to be told
                fix += f"; or remove auto_map from config.json: transformers itself knows a {family.model_type}, and computes it then"
            raise EdgepackError(f"{model} contains code of its own ({place}, {key})", fix)
        if key.strip("_").removesuffix("_internal") in _IMPLEMENTATIONS and value not in _OF_TRANSFORMERS:
            raise EdgepackError(
                f"{place} chooses the code that computes the model: {key} is {shown(value)}",
                f"remove {key} from it: edgepack computes every model with transformers' own code",
            )
        if key == "quantization_config" and value:
            raise EdgepackError(f"the weights of {model} are quantized already ({place}, {key})", "give the model as it was before that")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values, those of configs within a config too."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield key, part
            yield from _entries(part)
