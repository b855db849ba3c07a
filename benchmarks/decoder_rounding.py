"""A decoder in few bits: GPTQ alone beside quantization-aware training: in 4 bits, ONNX and TFLite, or on coarse grids.

    python benchmarks/decoder_rounding.py --model ../shared/models/stories260k
    python benchmarks/decoder_rounding.py --model build/peers/smollm2-135m --data build/decoder-study/data --formats onnx --minutes 3
    python benchmarks/decoder_rounding.py --model build/peers/smollm2-135m --data build/decoder-study/data --bits 4.5 5.1 --minutes 3

Without --data the model draws its data itself: 600 texts to train on, 50 that choose, 50 that judge. Perplexity is of the test split,
token ids as the file reads them. In 4 bits head and embeddings are in 8 bits in all rows.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

_SPLITS = {"train": 600, "dev": 50, "test": 50}
_AT_ONCE = 50


@dataclass(frozen=True)
class Grid:
    """What the weights are rounded to. bits: of a coarse grid; None: blocks of 4 bits."""

    file_format: str
    bits: float | None = None

    def name(self) -> str:
        return self.file_format if self.bits is None else f"{self.bits:g} bits"

    def stated(self) -> dict[str, Any]:
        if self.bits is not None:
            return {"precision": "int8", "bits": self.bits, "format": self.file_format}
        return {"precision": "int4", "format": self.file_format} | ({"sensitive": 0} if self.file_format == "onnx" else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, help="train.txt, dev.txt and test.txt, in place of texts that the model draws")
    parser.add_argument("--formats", nargs="+", choices=["onnx", "tflite"], default=["onnx", "tflite"])
    parser.add_argument("--bits", type=float, nargs="+", help="int8 on coarse grids of so many bits a weight, in place of 4 bits; ONNX")
    parser.add_argument("--epochs", type=int, default=12, help="of each training")
    parser.add_argument("--minutes", type=float, help="that each training lasts, in place of epochs")
    parser.add_argument("--tokens", type=int, default=200, help="of a text that the model draws")
    parser.add_argument("--work", type=Path, default=Path("build/decoder-rounding"))
    wanted = parser.parse_args()
    data = wanted.data or drawn(wanted.model, wanted.tokens, wanted.work / "data")
    print("| file | MB | perplexity, fp32 | after training | of the file | over fp32 |\n|---|---|---|---|---|---|")
    for grid in [Grid("onnx", bits) for bits in wanted.bits or ()] or [Grid(file_format) for file_format in wanted.formats]:
        for aware in (False, True):
            print(row(wanted, data, grid, aware), flush=True)


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


def row(wanted: argparse.Namespace, data: Path, grid: Grid, aware: bool) -> str:
    stated = {"model": wanted.model, "data": str(data), "task": "text-generation", "student": "same", "prune_heads": 0.0}
    stated |= grid.stated() | {"budget": {"score_drop": 1e6}}
    length = {"minutes": wanted.minutes} if wanted.minutes else {"epochs": wanted.epochs}
    stated |= {"quantization_aware": True, "training": length} if aware else {}
    out = wanted.work / f"{grid.name()}{'-aware' if aware else ''}".replace(" ", "-")
    build(Recipe.read(stated, "the benchmark"), load_profile("x86-server"), out, wanted.work / "cache", None)
    manifest = read_manifest(out)
    score = {stage.stage: stage.score.value for stage in manifest.ladder}
    for_so_long = ", ".join(f"{value:g} {name}" for name, value in length.items())
    name = f"{grid.name()}, {f'quantization-aware, {for_so_long}' if aware else 'GPTQ alone'}"
    trained = f"{score['distill']:.3f}" if aware else "–"
    over = f"{manifest.ladder[-1].score.value / score['teacher'] - 1:+.1%}"
    return f"| {name} | {manifest.file_mb:.2f} | {score['teacher']:.3f} | {trained} | {manifest.ladder[-1].score.value:.3f} | {over} |"


if __name__ == "__main__":
    main()
