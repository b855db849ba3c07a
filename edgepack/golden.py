"""Golden vectors: texts, token ids and expected outputs that travel with a pack, and verify(), which asks for them again."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.errors import EdgepackError
from edgepack.formats import python_runtime
from edgepack.frozen import Frozen
from edgepack.measure.answers import answer
from edgepack.measure.machine import Machine
from edgepack.model.material import Material
from edgepack.model.tasks import Features, Outputs
from edgepack.pack import Manifest, check_files, read_manifest

_DIGITS = 6


class Verification(Frozen):
    """What verify() found; it raises where something is wrong."""

    pack_id: str
    files: int
    golden_texts: int
    largest_difference: float
    tolerance: float
    token_ids_equal: int  # texts whose ids the pack's tokenizer gave again
    runtime: str


def write_golden(path: Path, material: Material, outputs: Outputs) -> None:
    """One JSON object a text: what goes in as text, as token ids, and what must come out."""
    rows, features = material.sample
    with path.open("w", encoding="utf-8") as file:
        for item, output in zip(features, outputs, strict=True):
            row = rows[item.row] if material.task.name != "text-generation" else None
            pair = None if row is None or material.task.name == "feature-extraction" else row.text_pair or row.context or None
            text: dict[str, Any] = {} if row is None else {"text": row.text, "text_pair": pair}
            if row is not None and row.words:
                text = {"words": row.words}
            entry = text | {"input_ids": item.ids, "token_type_ids": item.type_ids, "output": np.round(output, _DIGITS).tolist()}
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def verify(pack: Path) -> Verification:
    """Checks every hash, then asks the real runtime for the golden outputs and the tokenizer for the token ids.

    EdgepackError names the first file that was changed, or the first text whose output or ids differ.
    """
    manifest = read_manifest(pack)
    check_files(pack, manifest)
    golden = read_golden(pack)
    features = [Features(entry["input_ids"], entry["token_type_ids"], index) for index, entry in enumerate(golden)]
    found = answer(pack, manifest.plan.runtime, features, threads=1, exact=manifest.plan.exact_products, title="golden vectors")
    worst = _largest_gap(manifest, golden, found, "")
    return Verification(
        pack_id=manifest.pack_id,
        files=len(manifest.files),
        golden_texts=len(golden),
        largest_difference=round(worst, _DIGITS),
        tolerance=manifest.golden_tolerance,
        token_ids_equal=_check_tokenizer(pack, manifest, golden),
        runtime=python_runtime(manifest.plan.runtime),
    )


def answers_on(machine: Machine, pack: Path, manifest: Manifest, exact: bool | None = None) -> float:
    """The largest difference of a target's answers from the golden ones; EdgepackError where it is over the pack's tolerance.

    exact: see `answer`; None: as the pack's device computes.
    """
    found = ask_golden(machine, pack, manifest, manifest.plan.exact_products if exact is None else exact)
    return round(_largest_gap(manifest, read_golden(pack), found, f" {machine.place}"), _DIGITS)


def ask_golden(machine: Machine, pack: Path, manifest: Manifest, exact: bool) -> Outputs:
    """A target's answers to the golden texts, whatever they are. exact: see `answer`."""
    rows = [{"input_ids": entry["input_ids"], "token_type_ids": entry["token_type_ids"]} for entry in read_golden(pack)]
    job = {"kind": "answer", "threads": 1, "exact": exact, "batch": 1, "rows": rows, "at_once": None}
    return [np.asarray(output) for output in machine.run_job(pack, manifest.plan.runtime, job)["outputs"]]


def _largest_gap(manifest: Manifest, golden: list[dict[str, Any]], found: Outputs, place: str) -> float:
    worst = 0.0
    for entry, output in zip(golden, found, strict=True):
        gap = gap_between(output, np.asarray(entry["output"]), manifest.task)
        if not gap <= manifest.golden_tolerance:
            shown = str(entry.get("text") or entry.get("words") or entry["input_ids"])[:60]
            raise EdgepackError(
                f"the pack answers otherwise{place} than when it was built: {shown!r} differs by {gap:.3g} "
                f"(limit {manifest.golden_tolerance:g})",
                "use the runtime's version that the pack was built with, or build it again on this machine",
            )
        worst = max(worst, gap)
    return worst


def gap_between(output: np.ndarray, expected: np.ndarray, task: str) -> float:
    """The largest difference; in text generation the mean one in nats, as the likeliest of two equal tokens is a matter of rounding."""
    if output.shape != expected.shape:
        return np.inf
    apart = np.abs(output - expected)
    return float(apart[:, 0].mean() if task == "text-generation" and len(apart) else apart.max(initial=0.0))


def read_golden(pack: Path) -> list[dict[str, Any]]:
    with (pack / "golden.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _check_tokenizer(pack: Path, manifest: Manifest, golden: list[dict[str, Any]]) -> int:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(pack / "tokenizer.json"))
    equal = 0
    for entry in golden:
        if "words" in entry:
            ids = tokenizer.encode(entry["words"], is_pretokenized=True).ids
        elif "text" in entry:
            ids = tokenizer.encode(entry["text"], entry["text_pair"]).ids
        else:
            continue
        if ids != entry["input_ids"]:
            raise EdgepackError(f"the pack's tokenizer gives other ids for {str(entry.get('text', ''))[:60]!r}", "build the pack again")
        equal += 1
    return equal
