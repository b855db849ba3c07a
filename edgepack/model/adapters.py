"""Merges a LoRA adapter into the model that it was trained on (Hu 2021), from safetensors alone."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from edgepack.core.errors import EdgepackError
from edgepack.model.statements.adapter_config import WEIGHTS, Adapter

_PREFIX = "base_model.model."
_MATRICES = re.compile(r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)(\.weight)?")


def merge_adapter(model: nn.Module, folder: Path, adapter: Adapter) -> set[str]:
    """W + scaling * B A for every module of the adapter; what it stores whole takes the place of the model's own.

    Returns the names of the weights that it stores whole.

    EdgepackError names a weight that has no place in the model.
    """
    changes: dict[str, dict[str, torch.Tensor]] = {}
    whole = set()
    with torch.no_grad():
        for name, tensor in load_file(folder / WEIGHTS).items():
            if name.startswith(f"{_PREFIX}pooler.") and getattr(model, "pooler", model) is None:
                continue  # embeddings are computed without it
            match = _MATRICES.fullmatch(name)
            if match:
                changes.setdefault(match["module"], {})[match["part"]] = tensor.float()
            else:
                whole.add(_replace(model, name, tensor))
        for name, parts in changes.items():
            _add(_module(model, name), name.removeprefix(_PREFIX), parts, adapter)
    return whole


def _add(module: nn.Module, name: str, parts: Mapping[str, torch.Tensor], adapter: Adapter) -> None:
    of_table = "lora_embedding_A" in parts
    first, second = (parts.get(f"lora_{'embedding_' if of_table else ''}{side}") for side in "AB")
    if first is None or second is None:
        raise EdgepackError(f"{WEIGHTS} holds half of an adapter: {name}", "save or download the adapter again")
    alpha = next((value for pattern, value in adapter.alphas.items() if re.fullmatch(rf"(.*\.)?({pattern})", name)), adapter.alpha)
    rank = first.shape[0]
    change = (alpha / (rank**0.5 if adapter.root_of_rank else rank)) * (second @ first)
    weight = module.weight
    flips = of_table or adapter.transposed
    change = change.T if flips else change
    if change.shape != weight.shape:
        problem = f"{WEIGHTS} does not fit the base model: {name} is {tuple(weight.shape)} there, {tuple(change.shape)} here"
        raise EdgepackError(problem, "give the model that the adapter was trained on with --base")
    merged = weight + change
    if adapter.by_magnitude:
        merged = _with_magnitude(merged, parts, name, flips)
    weight.copy_(merged)


def _with_magnitude(merged: torch.Tensor, parts: Mapping[str, torch.Tensor], name: str, flips: bool) -> torch.Tensor:
    """DoRA (Liu 2024): each output's weights have a length of their own."""
    magnitude = parts.get("lora_magnitude_vector")
    if magnitude is None:
        raise EdgepackError(f"{WEIGHTS} lacks lora_magnitude_vector of {name}, which use_dora needs", "save the adapter again")
    rows = merged.T if flips else merged
    scaled = rows * (magnitude.flatten() / rows.norm(dim=1))[:, None]
    return scaled.T if flips else scaled


def _replace(model: nn.Module, name: str, tensor: torch.Tensor) -> str:
    """A weight that the adapter stores whole: a head, a bias. Returns its name in the model."""
    plain = name.removeprefix(_PREFIX).replace(".base_layer.", ".").replace(".modules_to_save.", ".").replace(".default.", ".")
    place = dict(model.named_parameters()).get(plain)
    if place is None or place.shape != tensor.shape:
        raise EdgepackError(
            f"{WEIGHTS} holds {plain} {tuple(tensor.shape)}, for which the base model has no place",
            "give the model that the adapter was trained on with --base; new tokens are merged by PEFT's merge_and_unload() alone",
        )
    place.copy_(tensor)
    return plain


def _module(model: nn.Module, name: str) -> nn.Module:
    path = name.removeprefix(_PREFIX)
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise EdgepackError(
            f"{WEIGHTS} holds an adapter for {path}, which the base model does not have",
            "give the model that it was trained on with --base",
        ) from None
