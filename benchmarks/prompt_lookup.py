"""Prompt lookup: tokens for a second of CPU time with and without it, on texts that copy and on free text, and whether tokens differ.

    python benchmarks/prompt_lookup.py --pack build/llm-int8 --data ../shared/data/wikitext2

A text that copies: a paragraph that stands in the prompt twice and begins a third time, as a correction or a quotation would have it.
Free text: the first words of a paragraph. Greedy, one thread, all in one process; every text is written by each setting in turn.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

from tokenizers import Tokenizer

from edgepack.core.resources import shipped

sys.path.append(str(shipped("targets")))
import sampling
from lookup import Lookup
from run_onnxruntime import open_decoder

SETTINGS = (0, 2, 4, 8, 16)
TOKENS, ROOM, TEXTS = 100, 512, 8
PARAGRAPH, BEGINNING = 100, 20  # tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True, help="a decoder in ONNX")
    parser.add_argument("--data", type=Path, required=True, help="wikitext2: a folder with test.txt")
    parser.add_argument("--rows", action="store_true", help="what a run of so many tokens takes, and nothing else")
    wanted = parser.parse_args()
    decoder = open_decoder(wanted.pack, json.loads((wanted.pack / "runnable.json").read_text()), 1, ROOM)
    tokenizer = Tokenizer.from_file(str(wanted.pack / "tokenizer.json"))
    paragraphs = [tokenizer.encode(text).ids for text in (wanted.data / "test.txt").read_text(encoding="utf-8").split("\n")]
    paragraphs = [ids[:PARAGRAPH] for ids in paragraphs if len(ids) >= PARAGRAPH][:TEXTS]
    if wanted.rows:
        print_rows(decoder, paragraphs[0] + paragraphs[1])
        return
    kinds = {
        "copies": [[*ids, *ids, *ids[:BEGINNING]] for ids in paragraphs],
        "free": [ids[:BEGINNING] for ids in paragraphs],
    }
    print(f"| text | lookup_tokens | tokens | runs | tokens/s | beside 0 | texts with other tokens than at 0 |\n{'|---' * 7}|")
    for kind, prompts in kinds.items():
        print_kind(kind, decoder, prompts)


def print_kind(kind: str, decoder, prompts: list[list[int]]) -> None:
    tokens, runs, seconds, differing = (defaultdict(int) for _ in range(4))
    for prompt in prompts:
        plain: list[int] = []
        for most in SETTINGS:
            written, count, spent = written_by(decoder, prompt, most)
            plain = plain or written
            tokens[most] += len(written) - 1
            runs[most] += count
            seconds[most] += spent
            differing[most] += written != plain
    for most in SETTINGS:
        speed = tokens[most] / seconds[most]
        ratio = speed / (tokens[0] / seconds[0])
        print(f"| {kind} | {most} | {tokens[most]} | {runs[most]} | {speed:.1f} | {ratio:.2f} | {differing[most]} of {len(prompts)} |")


def written_by(decoder, prompt: list[int], most: int) -> tuple[list[int], int, float]:
    """Tokens, runs behind the prompt, and seconds of CPU time behind the first token."""
    decoder.length, runs = 0, 0
    step, score = decoder.step, decoder.score

    def counted(run):
        def count(ids):
            nonlocal runs
            runs += 1
            return run(ids)

        return count

    decoder.step, decoder.score = counted(step), counted(score)
    stream = sampling.tokens(decoder, prompt, TOKENS, lookup=Lookup(most) if most else None)
    written = [next(stream)]
    began = time.process_time()
    written.extend(stream)
    spent = time.process_time() - began
    decoder.step, decoder.score = step, score
    return written, runs - 1, spent


def print_rows(decoder, ids: list[int]) -> None:
    print("| tokens in a run | ms of CPU time, median of 20 | beside 1 |\n|---|---|---|")
    first = 0.0
    for count in (1, 2, 3, 4, 5, 9, 17, 33):
        times = []
        for _ in range(20):
            decoder.length = 0
            decoder.step(ids[:64])
            began = time.process_time()
            decoder.score(ids[64 : 64 + count])
            times.append(1e3 * (time.process_time() - began))
        median = sorted(times)[10]
        first = first or median
        print(f"| {count} | {median:.2f} | {median / first:.2f} |")


if __name__ == "__main__":
    main()
