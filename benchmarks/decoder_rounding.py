"""A decoder in 4 bits: GPTQ alone beside quantization-aware training, in ONNX and in TFLite.

    python benchmarks/decoder_rounding.py --model ../shared/models/stories260k
    python benchmarks/decoder_rounding.py --model build/peers/smollm2-135m --data build/decoder-study/data --formats onnx --minutes 3

Without --data the model draws its data itself: 600 texts to train on, 50 that choose, 50 that judge. Perplexity is of the test split,
token ids as the file reads them. Head and embeddings are in 8 bits in all rows.
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

_SPLITS = {"train": 600, "dev": 50, "test": 50}
_AT_ONCE = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, help="train.txt, dev.txt and test.txt, in place of texts that the model draws")
    parser.add_argument("--formats", nargs="+", choices=["onnx", "tflite"], default=["onnx", "tflite"])
    parser.add_argument("--epochs", type=int, default=12, help="of each training")
    parser.add_argument("--minutes", type=float, help="that each training lasts, in place of epochs")
    parser.add_argument("--tokens", type=int, default=200, help="of a text that the model draws")
    parser.add_argument("--work", type=Path, default=Path("build/decoder-rounding"))
    wanted = parser.parse_args()
    data = wanted.data or drawn(wanted.model, wanted.tokens, wanted.work / "data")
    print("| file | MB | perplexity, fp32 | after training | of the file | over fp32 |\n|---|---|---|---|---|---|")
    for file_format in wanted.formats:
        for aware in (False, True):
            print(row(wanted, data, file_format, aware), flush=True)


def drawn(model: str, tokens: int, folder: Path) -> Path:
    """A folder with the texts of each split, which the model writes after its first token."""
    if (folder / "test.txt").is_file():
        return folder
    torch.manual_seed(0)
    tokenizer, decoder = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    start = torch.full((_AT_ONCE, 1), decoder.config.bos_token_id)
    texts: list[str] = []
    while len(texts) < sum(_SPLITS.values()):
        ids = decoder.generate(start, attention_mask=torch.ones_like(start), do_sample=True, top_k=0, max_new_tokens=tokens)
        texts += [" ".join(text.split()) for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in _SPLITS.items():
        (folder / f"{split}.txt").write_text("\n".join(texts[:count]), encoding="utf-8")
        texts = texts[count:]
    return folder


def row(wanted: argparse.Namespace, data: Path, file_format: str, aware: bool) -> str:
    stated = {"model": wanted.model, "data": str(data), "task": "text-generation", "student": "same", "prune_heads": 0.0}
    stated |= {"precision": "int4", "format": file_format, "budget": {"score_drop": 1e6}}
    stated |= {"sensitive": 0} if file_format == "onnx" else {}
    length = {"minutes": wanted.minutes} if wanted.minutes else {"epochs": wanted.epochs}
    stated |= {"quantization_aware": True, "training": length} if aware else {}
    out = wanted.work / f"{file_format}{'-aware' if aware else ''}"
    build(Recipe.read(stated, "the benchmark"), load_profile("x86-server"), out, wanted.work / "cache", None)
    manifest = read_manifest(out)
    score = {stage.stage: stage.score.value for stage in manifest.ladder}
    for_so_long = f"{wanted.minutes:g} minutes" if wanted.minutes else f"{wanted.epochs} epochs"
    name = f"{file_format}, {f'quantization-aware, {for_so_long}' if aware else 'GPTQ alone'}"
    trained = f"{score['distill']:.3f}" if aware else "–"
    over = f"{score['quantize'] / score['teacher'] - 1:+.1%}"
    return f"| {name} | {manifest.file_mb:.2f} | {score['teacher']:.3f} | {trained} | {score['quantize']:.3f} | {over} |"


if __name__ == "__main__":
    main()
