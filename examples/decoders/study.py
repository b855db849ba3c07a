"""Does for a decoder what compression studies do for BERT: less depth, less width, half and a quarter of the parameters.

python examples/decoders/study.py MODEL DATA --probe PROBE.tsv --minutes 6 --work build/decoders-study

MODEL: a decoder such as SmolLM2-135M or GPT-2. DATA: a folder with train.txt, dev.txt and test.txt. PROBE: lines of text, tab, 0 or 1.
Each row is a whole build; rows that are there already are read, so that a stopped study goes on. study.md is written after each row.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edgepack
from edgepack.measure.answers import answer
from edgepack.measure.measurement import FULL, QUICK
from edgepack.model.checkpoint import load_tokenizer
from edgepack.pack.manifest import read_manifest
from edgepack.pack.runnable import read_runnable
from edgepack.tasks.common.task import Features

SHOTS = (0, 1, 4)  # examples in the prompt
SEED = 5
PROMPT = "Review: {text}\nSentiment:{word}\n\n"

_UNTRAINED = {"training": {"epochs": 0}}


@dataclass(frozen=True)
class Result:
    """One row. perplexity: of the test texts, through the file. tokens_per_s: None where nothing was measured.

    correct: of 1, by the examples in the prompt; None where the model does not read texts that long. written: a prompt, the teacher's
    text, the pack's.
    """

    name: str
    params: int
    file_mb: float
    perplexity: float
    tokens_per_s: float | None
    correct: dict[int, float | None]
    written: list[tuple[str, str, str]]


def rows_of(minutes: float) -> dict[str, dict[str, Any]]:
    """The recipes by name. Depth and width are cut alone, without training; students of a half and a quarter learn for `minutes` each."""
    same = {"student": "same", "prune_heads": 0.0}
    shallow = {"student": "same", "prune_heads": 0.0, "prune_layers": "50%"}
    trained = {"training": {"minutes": minutes}}
    narrow = {"student": "same", "prune_heads": 0.25, "prune_ffn": 0.5, "refit": True}
    return {
        "whole": same,
        "half of the layers, not trained": shallow | _UNTRAINED,
        "half of the layers, distilled": shallow | trained,
        "25 % of the heads and 50 % of the FFN less, refitted": narrow | _UNTRAINED,
        "the same, distilled": narrow | trained,
        "student of a half": {"student": "50%", "prune_heads": 0.0} | trained,
        "student of a quarter": {"student": "25%", "prune_heads": 0.0} | trained,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data")
    parser.add_argument("--probe", type=Path, help="texts with 0 or 1, asked with 0, 1 and 4 examples before them")
    parser.add_argument("--words", nargs=2, default=["negative", "positive"], help="what 0 and 1 are called in the prompt")
    parser.add_argument("--asked", type=int, default=100, help="texts of the probe that are asked, half of each label")
    parser.add_argument("--minutes", type=float, default=6.0, help="of each distillation")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--profile", default="x86-server")
    parser.add_argument("--rows", nargs="*", metavar="ROW", help="some of the rows; all if left out")
    parser.add_argument("--measure", choices=["full", "quick", "off"], default="quick")
    parser.add_argument("--work", type=Path, default=Path("build/decoders-study"))
    wanted = parser.parse_args()
    results = []
    for name, stated in rows_of(wanted.minutes).items():
        if not wanted.rows or name in wanted.rows:
            results.append(result(wanted, name, stated))
            (wanted.work / "study.md").write_text(page(results), encoding="utf-8")
            print(table([results[-1]])[-1], flush=True)


def result(wanted: argparse.Namespace, name: str, stated: dict[str, Any]) -> Result:
    """Builds the row's pack, or reads the one that is there."""
    folder = wanted.work / "".join(letter if letter.isalnum() else "-" for letter in name)
    recipe = stated | {"model": str(wanted.model), "data": wanted.data, "precision": wanted.precision, "task": "text-generation"}
    recipe["budget"] = {"score_drop": 1e6}
    effort = {"full": FULL, "quick": QUICK, "off": None}[wanted.measure]
    profile = edgepack.load_profile(wanted.profile)
    report = edgepack.build(edgepack.Recipe.read(recipe, name), profile, folder, wanted.work / "cache", effort)
    manifest = read_manifest(folder)
    latency = report.measurements.latency if report.measurements else ()
    return Result(
        name=name,
        params=report.ladder[-1].params,
        file_mb=manifest.file_mb,
        perplexity=report.ladder[-1].score.value,
        tokens_per_s=1000 / latency[0].summary.p50 if latency else None,
        correct=probed(folder, wanted) if wanted.probe else {},
        written=[(each.prompt, each.teacher, each.shipped) for each in manifest.continuations],
    )


