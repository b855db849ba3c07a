"""Small real models, tokenizers and data that tests make for themselves in seconds."""

import csv
from functools import cache, partial
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from edgepack.model.tiny_model import enlarged, tiny_config
from edgepack.pipeline.demo.commands import commands
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.family import TINY
from edgepack.tasks import all_tasks, task_named

INTENTS = ("light_on", "music_play", "heat_set", "call")
LAYERS, HIDDEN, HEADS, FFN, _ = TINY

# One tiny config a family, made as its file says.
CONFIGS = {name: partial(tiny_config, family) for name, family in FAMILIES.items()}
ENCODERS = [name for name in CONFIGS if not FAMILIES[name].causal]
DECODERS = [name for name in CONFIGS if FAMILIES[name].causal]
FAMILY_TASKS = [(name, "text-generation" if name in DECODERS else "text-classification") for name in CONFIGS]
CLASSES = {task.name: task.auto_class for task in all_tasks()}


@cache
def _commands() -> dict[str, list[tuple[str, str]]]:
    return commands()


@cache
def word_pieces() -> str:
    """A WordPiece tokenizer with BERT's normalizer, trained on the demo's commands, as JSON."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<|endoftext|>"]  # the last is what Qwen's tokenizers insist on
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special)
    tokenizer.train_from_iterator((text for text, _ in _commands()["train"]), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer.to_str()


def make_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer above as transformers has it, saved into `folder`."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(word_pieces()), pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=96,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    fast.save_pretrained(folder)
    return fast


def make_model(
    folder: Path, family: str = "bert", task: str = "text-classification", labels: tuple[str, ...] = INTENTS, seed: int = 0,
    layers: int = LAYERS,
):  # fmt: skip
    """A random model of a family with the tokenizer beside it, saved into `folder`; weights large enough to matter."""
    tokenizer = make_tokenizer(folder)
    labels = labels if task_named(task).names_labels else ("first", "second")
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: index for index, name in enumerate(labels)}}
    config = CONFIGS[family](vocab_size=len(tokenizer), **names, **_of_depth(family, layers))
    torch.manual_seed(seed)
    capped = FAMILIES[family].config_attention_cap  # of scores, which only the plain attention knows
    model = getattr(transformers, CLASSES[task]).from_config(config, dtype=torch.float32, attn_implementation="eager" if capped else None)
    enlarged(model)
    model.save_pretrained(folder)
    return model.eval()


def _of_depth(family: str, layers: int) -> dict:
    """Settings of so many layers: the first of those that a tiny model of the family has."""
    kinds = FAMILIES[family].tiny_settings().get("layer_types")
    return {FAMILIES[family].config_layers: layers} | ({"layer_types": kinds[:layers]} if kinds else {})


def make_data(folder: Path, rows: dict[str, int] | None = None) -> Path:
    """Commands of four intents as train.csv, dev.csv and test.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, result in _commands().items():
        choice = [row for row in result if row[1] in INTENTS][: (rows or {}).get(split)]
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "intent"))
            writer.writerows(choice)
    return folder
