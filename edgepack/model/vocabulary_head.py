"""The head of a model for masked words: it turns hidden states into logits over the vocabulary, with the family's own code."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgepack.core.errors import EdgepackError

_LEGACY = "legacy"  # of DeBERTa: without it the head reads the transformer's own table


class VocabularyHead(nn.Module):
    """[rows, tokens, hidden] become [rows, tokens, vocabulary].

    The table is a copy: as the layers' input and as their output it is quantized in different ways. EdgepackError: the family has no
    such head, or the folder no weights for it.
    """

    def __init__(self, config: Any, folder: Path | None = None) -> None:
        super().__init__()
        if getattr(config, _LEGACY, True) is False:
            raise EdgepackError(
                f"config.json states {_LEGACY} = false: this head for masked words is not reproduced", "give a model with the usual head"
            )
        self.model = _masked_words(config, folder)
        setattr(self.model, self.model.base_model_prefix, _GivenStates())
        self.model._tied_weights_keys, self.model.all_tied_weights_keys = {}, {}
        _drop_second_names(self.model)
        _join_products(self.model)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(inputs_embeds=hidden).logits
        return logits


def _drop_second_names(model: nn.Module) -> None:
    """A bias of the head is also one of its product, which is what computes: a checkpoint has it once."""
    names: dict[int, str] = {}
    for name, parameter in sorted(model.named_parameters(remove_duplicate=False), key=lambda pair: -len(pair[0])):
        if id(parameter) in names:
            module, _, leaf = name.rpartition(".")
            model.get_submodule(module).register_parameter(leaf, None)
        names[id(parameter)] = name


def _join_products(model: nn.Module) -> None:
    """A product with a matrix that is put together of two at each call becomes a layer, which quantizers know (MobileBERT)."""
    for name, head in list(model.named_modules()):
        if not all(hasattr(head, part) for part in ("transform", "decoder", "dense")):
            continue
        matrix = torch.cat([head.decoder.weight, head.dense.weight.t()], dim=1).detach()
        layer = nn.Linear(matrix.shape[1], matrix.shape[0])
        layer.weight, layer.bias = nn.Parameter(matrix.clone()), nn.Parameter(head.decoder.bias.detach().clone())
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, nn.Sequential(OrderedDict(transform=head.transform, decoder=layer)))


class _GivenStates(nn.Module):
    """In the transformer's place: what comes in is what it would have given."""

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=inputs_embeds)


def _masked_words(config: Any, folder: Path | None) -> nn.Module:
    from transformers import AutoModelForMaskedLM

    if type(config) not in AutoModelForMaskedLM._model_mapping:
        raise EdgepackError(f"SpladePooling: {config.model_type} has no head for masked words", "give a model of a family that has one")
    if folder is None:
        return AutoModelForMaskedLM.from_config(config, dtype=torch.float32)
    model, report = AutoModelForMaskedLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise EdgepackError(
            f"SpladePooling: the folder has no weights for {missing[0]}, of the head for masked words", "save or download the model again"
        )
    return model
