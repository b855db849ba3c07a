"""Folders of sentence-transformers: every pooling, what stands behind it, prompts, lengths; configs and weights as others write them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import libraries
import torch
from rows_basic import TEXTS, make
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from situation import Calls, Situation
from small import HIDDEN

FEATURES = "feature-extraction"
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
OLD_KEYS = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
PROMPTED = (("turn on the light",), ("turn on the light", "query"), ("turn on the light", "passage"), ("call Zoë — now", ""))
NO_DEFAULT = {"default_prompt_name": None}
PROMPTS = {"query": "query: ", "passage": "Represent this passage:\n"}
WITH_DEFAULT = {"prompts": PROMPTS, "default_prompt_name": "query"}
PROMPTS_FILE = "config_sentence_transformers.json"
Part = tuple[str, dict[str, object]]


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def changed(path: Path, **more: object) -> None:
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | more)


def pooling(*modes: str, **more: object) -> Part:
    return "sentence_transformers.models.Pooling", {"word_embedding_dimension": HIDDEN, "pooling_mode": list(modes)} | more


def old_pooling(*modes: str) -> Part:
    """As versions before 6 wrote it: a key for each mode."""
    keys = {f"pooling_mode_{key}": mode in modes for key, mode in zip(OLD_KEYS, MODES, strict=True)}
    return "sentence_transformers.models.Pooling", {"word_embedding_dimension": HIDDEN, **keys, "include_prompt": True}


def dense(width_in: int, width_out: int, activation: str = "torch.nn.modules.activation.Tanh", **more: object) -> Part:
    stated = {"in_features": width_in, "out_features": width_out, "bias": True, "activation_function": activation}
    return "sentence_transformers.models.Dense", stated | more


NORMALIZE: Part = ("sentence_transformers.models.Normalize", {})
LAYER_NORM: Part = ("sentence_transformers.sentence_transformer.modules.layer_norm.LayerNorm", {"dimension": HIDDEN})


def sentence(
    folder: Path,
    parts: Sequence[Part],
    family: str = "bert",
    bert_config: dict[str, object] | None = None,
    prompts: dict[str, object] | None = None,
    after: Callable[[Path], object] | None = None,
    below: str = "",
) -> None:
    """below: where the transformer lies in the folder; after(folder) changes what was written."""
    make(folder / below if below else folder, family, task=FEATURES)
    modules = [{"idx": 0, "name": "0", "path": below, "type": "sentence_transformers.models.Transformer"}]
    for index, (kind, config) in enumerate(parts, 1):
        path = f"{index}_{kind.rpartition('.')[2]}"
        modules.append({"idx": index, "name": str(index), "path": path, "type": kind})
        write_json(folder / path / "config.json", config)
        write_weights(folder / path, kind, config)
    write_json(folder / "modules.json", modules)
    write_json(folder / below / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False} | (bert_config or {}))
    if prompts is not None:
        write_json(folder / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "3.0.0"}} | prompts)
    if after:
        after(folder)


def write_weights(folder: Path, kind: str, config: dict[str, object]) -> None:
    generator = torch.Generator().manual_seed(1)
    weights = {}
    if kind.endswith("Dense"):
        shape = (config["out_features"], config["in_features"])
        weights["linear.weight"] = torch.randn(shape, generator=generator) * 0.2
        if config["bias"]:
            weights["linear.bias"] = torch.randn(shape[0], generator=generator)
        if config.get("use_residual") and shape[0] != shape[1]:
            weights["residual.weight"] = torch.randn(shape, generator=generator) * 0.2
    if kind.endswith("LayerNorm"):
        weights = {name: torch.rand(config["dimension"], generator=generator) for name in ("norm.weight", "norm.bias")}
    if weights:
        save_file(weights, folder / "model.safetensors")


def row(
    name: str, parts: Sequence[Part], calls: Calls = TEXTS, oracle: dict[str, object] | None = None, refused: str | None = None,
    recipe: dict[str, object] | None = None, formats: tuple[str, ...] = ("onnx", "tflite"), **more: object,
) -> Situation:  # fmt: skip
    asked = partial(libraries.embed, **(oracle or {}))
    return Situation(
        f"sentence-transformers: {name}",
        FEATURES,
        partial(sentence, parts=parts, **more),
        calls,
        asked,
        recipe or {},
        refused,
        formats=formats,
    )


def plain(name: str, after: Callable[[Path], object], family: str = "bert", **more: object) -> Situation:
    """A transformers folder without modules.json, changed once it is written."""

    def written(folder: Path) -> None:
        make(folder, family, task=FEATURES)
        after(folder)

    return Situation(f"folder: {name}", FEATURES, written, TEXTS, libraries.embed, formats=("onnx",), **more)


def with_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def old_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """gamma and beta, as TensorFlow's BERT named them."""
    names = {name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta") for name in weights}
    return {names[name]: weight for name, weight in weights.items()}


def in_bf16(folder: Path) -> None:
    with_weights(folder, lambda weights: {name: weight.to(torch.bfloat16) for name, weight in weights.items()})
    changed(folder / "config.json", dtype="float32")  # the library would compute in bf16 where the config says so


def stated_in_bf16(folder: Path) -> None:
    """The library computes in bf16 then, and a pack in fp32 of the same weights."""
    in_bf16(folder)
    changed(folder / "config.json", dtype="bfloat16")


def in_shards(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, of_file in parts.items():
        save_file({name: weights[name] for name in of_file}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, of_file in parts.items() for name in of_file}}
    write_json(folder / "model.safetensors.index.json", index)


def config(**more: object) -> Callable[[Path], None]:
    return lambda folder: changed(folder / "config.json", **more)


def beside(file: str, **stated: object) -> Callable[[Path], None]:
    return lambda folder: write_json(folder / file, stated)


def chatting(**more: object) -> Callable[[Path], None]:
    """The library puts texts through the template, where nothing says that they are read as they are."""

    def change(folder: Path) -> None:
        changed(folder / "config.json", **more)
        changed(folder / "tokenizer_config.json", chat_template="{% for m in messages %}<{{ m['content'] }}>{% endfor %}")

    return change


def cased(folder: Path) -> None:
    """The tokenizer without a normalizer that lowers."""
    path = folder / "tokenizer.json"
    stated = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, stated | {"normalizer": {**stated["normalizer"], "lowercase": False}})


