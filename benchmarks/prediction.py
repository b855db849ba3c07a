"""How far predictions are from measurements: fitted on some shapes on this machine, judged on others.

    python benchmarks/prediction.py                     # ten models with random weights, fp32 and int8; run it alone: a quarter of an hour
    python benchmarks/prediction.py --runtime litert    # the encoders as TFLite files

Times and memory do not hang on what weights say. A profile of this machine is made first: its storage is measured, its clock is
given, and how many products a cycle it does and the memory's bandwidth are fitted, as `edgepack profiles --fit` does, on the shapes
marked `fitted`. The others are held out: their mean error is what edgepack/plan/cost_model.py states. Everything on one core.
"""

import argparse
import json
import platform
import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np

from edgepack.measure.machines.transports.local import run_job
from edgepack.pack.manifest import Manifest, read_manifest
from edgepack.pipeline.build import build
from edgepack.plan.cost_model import predict
from edgepack.plan.fitting import Opened, Timed, fit_rates, fit_session_scale
from edgepack.plan.formats import FORMATS
from edgepack.plan.prediction import Prediction
from edgepack.plan.profile import Profile, load_profile
from edgepack.plan.recipe import Recipe

ENCODERS = {  # layers, hidden, heads, FFN, tokens of the vocabulary, whether the profile is fitted on it
    "MiniLM-L6": (6, 384, 12, 1536, 30522, True),
    "BERT-tiny": (2, 128, 2, 512, 30522, True),
    "12 x 256": (12, 256, 4, 1024, 30522, True),
    "e5-small": (12, 384, 12, 1536, 30522, False),
    "TinyBERT-4": (4, 312, 12, 1200, 30522, False),
    "student 3 x 384": (3, 384, 12, 1536, 30522, False),
    "student 6 x 192": (6, 192, 6, 768, 30522, False),
    "DistilBERT's": (6, 768, 12, 3072, 30522, False),
}
DECODERS = {
    "Llama 6 x 512": (6, 512, 8, 1408, 32000, True),
    "Llama 12 x 384": (12, 384, 6, 1024, 32000, False),
}
LENGTHS = (16, 64, 128)
PRECISIONS = ("fp32", "int8")
FIGURES = ("latency_ms", "load_ms", "ram_mb", "file_mb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clock-ghz", type=float, default=3.5)
    parser.add_argument("--runtime", choices=("onnxruntime", "litert"), default="onnxruntime")
    parser.add_argument("--work", type=Path, default=Path("build/prediction"))
    parser.add_argument("--sessions", type=int, default=3)
    wanted = parser.parse_args()
    wanted.work.mkdir(parents=True, exist_ok=True)
    names = (*ENCODERS, *DECODERS) if wanted.runtime == "onnxruntime" else tuple(ENCODERS)
    packs = {(name, precision): _pack(name, precision, wanted.runtime, wanted.work) for name in names for precision in PRECISIONS}
    result = {key: [] for key in packs}
    for _ in range(wanted.sessions):  # in turn, so that a drift of the machine touches all alike
        for key, pack in packs.items():
            result[key].append(_measured(pack, wanted.runtime))
    measured = {key: {figure: float(np.median([each[figure] for each in rows])) for figure in rows[0]} for key, rows in result.items()}
    profile = _fitted(wanted.clock_ghz, wanted.runtime, packs, measured)
    rows = list(_rows(profile, wanted.runtime, packs, measured))
    remaining = {"profile": profile.as_json(), "sessions": _named(result), "rows": rows}
    (wanted.work / f"prediction-{wanted.runtime}.json").write_text(json.dumps(remaining, indent=1))
    _show(profile, wanted.runtime, rows)


def _pack(name: str, precision: str, runtime: str, work: Path) -> Path:
    out = work / f"{name.replace(' ', '-')}-{precision}-{runtime}"
    if not (out / "pack.json").is_file():
        with tempfile.TemporaryDirectory() as place:
            _write_model(name, Path(place))
            task = "text-generation" if name in DECODERS else "feature-extraction"
            kind = FORMATS[runtime]
            recipe = Recipe(model=place, task=task, student="same", prune_heads=0.0, precision=precision, format=kind)
            build(recipe, load_profile("x86-server"), out, work / "cache", effort=None)
    return out


