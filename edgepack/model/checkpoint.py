"""Loads and saves a model, also a pruned one with uneven heads. safetensors only, never a pickle."""

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

import edgepack.model.static_embedding  # noqa: F401, transformers' Auto classes know it from then on
from edgepack.core.errors import EdgepackError, border_of_rust, stopped_in_rust
from edgepack.model.adapters import merge_adapter
from edgepack.model.factored import factors_of, put_factors
from edgepack.model.sentence_head import statement_of, with_head
from edgepack.model.source import KEPT_FILE, Kept, Source, find_model
from edgepack.model.statements.generation_config import FILE as GENERATION_FILE
from edgepack.model.structure import depth_of, layer_shapes, note_sources, sources_of
from edgepack.model.surgery import resize_layers
from edgepack.model.tokenizer_trial import check_limit, try_tokenizer
from edgepack.plan.architectures import family_of
from edgepack.tasks import all_tasks, task_named
from edgepack.tasks.common.task import Task


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keeps transformers' loading bars and reports from standing between edgepack and its user."""
    from transformers.utils import logging as their_logging

    level, bars = their_logging.get_verbosity(), their_logging.is_progress_bar_enabled()
    their_logging.set_verbosity(logging.ERROR)
    their_logging.disable_progress_bar()
    try:
        yield
    finally:
        their_logging.set_verbosity(level)
        if bars:
            their_logging.enable_progress_bar()


@border_of_rust()
def load_checkpoint(
    model: str | Path | Source, task: str | None = None, trust_remote_code: bool = False, dimensions: int | None = None
) -> nn.Module:
    """A folder (or hub id) as a torch model in fp32 and eval mode; folders that edgepack pruned load like any other.

    dimensions: so many numbers of a text's vector stay.

    EdgepackError: weights missing for the task's head, a weight that holds no numbers, or a list of heads that does not fit the weights.
    """
    source = model if isinstance(model, Source) else find_model(str(model), trust_remote_code)
    name = task or source.task()
    with quiet_transformers():
        if source.record:
            loaded = _from_record(source, name, dimensions)
        else:
            loaded = source.reader.load_model(source, name, dimensions, trust_remote_code)
    _check_finite(loaded, source.name)
    return _answering_by_name(loaded).eval()


def _check_finite(model: nn.Module, name: str) -> None:
    """EdgepackError names the first tensor with a value that is not a number: whatever such a model answers means nothing."""
    for path, parameter in model.named_parameters():
        wrong = int((~torch.isfinite(parameter)).sum())
        if wrong:
            values = f"{wrong:,} of {parameter.numel():,} values"
            raise EdgepackError(
                f"{name} is damaged: {values} of its weight {path} are NaN or infinite", "train, save or download the model again"
            )


def _answering_by_name(model: nn.Module) -> nn.Module:
    """A config may ask for tuples, outputs that nobody reads, or an FFN in parts: what is computed stays the same without."""
    settings = {"return_dict": True, "torchscript": False, "output_hidden_states": False, "output_attentions": False, "use_cache": True}
    for module in model.modules():
        if getattr(module, "chunk_size_feed_forward", 0):
            module.chunk_size_feed_forward = 0
    for name, value in settings.items():
        if getattr(model.config, name, value) != value:
            setattr(model.config, name, value)
    return model


def save_checkpoint(model: nn.Module, folder: Path) -> None:
    """A plain folder: safetensors, config and edgepack's own list of the heads and FFN neurons that are left."""
    with quiet_transformers():
        model.save_pretrained(folder)
    sources = sources_of(model)
    few = () if sources == list(range(len(sources))) else tuple(sources)
    record = Kept(layers=tuple(layer_shapes(model)), sources=few, factors=factors_of(model), sentence=statement_of(model))
    (folder / KEPT_FILE).write_text(json.dumps(record.as_json(), indent=1) + "\n")


def load_tokenizer(folder: Path, lower_case: bool = False) -> Any:
    """The fast tokenizer of a model folder. lower_case: texts are lowered first, as a sentence-transformers folder may state it."""
    from transformers import AutoTokenizer

    with quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except BaseException as error:  # the library's border: of a damaged file it raises whatever it stumbles over, in Rust too
            if not isinstance(error, Exception) and stopped_in_rust(error) is None:
                raise
            reason = " ".join(str(error).split())[:300]
            problem = f"no tokenizer in {folder} that transformers can load: {type(error).__name__}: {reason}"
            raise EdgepackError(problem, "save the tokenizer beside the model: `tokenizer.save_pretrained(folder)`") from None
    if not tokenizer.is_fast:
        raise EdgepackError(
            f"the tokenizer in {folder} is a {type(tokenizer).__name__}, which transformers computes in Python alone: it has no "
            "tokenizer.json, which devices read",
            "save its fast version beside the model, where transformers has one; else give a model with another tokenizer",
        )
    check_limit(tokenizer.model_max_length)
    try_tokenizer(tokenizer.backend_tokenizer, folder)
    return _lowering(tokenizer) if lower_case else tokenizer


def _lowering(tokenizer: Any) -> Any:
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    spec = json.loads(backend.to_str())["normalizer"] or {}
    steps = spec.get("normalizers", [spec])
    if not any(step.get("type") == "Lowercase" or step.get("lowercase") for step in steps):
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *([backend.normalizer] if spec else [])])
    return tokenizer


def _loaded_as(source: Source, task: str) -> Task:
    """The task whose class of transformers holds the weights: of a SetFit model that of its vectors, as its head is not transformers'."""
    if source.sentence is not None and source.sentence.labels:
        return next(each for each in all_tasks() if each.gives_vectors)
    return task_named(task)