def saved_by_the_library(folder: Path) -> None:
    """It states `use_cache: false` for a decoder."""
    SentenceTransformer(str(folder), device="cpu").save_pretrained(str(folder))


POOLED = [
    *(row(f"{mode} pooling", [pooling(mode)]) for mode in MODES),
    row("cls pooling in the old keys", [old_pooling("cls")]),
    row("cls, max and mean in the old keys", [old_pooling("cls", "max", "mean")]),
    row("all poolings one behind the other", [pooling(*MODES)]),
    row("last token before first", [pooling("lasttoken", "cls")]),
    *(
        row(f"{family}, cls pooling", [pooling("cls"), NORMALIZE], family=family)
        for family in ("roberta", "mpnet", "distilbert", "modernbert")
    ),
    *(row(f"{family}, last token", [pooling("lasttoken"), NORMALIZE], family=family) for family in ("qwen3", "gemma3_text")),
]
BEHIND = [
    row("Normalize", [pooling("mean"), NORMALIZE]),
    row("Dense with tanh", [pooling("mean"), dense(HIDDEN, 16)]),
    row("Dense without bias or activation", [pooling("cls"), dense(HIDDEN, 24, "torch.nn.modules.linear.Identity", bias=False), NORMALIZE]),
    row("Dense of two poolings, with ReLU", [pooling("cls", "mean"), dense(2 * HIDDEN, 16, "torch.nn.modules.activation.ReLU")]),
    row("Dense with GELU and a residual", [pooling("mean"), dense(HIDDEN, HIDDEN, "torch.nn.modules.activation.GELU", use_residual=True)]),
    row("Dense with a projected residual", [pooling("mean"), dense(HIDDEN, 16, use_residual=True)]),
    row("two Dense, then Normalize", [pooling("max"), dense(HIDDEN, 48), dense(48, 8), NORMALIZE]),
    row("LayerNorm", [pooling("mean"), LAYER_NORM]),
    row("Dropout does nothing", [pooling("cls"), ("sentence_transformers.models.Dropout", {"dropout": 0.5})]),
    row("fewer dimensions", [pooling("cls")], recipe={"dimensions": 12}, oracle={"truncate_dim": 12}),
    row("fewer dimensions, as the folder says", [pooling("mean"), NORMALIZE], prompts={"truncate_dim": 12}),
    row(
        "fewer dimensions, 1 long again", [pooling("mean"), NORMALIZE],
        recipe={"dimensions": 12}, oracle={"truncate_dim": 12, "normalize_embeddings": True},
    ),
]  # fmt: skip
CALLED = {"text": {"max_length": 30, "truncation": True}, "common": {"max_length": 9, "padding": "max_length"}, "image": {"size": 3}}
ASKED = [
    row("texts are cut at max_seq_length", [pooling("mean")], bert_config={"max_seq_length": 12}),
    row("texts are lowered", [pooling("cls")], bert_config={"do_lower_case": True}),
    row("a cased tokenizer lowers where the folder says so", [pooling("cls")], bert_config={"do_lower_case": True}, after=cased),
    row("prompts by name", [pooling("mean")], PROMPTED, prompts={"prompts": PROMPTS, "default_prompt_name": None}),
    row("a default prompt", [pooling("cls"), NORMALIZE], PROMPTED, prompts={"prompts": PROMPTS, "default_prompt_name": "query"}),
    row(
        "prompts that are empty",
        [pooling("mean")],
        PROMPTED[:1],
        prompts={"prompts": {"query": "", "document": None}, "similarity_fn_name": "dot"},
    ),
    row(
        "the length of the tokenizer's call goes first",
        [pooling("mean")],
        bert_config={"max_seq_length": 40, "processor_kwargs": {"model_max_length": 20}, "processing_kwargs": CALLED},
        formats=("onnx",),
    ),
    row(
        "the tokenizer's stated length goes before max_seq_length",
        [pooling("mean")],
        bert_config={"max_seq_length": 40, "processor_kwargs": {"model_max_length": 11, "padding_side": "left"}},
        formats=("onnx",),
    ),
    replace(row("computed in bf16, as config.json says", [pooling("cls")], after=stated_in_bf16, formats=("onnx",)), tolerance=0.1),
    row("a chat template that texts are not put through", [pooling("mean")], after=chatting(), formats=("onnx",)),
    row("the transformer in a folder below", [pooling("cls")], below="0_Transformer"),
]
LEFT_OUT = [  # the tokens of prompts, of vectors
    *(
        row(
            f"prompts left out, {mode}", [pooling(mode, include_prompt=False), NORMALIZE], PROMPTED,
            prompts=WITH_DEFAULT, formats=("onnx",),
        )
        for mode in MODES
    ),
    row("prompts left out of all poolings", [pooling(*MODES, include_prompt=False)], PROMPTED, prompts={"prompts": PROMPTS}),
    *(
        row(
            f"prompts left out, {family}", [pooling("weightedmean", "cls", "mean", include_prompt=False)], PROMPTED,
            family=family, prompts=WITH_DEFAULT, formats=("onnx",),
        )
        for family in ("roberta", "qwen3")
    ),
    row(
        "prompts left out, of every token", [pooling("mean", include_prompt=False)], PROMPTED,
        prompts=WITH_DEFAULT, formats=("onnx",), recipe={"vocabulary": "all"},
    ),
    row("no prompts to leave out", [pooling("mean", include_prompt=False)], prompts={"prompts": {"query": ""}}, formats=("onnx",)),
]  # fmt: skip
COMPARED = [
    row(
        f"vectors compared by {name}", [pooling("mean")], oracle={"compares": True}, prompts={"similarity_fn_name": name}, formats=("onnx",)
    )
    for name in ("cosine", "dot", "euclidean", "manhattan")
]
CONFIGS = [
    plain("return_dict is false", config(return_dict=False)),
    plain("hidden states are asked for", config(output_hidden_states=True)),
    plain("torchscript", config(torchscript=True)),
    plain("gamma and beta", lambda folder: with_weights(folder, old_names)),
    plain("weights in bf16", in_bf16),
    plain("weights in shards", in_shards),
    plain("a decoder by its last token", config(architectures=["Qwen3ForCausalLM"]), family="qwen3", recipe={"task": FEATURES}),
    *(plain(f"{family}, saved by the library", saved_by_the_library, family=family) for family in ("qwen3", "gemma3_text")),
    plain("a default prompt without modules.json", beside(PROMPTS_FILE, prompts=PROMPTS, default_prompt_name="query")),
    plain("fewer dimensions without modules.json", beside(PROMPTS_FILE, truncate_dim=8)),
    plain("a length without modules.json", beside("sentence_bert_config.json", max_seq_length=8)),
    plain(
        "a decoder with a chat template",
        chatting(architectures=["Qwen3ForCausalLM"]),
        family="qwen3",
        recipe={"task": FEATURES},
        refused="chat template and no modules.json",
    ),
    plain("made for another head", config(architectures=["BertForMaskedLM"]), recipe={"task": FEATURES}),
]
REFUSED = [
    row("WordWeights", [("sentence_transformers.models.WordWeights", {}), pooling("mean")], refused="WordWeights.*not reproduced"),
    row("vectors of tokens", [("sentence_transformers.models.Normalize", {}), pooling("mean")], refused="before Pooling"),
    row("a part of its own code", [pooling("mean"), ("my_code.Scale", {})], refused="my_code.Scale"),
    row("an unknown pooling", [pooling("median")], refused="pooling_mode.*median"),
    row(
        "texts without special tokens", [pooling("mean")], refused="processing_kwargs.add_special_tokens.*may change",
        bert_config={"processing_kwargs": {"text": {"add_special_tokens": False}}},
    ),
    row(
        "texts that are not cut", [pooling("mean")], refused="processing_kwargs.truncation",
        bert_config={"processing_kwargs": {"common": {"truncation": False}}},
    ),
    row(
        "another layer's output", [pooling("mean")], refused="modality_config.text.*last_hidden_state",
        bert_config={"modality_config": {"text": {"method": "forward", "method_output_name": ["hidden_states", -2]}}},
    ),
    row(
        "two parts of one name", [pooling("mean"), NORMALIZE], refused="name = '1'", formats=("onnx",),
        after=lambda folder: write_json(
            folder / "modules.json", [each | {"name": "1"} for each in json.loads((folder / "modules.json").read_text(encoding="utf-8"))]
        ),
    ),
    row("an unknown key", [pooling("mean", gating=True)], refused="gating"),
    row("another activation", [pooling("mean"), dense(HIDDEN, 16, "torch.nn.modules.activation.Hardtanh")], refused="Hardtanh"),
    row("a default prompt that is not there", [pooling("mean")], refused="default_prompt_name", prompts={"default_prompt_name": "query"}),
    row("more dimensions than there are", [pooling("mean")], refused="--dimensions 65", recipe={"dimensions": 65}),
]  # fmt: skip


SITUATIONS = [*POOLED, *BEHIND, *ASKED, *LEFT_OUT, *COMPARED, *CONFIGS, *REFUSED]
