"""Small real models, tokenizers and data that tests make for themselves in seconds."""

import csv
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from edgepack.pipeline.demo.commands import commands
from edgepack.plan.architectures.families import FAMILIES

INTENTS = ("light_on", "music_play", "heat_set", "call")
LAYERS, HIDDEN, HEADS, FFN = 4, 64, 4, 128

SIZES = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": FFN,
    "max_position_embeddings": 96,
}
GROUPED = {**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True}

# One tiny config a family: four layers, four heads of 16, so that heads can be cut unevenly.
CONFIGS = {
    "bert": lambda **more: transformers.BertConfig(**SIZES, **more),
    "roberta": lambda **more: transformers.RobertaConfig(
        **SIZES | {"max_position_embeddings": 98, "type_vocab_size": 1, "pad_token_id": 0} | more
    ),
    "xlm-roberta": lambda **more: transformers.XLMRobertaConfig(
        **SIZES | {"max_position_embeddings": 98, "type_vocab_size": 1, "pad_token_id": 0} | more
    ),
    "electra": lambda **more: transformers.ElectraConfig(embedding_size=32, **SIZES, **more),
    "mobilebert": lambda **more: transformers.MobileBertConfig(
        **SIZES | {"hidden_size": 96}, embedding_size=32, intra_bottleneck_size=HIDDEN, num_feedforward_networks=3, **more
    ),
    "albert": lambda **more: transformers.AlbertConfig(embedding_size=32, **SIZES, **more),
    "distilbert": lambda **more: transformers.DistilBertConfig(
        dim=HIDDEN, n_layers=LAYERS, n_heads=HEADS, hidden_dim=FFN, max_position_embeddings=96, **more
    ),
    "modernbert": lambda **more: transformers.ModernBertConfig(
        **SIZES, local_attention=8, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, **{"pad_token_id": 0, **more}
    ),
    "gpt2": lambda **more: transformers.GPT2Config(
        n_embd=HIDDEN, n_layer=LAYERS, n_head=HEADS, n_inner=FFN, n_positions=96, bos_token_id=2, eos_token_id=3, **more
    ),
    "llama": lambda **more: transformers.LlamaConfig(**GROUPED, **more),
    "qwen2": lambda **more: transformers.Qwen2Config(**GROUPED, **more),
    "qwen3": lambda **more: transformers.Qwen3Config(**GROUPED, head_dim=16, **more),
}
ENCODERS = [name for name in CONFIGS if not FAMILIES[name].causal]
DECODERS = [name for name in CONFIGS if FAMILIES[name].causal]
FAMILY_TASKS = [(name, "text-generation" if name in DECODERS else "text-classification") for name in CONFIGS]
CLASSES = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "feature-extraction": "AutoModel",
    "text-generation": "AutoModelForCausalLM",
}


def make_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer with BERT's normalizer, trained on the demo's commands, saved into `folder`."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<|endoftext|>"]  # the last is what Qwen's tokenizers insist on
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special)
    tokenizer.train_from_iterator((text for text, _ in commands()["train"]), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_max_length=96, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    fast.save_pretrained(folder)
    return fast


def make_model(folder: Path, family: str = "bert", task: str = "text-classification", labels: tuple[str, ...] = INTENTS, seed: int = 0):
    """A random model of a family with the tokenizer beside it, saved into `folder`; weights large enough to matter."""
    tokenizer = make_tokenizer(folder)
    labels = ("start", "end") if task == "question-answering" else labels
    config = CONFIGS[family](vocab_size=len(tokenizer), id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)})
    torch.manual_seed(seed)
    model = getattr(transformers, CLASSES[task]).from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    model.save_pretrained(folder)
    return model.eval()


def make_data(folder: Path, rows: dict[str, int] | None = None) -> Path:
    """Commands of four intents as train.csv, dev.csv and test.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, found in commands().items():
        chosen = [row for row in found if row[1] in INTENTS][: (rows or {}).get(split)]
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("text", "intent"))
            writer.writerows(chosen)
    return folder
