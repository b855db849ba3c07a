"""What codes of vectors lose in a search: all-MiniLM-L6-v2 on banking77, in 32, 8 and 1 bits a dimension.

    python benchmarks/vectors.py [--texts 2000] [--queries 500] [--cache build/vectors.npz]

Nothing is built: codes are made and searched by the code of a pack and its module, of the vectors that sentence-transformers gives. Ranges
and thresholds are of 1,000 texts that are neither searched nor asked. Recall: how much of the ten nearest texts by the vectors' own
numbers is found. Retrieval kept: the share of the ten that have the query's intent, beside that share by the vectors' own numbers.
sentence-transformers: its quantize_embeddings and its way to rescore, four times as many by Hamming distance.
"""

import argparse
import csv
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from embeddings import SHARED, minilm

from edgepack.pipeline.vector_stage import codes_of
from edgepack.ship.load import device_module

GOAL, NEAREST, FITTED = 0.97, 10, 1000


def embedded(cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [texts, 384] of the test split in a fixed shuffle, and their intents."""
    if not cache.is_file():
        from sentence_transformers import SentenceTransformer

        with (SHARED / "data" / "banking77" / "test.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        model = SentenceTransformer(str(minilm()), device="cpu", local_files_only=True)
        vectors = model.encode([row["text"] for row in rows], batch_size=64, show_progress_bar=False)
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, v=vectors, y=np.array([row["category"] for row in rows]))
    with np.load(cache, allow_pickle=False) as held:
        order = np.random.default_rng(0).permutation(len(held["v"]))
        return held["v"][order], held["y"][order]


def by_library(kind: str, fitted: np.ndarray, texts: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Places of the nearest by sentence-transformers' codes."""
    from sentence_transformers.util.quantization import quantize_embeddings

    if kind == "int8":
        coded = quantize_embeddings(texts, "int8", calibration_embeddings=fitted).astype(np.float32)
        return np.argsort(-queries @ coded.T, axis=1, kind="stable")[:, :NEAREST]
    bits, asked = (np.unpackbits(quantize_embeddings(each, "ubinary"), axis=1).astype(np.float32) * 2 - 1 for each in (texts, queries))
    near = np.argsort(-asked @ bits.T, axis=1, kind="stable")[:, : 4 * NEAREST]
    scores = np.einsum("qw,qnw->qn", queries, bits[near])
    return np.take_along_axis(near, np.argsort(-scores, axis=1, kind="stable")[:, :NEAREST], axis=1)


def main() -> None:
    """A Markdown table; exit code 1 where binary codes with rescoring keep less of the retrieval than the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1500)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--cache", type=Path, default=Path("build/vectors.npz"))
    options = parser.parse_args()
    vectors, intents = embedded(options.cache)
    fitted, asked, searched = np.split(vectors[: FITTED + options.queries + options.texts], [FITTED, FITTED + options.queries])
    wanted, there = intents[FITTED : FITTED + options.queries, None], intents[FITTED + options.queries :][: len(searched)]
    right = np.argsort(-asked @ searched.T, axis=1, kind="stable")[:, :NEAREST]

    def figures(places: np.ndarray) -> str:
        recall = np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(places.tolist(), right.tolist(), strict=True)])
        return f"{recall:.3f} | {(there[places] == wanted).mean() / (there[right] == wanted).mean():.3f}"

    print(
        f"# {len(searched)} texts, {len(asked)} queries; of the ten nearest by their own numbers {(there[right] == wanted).mean():.3f} fit"
    )
    print("| codes | bytes a text | smaller | recall@10 | retrieval kept |\n|---|---|---|---|---|", flush=True)
    search = import_module(f"{device_module().__name__}.search")
    kept = 0.0
    for kind, times in (("int8", 4), ("binary", 4), ("binary", 0)):
        answers = {"similarity": "cosine", "codes": codes_of(search.unit(fitted), kind)}
        index = search.Index(SimpleNamespace(manifest={"answers": answers}))
        index.add(searched)
        places = np.array([[hit.place for hit in index.search(each, NEAREST, times)] for each in asked])
        size, name = index.codes.shape[1], kind if times else f"{kind}, by Hamming distance alone"
        print(f"| {name} | {size} | {vectors.shape[1] * 4 / size:.0f} x | {figures(places)} |", flush=True)
        kept = float(figures(places).split(" | ")[1]) if kind == "binary" and times else kept
    for kind in ("int8", "binary"):
        print(f"| sentence-transformers, {kind} | | | {figures(by_library(kind, fitted, searched, asked))} |", flush=True)
    sys.exit(1 if kept < GOAL else 0)


if __name__ == "__main__":
    main()
