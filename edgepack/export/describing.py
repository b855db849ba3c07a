"""Fills the record of an exported file that targets read. Each format adds its own fields."""

from typing import Any

from torch import nn

from edgepack.export.decoders import cache_layers, start_id, stop_ids
from edgepack.model.evaluation import pad_id_of, takes_types
from edgepack.pack.runnable import Runnable
from edgepack.tasks.common.task import Task


def input_names(model: nn.Module, mask: bool = True) -> list[str]:
    """Of an encoder's file. mask: whether it says which tokens are padding; a file that reads one text at a time needs none."""
    return ["input_ids", *(["attention_mask"] if mask else []), *(["token_type_ids"] if takes_types(model) else [])]


def describe_encoder(model: nn.Module, task: Task, file: str, mask: bool = True, **of_the_format: Any) -> Runnable:
    """The record of an exported encoder. mask: see `input_names`. of_the_format: fields of Runnable that only its format has."""
    head = getattr(model, "sentence_head", None)
    of_no_tokens = head.of_no_tokens() if head is not None else None
    return _describe(model, task, file, tuple(input_names(model, mask)), empty_output=of_no_tokens, **of_the_format)


def describe_decoder(model: nn.Module, task: Task, file: str, positions: int, **of_the_format: Any) -> Runnable:
    """As `describe_encoder`, of a decoder with its cache. positions: tokens that it can have seen. `inputs` are those beside the cache."""
    more = {"cache": cache_layers(model), "stop_ids": stop_ids(model), "start_id": start_id(model), "positions": positions}
    return _describe(model, task, file, ("input_ids", "attention_mask"), **more | of_the_format)


def _describe(model: nn.Module, task: Task, file: str, inputs: tuple[str, ...], **more: Any) -> Runnable:
    return Runnable(
        task=task.name,
        model=file,
        inputs=inputs,
        outputs=task.outputs,
        per_token=task.per_token,
        pad_id=pad_id_of(model),
        vocab=model.config.vocab_size,
        **more,
    )
