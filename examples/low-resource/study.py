"""Redoes the design of the AfriBERTa compression study (arXiv 2404.04759) on a small multilingual tagger, by one command.

python examples/low-resource/study.py MODEL DATA --work build/low-resource

MODEL: a tagger, such as castorini/afriberta_base fine-tuned on MasakhaNER. DATA: a folder with a folder for each language. Each row is a
whole build; rows that are there already are read, so that a stopped study goes on. study.md and study.html are written after each row.
"""

import argparse
import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgepack
from edgepack.measure.measurement import FULL, QUICK
from edgepack.pack.manifest import read_manifest
from edgepack.report.charts import Line, lines

SHARES = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
UNTRAINED = {"training": {"epochs": 0}, "student": "same", "prune_heads": 0.0, "precision": "fp32"}
SAME = {"student": "same", "prune_heads": 0.0}
ROWS: dict[str, dict[str, Any]] = {"fp32": SAME | {"precision": "fp32"}, "int8, dynamic": SAME | {"precision": "int8"}}
ROWS |= {f"{share:.0%} of the weights zero": UNTRAINED | {"prune_weights": share} for share in SHARES}
ROWS |= {
    "int8, static": SAME | {"precision": "int8", "activations": "static"},
    "int8 on a coarse grid, 3.5 bits": SAME | {"precision": "int8", "bits": 3.5},
    "low rank, 30 % less": SAME | {"precision": "fp32", "factorize": 0.3, "training": {"epochs": 0}},
    "student of half the layers": {"student": "50%", "prune_heads": 0.0, "precision": "fp32"},
    "student of a quarter": {"student": "25%", "prune_heads": 0.0, "precision": "fp32"},
}
ROWS |= {f"student of half, then {share:.0%} zero": {"student": "50%", "prune_weights": share, "precision": "fp32"} for share in SHARES}

# What the paper found: its words, and what a row here says of it. AfriBERTa, MasakhaNER, F1 in points.
FINDINGS = (
    ("pruning before fine-tuned students are made is usable up to 50 to 60 % of the weights", "50% of the weights zero", 3.0),
    ("int8 is 64 % smaller and loses about 4.7 points", "int8, dynamic", 4.7),
    ("distillation makes a model a quarter to a third smaller for 1 to 2 points", "student of half the layers", 2.0),
)


@dataclass(frozen=True)
class Result:
    """One row. latency_ms, load_ms, peak_mb: None where nothing was measured; energy is null, as no machine here tells it."""

    name: str
    score: float
    drop: float
    by_language: dict[str, float]
    file_mb: float
    latency_ms: float | None
    load_ms: float | None
    peak_mb: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--work", type=Path, default=Path("build/low-resource"))
    parser.add_argument("--profile", default="raspberry-pi")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), metavar="ROW", help="some of the rows; all if left out")
    parser.add_argument("--measure", choices=["full", "quick", "off"], default="quick")
    wanted = parser.parse_args()
    wanted.data = joined(Path(wanted.data), wanted.work / "data")
    results = []
    for name in wanted.rows or ROWS:
        results.append(result(wanted, name))
        write_pages(wanted.work, results)
        print(f"{name}: F1 {results[-1].score:.4f}, {results[-1].drop:+.2f} points lost, {results[-1].file_mb:.1f} MB", flush=True)


def joined(data: Path, folder: Path) -> str:
    """One file a split of all languages, each row with the name of its folder; `data` itself where it holds no folders of languages."""
    languages = sorted(place for place in data.iterdir() if place.is_dir() and (place / "test.txt").is_file())
    if not languages:
        return str(data)
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        rows = []
        for place in languages:
            for sentence in (place / f"{split}.txt").read_text(encoding="utf-8").split("\n\n"):
                pairs = [line.split() for line in sentence.splitlines() if line.strip()]
                if pairs:
                    rows.append({"words": [pair[0] for pair in pairs], "tags": [pair[-1] for pair in pairs], "language": place.name})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(folder)