def _class_of(task: Task) -> Any:
    import transformers

    return getattr(transformers, task.auto_class)


def _extra_arguments(source: Source, task: Task) -> dict[str, Any]:
    """A base model without its pooler: embeddings are the mean over tokens, so its weights would be dead."""
    has_pooler = family_of(source.config, source.name).pooler
    return {"add_pooling_layer": False} if has_pooler and not task.uses_pooler else {}


def _attention(config: Mapping[str, Any], place: str) -> dict[str, Any]:
    """transformers' fast attention forgets the cap on scores that a family has; its plain one does not."""
    cap = family_of(config, place).config_attention_cap
    return {"attn_implementation": "eager"} if cap and config.get(cap) else {}


def from_pretrained(source: Source, task: str, dimensions: int | None, trust_remote_code: bool) -> nn.Module:
    """A folder as transformers saves it. EdgepackError: weights are missing, of another shape, or transformers does not take them."""
    loaded_as = _loaded_as(source, task)
    has_new_labels = source.adapter is not None or loaded_as.name != task
    try:
        model, report = _class_of(loaded_as).from_pretrained(
            source.folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, by the tensor's name
            **(_head_settings(source.config) if has_new_labels else {}),
            **_attention(source.config, source.name),
            **_extra_arguments(source, loaded_as),
        )
    except Exception as error:  # the library's border: what it cannot make of a folder, it says by a class of any kind
        raise _not_loaded(source, error) from error
    if report["mismatched_keys"] and not has_new_labels:
        tensor, stored, wanted = sorted(report["mismatched_keys"])[0]
        raise EdgepackError(
            f"{source.name}: the weight {tensor} is of the shape {list(stored)}, and config.json describes one of {list(wanted)}",
            "correct config.json (id2label has an entry for each label), or save the model again",
        )
    brought = merge_adapter(model, source.adapter_folder, source.adapter) if source.adapter else set()
    missing = sorted(set(report["missing_keys"]) - brought)
    if missing:
        if other := next((name for name in report["unexpected_keys"] if name.endswith(f".{missing[0]}")), None):
            raise EdgepackError(
                f"{source.name} stores {missing[0]} under another name, {other}: it was saved inside another module",
                "save the model itself: model.module, or model._orig_mod, with its save_pretrained",
            )
        raise EdgepackError(
            f"{source.name} has no weights for {missing[0]}, which {task} needs",
            "fine-tune the model for the task first, or name its task with --task",
        )
    whole = with_head(model, source.parts_for(task_named(task)), dimensions, source.root)
    whole.unread_weights = _unread(report["unexpected_keys"], loaded_as)
    return whole


def _unread(unexpected: Iterable[str], task: Task) -> tuple[str, ...]:
    """Weights of a folder that transformers has no place for; a pooler that the task does not use is left out on purpose."""
    return tuple(sorted(name for name in unexpected if task.uses_pooler or "pooler" not in name.split(".")))


def _not_loaded(source: Source, error: Exception) -> EdgepackError:
    reason = (str(error).strip().splitlines() or [""])[0]
    return EdgepackError(
        f"transformers cannot load {source.name}: {type(error).__name__}: {reason}",
        "see whether AutoModel.from_pretrained loads the folder, and save the model again",
    )


def _head_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A base model's head, where it has one, makes room for the adapter's; the config names the labels."""
    names = {int(index): name for index, name in (config.get("id2label") or {}).items()}
    labels = {"id2label": names, "label2id": {name: index for index, name in names.items()}} if names else {}
    problem = {"problem_type": config["problem_type"]} if config.get("problem_type") else {}
    return labels | problem


def _from_record(source: Source, task: str, dimensions: int | None) -> nn.Module:
    from transformers import AutoConfig

    loaded_as = _loaded_as(source, task)
    try:
        config = AutoConfig.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
        model = _class_of(loaded_as).from_config(
            config, dtype=torch.float32, **_attention(source.config, source.name), **_extra_arguments(source, loaded_as)
        )
    except Exception as error:
        raise _not_loaded(source, error) from error
    try:
        resize_layers(model, source.record.layers)
        if source.record.sources:
            if len(source.record.sources) != depth_of(model):
                raise ValueError(f"{len(source.record.sources)} sources for {depth_of(model)} layers")
            note_sources(model, source.record.sources)
        put_factors(model, source.record.factors)
        with_head(model, source.parts_for(task_named(task)), dimensions)
        weights = load_file(source.folder / "model.safetensors")
        missing, unexpected = model.load_state_dict(weights, strict=False)
        tied = set(getattr(model, "all_tied_weights_keys", None) or ())
        if unexpected or set(missing) - tied:
            raise ValueError(f"weights missing: {sorted(missing)[:3]}, not expected: {sorted(unexpected)[:3]}")
        model.tie_weights()
        _restore_generation(model, source.folder)
    except (RuntimeError, ValueError, EdgepackError) as error:
        raise EdgepackError(
            f"{source.folder.name}/{KEPT_FILE} does not fit the weights: {error}", "keep the list beside the weights that it was saved with"
        ) from None
    return model


def _restore_generation(model: nn.Module, folder: Path) -> None:
    """What the folder states about writing: a class of transformers that is made of a config alone knows what config.json says of it."""
    from transformers import GenerationConfig

    if (folder / GENERATION_FILE).is_file() and hasattr(model, "generation_config"):
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
