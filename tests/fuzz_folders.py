"""More of strangers' files that benchmarks/attack.py and the suite change by chance: what stands beside a model, a pack or a target."""

import json
import random
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fuzzing import changed, damaged, write

from edgepack.measure.machines.targets import find_targets, transport
from edgepack.model.source import find_model
from edgepack.pack.golden import read_golden
from edgepack.ship.shipment import read_tokenizing

BERT = {"model_type": "bert", "architectures": ["BertModel"], "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 96, "type_vocab_size": 2}  # fmt: skip
SENTENCE = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ],
    "1_Pooling/config.json": {"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
    "2_Dense/config.json": {"in_features": 64, "out_features": 8, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"},
    "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": False},
    "config_sentence_transformers.json": {"prompts": {"query": "q: "}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
}
GENERATION = {"max_new_tokens": 20, "do_sample": True, "temperature": 0.7, "top_p": 0.9, "eos_token_id": [1, 2], "repetition_penalty": 1.1,
              "stop_strings": ["a"], "max_length": 30}  # fmt: skip
ADAPTER = {"peft_type": "LORA", "lora_alpha": 4, "task_type": "SEQ_CLS", "r": 2, "base_model_name_or_path": "x",
           "target_modules": ["query"], "alpha_pattern": {"a": 1}, "use_dora": False}  # fmt: skip
GOLDEN = {"text": "turn it on", "text_pair": None, "input_ids": [2, 7, 3], "token_type_ids": [0, 0, 0], "output": [0.1, 0.9]}
TOKENIZER = {
    "model": {"type": "WordPiece", "vocab": {"a": 0, "b": 1}},
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": None,
    "added_tokens": [],
}
TARGETS = {"board": {"address": "ssh://pi@10.0.0.2:22", "key": "k", "python": "python3", "folder": ".edgepack", "time_out_s": 60.0}}


def _text(value: Any, draw: random.Random) -> bytes:
    text = json.dumps(changed(value, draw)).encode()
    return damaged(text, draw) if draw.random() < 0.2 else text


def sentence_folder(place: Path, draw: random.Random) -> Any:
    write(place / "config.json", json.dumps(BERT))
    wrong = draw.choice(list(SENTENCE))
    for name, content in SENTENCE.items():
        write(place / name, _text(content, draw) if name == wrong else json.dumps(content))
    return lambda: find_model(str(place), with_weights=False).sentence


def generation(place: Path, draw: random.Random) -> Any:
    from edgepack.model.statements.generation_config import read_generation

    write(place / "generation_config.json", _text(GENERATION, draw))
    return lambda: read_generation(place, {}, "model")


def adapter(place: Path, draw: random.Random) -> Any:
    write(place / "base" / "config.json", json.dumps(BERT))
    write(place / "adapter_config.json", _text(ADAPTER, draw))
    write(place / "adapter_model.safetensors", b"\x08\0\0\0\0\0\0\0{}      ")
    return lambda: find_model(str(place), with_weights=False, base=str(place / "base"))


def golden(place: Path, draw: random.Random) -> Any:
    write(place / "golden.jsonl", b"\n".join(_text(GOLDEN, draw) for _ in range(3)))
    return lambda: read_golden(place)


def tokenizer(place: Path, draw: random.Random) -> Any:
    write(place / "tokenizer.json", _text(TOKENIZER, draw))
    return lambda: read_tokenizing(place)


def tokenizer_folder(place: Path, draw: random.Random) -> Any:
    """A tiny model's own tokenizer as transformers loads it, with one of its files changed, and a text that it splits."""
    from edgepack.model.checkpoint import load_tokenizer

    wrong = draw.choice(list(_tokenizer_files()))
    for name, content in _tokenizer_files().items():
        write(place / name, _text(json.loads(content), draw) if name == wrong else content)
    return lambda: load_tokenizer(place)("Is it 3? \U00012000")


@cache
def _tokenizer_files() -> dict[str, str]:
    from small import make_tokenizer

    from edgepack.model.checkpoint import load_tokenizer

    with tempfile.TemporaryDirectory() as folder:
        make_tokenizer(Path(folder))
        load_tokenizer(Path(folder))  # what it imports is not what a changed file costs
        names = ("tokenizer.json", "tokenizer_config.json")
        return {name: (Path(folder) / name).read_text(encoding="utf-8") for name in names} | {"config.json": json.dumps(BERT)}


def table_folder(place: Path, draw: random.Random) -> Any:
    """A table of vectors: its weights' header, its tokenizer or its list of parts is changed."""
    stored = {
        "embeddings": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "mapping": {"dtype": "I32", "shape": [2], "data_offsets": [16, 24]},
        "weights": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]},
    }
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
    wrong = draw.choice(("header", "tokenizer.json", "modules.json"))
    header = _text(stored, draw) if wrong == "header" else json.dumps(stored).encode()
    write(place / "model.safetensors", struct.pack("<Q", len(header)) + header + bytes(32))
    model = TOKENIZER["model"] | {"unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    whole = TOKENIZER | {"model": model, "truncation": {"max_length": 8, "strategy": "LongestFirst", "direction": "Left", "stride": 0}}
    for name, content in (("tokenizer.json", whole), ("modules.json", modules)):
        write(place / name, _text(content, draw) if name == wrong else json.dumps(content))

    def read() -> Any:
        source = find_model(str(place))
        return source.shape("feature-extraction"), source.check_tokenizer(), source.tokenizer

    return read


def targets(place: Path, draw: random.Random) -> Any:
    from fuzz_subjects import toml

    content = changed(TARGETS, draw)
    text = (toml(content) if isinstance(content, dict) else str(content)).encode("utf-8", "surrogatepass")
    path = write(place / "targets.toml", damaged(text, draw) if draw.random() < 0.3 else text)
    return lambda: [transport(one).check(one) for one in find_targets(["board"], path)]


SUBJECTS = {one.__name__: one for one in (sentence_folder, generation, adapter, golden, tokenizer, tokenizer_folder, table_folder, targets)}
