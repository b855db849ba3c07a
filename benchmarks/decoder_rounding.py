"""A decoder in 4 bits: GPTQ alone beside quantization-aware training, in ONNX and in TFLite.

    python benchmarks/decoder_rounding.py --model ../shared/models/stories260k

The model draws its data itself: 600 texts to train on, 50 that choose, 50 that judge. Perplexity is of those, token ids as the file reads
them. Head and embeddings are in 8 bits in all rows.
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
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=200, help="of a text")
    parser.add_argument("--work", type=Path, default=Path("build/decoder-rounding"))
    wanted = parser.parse_args()
    data = drawn(wanted.model, wanted.tokens, wanted.work / "data")
    print("| file | MB | perplexity, fp32 | after training | of the file | over fp32 |\n|---|---|---|---|---|---|")
    for file_format in ("onnx", "tflite"):
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
    stated = {"model": wanted.model, "data": str(data), "student": "same", "prune_heads": 0.0, "precision": "int4", "format": file_format}
    stated |= {"budget": {"score_drop": 100.0}} | ({"sensitive": 0} if file_format == "onnx" else {})
    stated |= {"quantization_aware": True, "training": {"epochs": wanted.epochs}} if aware else {}
    out = wanted.work / f"{file_format}{'-aware' if aware else ''}"
    build(Recipe.read(stated, "the benchmark"), load_profile("x86-server"), out, wanted.work / "cache", None)
    manifest = read_manifest(out)
    score = {stage.stage: stage.score.value for stage in manifest.ladder}
    name = f"{file_format}, {'quantization-aware, ' + str(wanted.epochs) + ' epochs' if aware else 'GPTQ alone'}"
    trained = f"{score['distill']:.3f}" if aware else "–"
    over = f"{score['quantize'] / score['teacher'] - 1:+.1%}"
    return f"| {name} | {manifest.file_mb:.2f} | {score['teacher']:.3f} | {trained} | {score['quantize']:.3f} | {over} |"


if __name__ == "__main__":
    main()