def result(wanted: argparse.Namespace, name: str) -> Result:
    """Builds the row's pack, or reads the one that is there."""
    folder = wanted.work / "".join(letter if letter.isalnum() else "-" for letter in name)
    stated = ROWS[name] | {"model": wanted.model, "data": wanted.data, "budget": {"score_drop": 100.0}}
    effort = {"full": FULL, "quick": QUICK, "off": None}[wanted.measure]
    profile = edgepack.load_profile(wanted.profile)
    report = edgepack.build(edgepack.Recipe.read(stated, name), profile, folder, wanted.work / "cache", effort)
    last, measured = report.ladder[-1], report.measurements
    return Result(
        name=name,
        score=last.score.value,
        drop=last.score_drop or 0.0,
        by_language={group.name: group.value for group in last.groups if group.kind == "group"},
        file_mb=read_manifest(folder).file_mb,
        latency_ms=measured.latency[-1].summary.p50 if measured else None,
        load_ms=sorted(measured.load[0].session_ms)[len(measured.load[0].session_ms) // 2] if measured else None,
        peak_mb=max((row.peak_mb for row in measured.memory if row.peak_mb is not None), default=None) if measured else None,
    )


def write_pages(folder: Path, results: list[Result]) -> None:
    languages = sorted({language for row in results for language in row.by_language})
    head = ["row", "F1", "points lost", *languages, "MB", "p50 ms", "load ms", "peak MB", "energy"]
    rows = [[row.name, f"{row.score:.4f}", f"{row.drop:+.2f}", *(shown(row.by_language.get(each), 4) for each in languages),
             f"{row.file_mb:.1f}", shown(row.latency_ms), shown(row.load_ms), shown(row.peak_mb), "–"] for row in results]  # fmt: skip
    table = [" | ".join(head), "|".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    sentences = findings(results)
    (folder / "study.md").write_text(
        "\n".join(f"| {line} |" for line in table) + "\n\n" + "\n".join(f"- {line}" for line in sentences) + "\n"
    )
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    names = "".join(f"<th>{html.escape(each)}</th>" for each in head)
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in sentences)
    style = "body{font:16px system-ui;max-width:70rem;margin:auto;padding:1rem}td,th{padding:.2rem .5rem;text-align:left}"
    style += ".line0{stroke:#0969da}.line1{stroke:#8250df}.line2{stroke:#116329}.line3{stroke:#a40e26}.grid{stroke:#d0d7de}svg{width:100%}"
    page = f"<!doctype html><meta charset='utf-8'><title>A small multilingual tagger, compressed</title><style>{style}</style>"
    page += f"<h1>A small multilingual tagger, compressed</h1>{''.join(plots(results, languages))}"
    page += f"<div style='overflow-x:auto'><table><tr>{names}</tr>{cells}</table></div><h2>The paper's findings here</h2><ul>{listed}</ul>"
    (folder / "study.html").write_text(page, encoding="utf-8")


def shown(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def plots(results: list[Result], languages: list[str]) -> list[str]:
    """F1 by the share of weights that are zero: by language, and before and after distillation."""
    by_name = {row.name: row for row in results}
    ways = {"before distillation": "{:.0%} of the weights zero", "after distillation": "student of half, then {:.0%} zero"}
    drawn = []
    for title, pattern in ways.items():
        built = [(share, by_name[name]) for share in SHARES if (name := pattern.format(share)) in by_name]
        lines_of = [Line(each, tuple((100 * share, row.by_language.get(each, 0.0)) for share, row in built)) for each in languages]
        if len(built) > 1 and lines_of:
            drawn.append(str(lines(f"F1 by language, magnitude pruning {title}", lines_of, "percent of the weights that are zero", "F1")))
    return drawn


def findings(results: list[Result]) -> list[str]:
    """Which of the paper's findings a row here bears out: it lost no more than the paper's models."""
    by_name = {row.name: row for row in results}
    sentences = []
    for words, name, most in FINDINGS:
        if name in by_name:
            lost = by_name[name].drop
            held = "held" if lost <= most + 0.5 else "did not hold"
            sentences.append(f"“{words}” {held}: {name} lost {lost:+.2f} points at {by_name[name].file_mb:.1f} MB.")
        else:
            sentences.append(f"“{words}” was not tried: the row “{name}” is missing.")
    return sentences


if __name__ == "__main__":
    main()