def _write_model(name: str, folder: Path) -> None:
    """Random weights and a tokenizer of as many pieces, which nobody asks anything."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModel, AutoModelForCausalLM, BertConfig, LlamaConfig, PreTrainedTokenizerFast

    layers, hidden, heads, ffn, vocab, _ = (ENCODERS | DECODERS)[name]
    shape = {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
    }
    torch.manual_seed(0)
    if name in DECODERS:
        model = AutoModelForCausalLM.from_config(LlamaConfig(**shape, num_key_value_heads=heads // 2, tie_word_embeddings=True))
    else:
        model = AutoModel.from_config(BertConfig(**shape))
    model.save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "</s>", *(f"w{index}" for index in range(vocab - 6))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "</s>", "model_max_length": 512}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)


def _measured(pack: Path, runtime: str) -> dict[str, float]:
    """latency_ms by length, load_ms (cold), ram_mb at 128 tokens, file_mb; and the storage's own speed meanwhile."""
    manifest, run = read_manifest(pack), partial(run_job, pack, runtime)
    kind, memory = ("decode", "decode_memory") if manifest.cache else ("latency", "memory")
    result = {}
    for length in LENGTHS:
        timed = run({"kind": kind, "length": length, "threads": 1, "runs": 20, "seconds": 0.5})
        result[f"latency_ms {length}"] = float(np.median(timed["samples_ms"]))
    result["load_ms"] = run({"kind": "load", "cold": True, "threads": 1, "length": 16})["session_ms"]
    held = run({"kind": memory, "length": 128, "threads": 1})
    result["ram_mb"] = held["running_mb"]["peak"] - held["empty_mb"]["resident"]
    result["file_mb"] = manifest.file_mb
    storage = run({"kind": "storage"})
    result["read_mb_s"] = storage["bytes"] / 1e3 / storage["read_ms"]
    return result


def _fitted(clock_ghz: float, runtime: str, packs: dict, measured: dict) -> Profile:
    """A profile of this machine: its rates make the mean error of the fitted shapes' latency smallest."""
    read = float(np.median([each["read_mb_s"] for each in measured.values()]))
    base = load_profile("x86-server")
    part = platform.processor() or platform.machine()
    known = base.model_copy(
        update={
            "name": "this-machine",
            "cpu": base.cpu.model_copy(update={"cores": 1, "clock_ghz": clock_ghz, "part": part}),
            "storage": base.storage.model_copy(update={"read_mb_s": read}),
        }
    )
    timed = [
        Timed(_manifest(packs[key]).plan.student, key[1], length, measured[key][f"latency_ms {length}"])
        for key in packs
        for length in LENGTHS
        if (ENCODERS | DECODERS)[key[0]][-1]
    ]
    opened = [
        Opened(_manifest(packs[key]).plan.student, key[1], measured[key]["load_ms"]) for key in packs if (ENCODERS | DECODERS)[key[0]][-1]
    ]
    return fit_session_scale(fit_rates(known, {runtime: timed})[0], runtime, opened)


def _predicted(profile: Profile, runtime: str, manifest: Manifest, length: int) -> Prediction:
    return predict(manifest.plan.student, manifest.plan.precision, profile, runtime, length)


def _off(profile: Profile, runtime: str, pack: Path, measured: dict[str, float], figure: str, length: int = 128) -> float:
    """Share by which the prediction is over (above 0) or under the measurement."""
    key = f"{figure} {length}" if figure == "latency_ms" else figure
    return getattr(_predicted(profile, runtime, _manifest(pack), length), figure) / measured[key] - 1


_manifest = cache(read_manifest)


def _rows(profile: Profile, runtime: str, packs: dict, measured: dict) -> Iterator[dict]:
    for (name, precision), pack in packs.items():
        *_, is_fitted = (ENCODERS | DECODERS)[name]
        offs = {f"latency_ms {length}": _off(profile, runtime, pack, measured[name, precision], "latency_ms", length) for length in LENGTHS}
        offs |= {figure: _off(profile, runtime, pack, measured[name, precision], figure) for figure in FIGURES[1:]}
        yield {"model": name, "precision": precision, "fitted": is_fitted, "measured": measured[name, precision], "off": offs}


def _named(result: dict) -> dict:
    return {f"{name} {precision}": rows for (name, precision), rows in result.items()}


def _show(profile: Profile, runtime: str, rows: list[dict]) -> None:
    speeds = profile.runtimes[runtime].precisions
    cycles = ", ".join(f"{name} {speeds[name].macs_per_cycle:.1f}" for name in PRECISIONS)
    about = f"storage {profile.storage.read_mb_s:.0f} MB/s, memory {profile.memory.bandwidth_gb_s:g} GB/s"
    about += f", sessions {profile.runtimes[runtime].session_scale:g} times as long as counted"
    print(f"\n{runtime}: products a cycle at {profile.cpu.clock_ghz:g} GHz: {cycles}; {about}")
    print("\n| model | | S16 ms | S64 ms | S128 ms | cold load ms | peak MB | file MB |\n|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [f"{row['measured'][key]:.3g} ({off:+.0%})" for key, off in row["off"].items()]
        print(f"| {row['model']}, {row['precision']} | {'fitted' if row['fitted'] else 'held out'} | {' | '.join(cells)} |")
    print("\n| mean error | latency | cold load | memory | file |\n|---|---|---|---|---|")
    for title, choice in (
        ("held-out encoders", [row for row in rows if not row["fitted"] and row["model"] in ENCODERS]),
        ("held-out decoders", [row for row in rows if not row["fitted"] and row["model"] in DECODERS]),
        ("fitted", [row for row in rows if row["fitted"]]),
    ):
        if not choice:
            continue
        errors = [np.mean([abs(off) for row in choice for key, off in row["off"].items() if key.startswith(figure)]) for figure in FIGURES]
        print(f"| {title} | {' | '.join(f'{error:.1%}' for error in errors)} |")


if __name__ == "__main__":
    main()