def probed(folder: Path, wanted: argparse.Namespace) -> dict[int, float | None]:
    """The share of texts whose likelier word is the true one, by how many examples stand before the text; kept beside the pack."""
    place = folder.parent / f"{folder.name}.probe.json"
    if place.is_file():
        return {int(shots): share for shots, share in json.loads(place.read_text()).items()}
    lines = [line.rsplit("\t", 1) for line in wanted.probe.read_text(encoding="utf-8").splitlines() if "\t" in line]
    rows = [(text, int(label)) for text, label in lines]
    random.Random(SEED).shuffle(rows)
    of_label = [[row for row in rows if row[1] == which] for which in (0, 1)]
    asked = [row for each in of_label for row in each[: wanted.asked // 2]]
    examples = [[text for text, _ in each[wanted.asked // 2 :]] for each in of_label]
    truth = np.array([label for _, label in asked])
    correct = {}
    for shots in SHOTS:
        before = _examples(examples, shots, wanted.words)
        prompts = [before + PROMPT.format(text=text, word="").rstrip("\n") for text, _ in asked]
        likelihoods = [_log_likelihoods(folder, prompts, word) for word in wanted.words]
        fits = all(each is not None for each in likelihoods)
        correct[shots] = float(np.mean(np.argmax(likelihoods, axis=0) == truth)) if fits else None
    place.write_text(json.dumps(correct))
    return correct


def _examples(of_label: Sequence[Sequence[str]], shots: int, words: Sequence[str]) -> str:
    """As many of both words as can be, in turns."""
    return "".join(PROMPT.format(text=of_label[at % 2][at // 2], word=f" {words[at % 2]}") for at in range(shots))


def _log_likelihoods(folder: Path, prompts: Sequence[str], word: str) -> list[float] | None:
    """Of ` word` behind each prompt, through the pack's file. None: a prompt is longer than the model reads."""
    tokenizer = load_tokenizer(folder)
    behind = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
    features = []
    for at, prompt in enumerate(prompts):
        ids = tokenizer(prompt)["input_ids"] + behind
        features.append(Features(ids, [0] * len(ids), at))
    if max(len(each.ids) for each in features) > (read_runnable(folder).positions or np.inf):
        return None
    outputs = answer(folder, read_manifest(folder).plan.runtime, features, threads=2, exact=False, title=f"ask for {word!r}")
    return [-float(output[-len(behind) :, 0].sum()) for output in outputs]


def page(results: Sequence[Result]) -> str:
    """The table, then what each file writes behind the same beginnings."""
    lines = table(results)
    for row in results:
        lines += ["", f"**{row.name}**", ""]
        lines += [f"- {prompt!r}: {before!r} became {after!r}" for prompt, before, after in row.written]
    return "\n".join(lines) + "\n"


def table(results: Sequence[Result]) -> list[str]:
    head = ["file", "parameters, M", "MB", "perplexity", "tokens/s", *(f"correct, {shots} examples" for shots in SHOTS)]
    rows = [
        [row.name, f"{row.params / 1e6:.1f}", f"{row.file_mb:.1f}", f"{row.perplexity:.2f}", _shown(row.tokens_per_s, 0),
         *(_shown(row.correct.get(shots), 2) for shots in SHOTS)]
        for row in results
    ]  # fmt: skip
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _shown(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
