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

from energy import millijoules_a_text
from transformers import AutoConfig

import edgepack
import edgepack.report
from edgepack.measure.measurement import FULL, QUICK
from edgepack.pack.manifest import read_manifest
from edgepack.report.charts import Bar, Line, bars, lines

SHARES = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
BEFORE, AFTER = "{:.0%} of the weights zero", "student of half the layers, then {:.0%} zero"
HALF, QUARTER = "student of half the layers", "student of a quarter of the layers"
ENERGY_TEXTS = 100  # of the test split

# What the paper found with AfriBERTa on MasakhaNER (F1 in points).
USABLE_SHARE, USABLE_POINTS = 0.5, 3.0  # "pruning is usable up to 50 to 60 %": no more than so many points lost is what usable means here
STUDENT_SMALLER, STUDENT_POINTS = 0.22, 2.0  # "22 to 33 % smaller for 1 to 2 points"
INT8_SMALLER, INT8_FASTER, INT8_POINTS = 0.64, 0.52, 4.7


@dataclass(frozen=True)
class Result:
    """One row. What nothing was measured of, and energy that the machine does not tell, is None."""

    name: str
    score: float
    drop: float
    by_language: dict[str, float]
    file_mb: float
    latency_ms: float | None
    load_ms: float | None
    peak_mb: float | None
    energy_mj: float | None


def rows_of(model: str, minutes: float) -> dict[str, dict[str, Any]]:
    """The recipes by name. Students have the teacher's width; each distillation lasts at most so many minutes."""
    config = AutoConfig.from_pretrained(model)
    layers, hidden = config.num_hidden_layers, config.hidden_size
    same, learns = {"student": "same", "prune_heads": 0.0}, {"prune_heads": 0.0, "training": {"minutes": minutes}, "precision": "fp32"}
    untrained = same | {"training": {"epochs": 0}, "precision": "fp32"}
    half = learns | {"student": f"{max(1, layers // 2)}x{hidden}"}
    return {
        "fp32": same | {"precision": "fp32"},
        "int8, dynamic": same | {"precision": "int8"},
        "int8, static": same | {"precision": "int8", "activations": "static"},
        "int8 on a coarse grid, 3.5 bits": same | {"precision": "int8", "bits": 3.5},
        "low rank, 30 % less": untrained | {"factorize": 0.3},
        **{BEFORE.format(share): untrained | {"prune_weights": share} for share in SHARES},
        HALF: half,
        QUARTER: learns | {"student": f"{max(1, layers // 4)}x{hidden}"},
        **{AFTER.format(share): half | {"prune_weights": share} for share in SHARES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--work", type=Path, default=Path("build/low-resource"))
    parser.add_argument("--profile", default="raspberry-pi")
    parser.add_argument("--rows", nargs="*", metavar="ROW", help="some of the rows; all if left out")
    parser.add_argument("--minutes", type=float, default=6.0, help="that each distillation lasts at most")
    parser.add_argument("--measure", choices=["full", "quick", "off"], default="quick")
    wanted = parser.parse_args()
    wanted.data = joined(Path(wanted.data), wanted.work / "data")
    rows = rows_of(wanted.model, wanted.minutes)
    unknown = [name for name in wanted.rows or () if name not in rows]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; rows are {', '.join(map(repr, rows))}")
    results = []
    for name in wanted.rows or rows:
        results.append(result(wanted, name, rows[name]))
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


def result(wanted: argparse.Namespace, name: str, stated: dict[str, Any]) -> Result:
    """Builds the row's pack, or reads the one that is there."""
    folder = wanted.work / "".join(letter if letter.isalnum() else "-" for letter in name)
    recipe = stated | {"model": wanted.model, "data": wanted.data, "budget": {"score_drop": 100.0}}
    effort = {"full": FULL, "quick": QUICK, "off": None}[wanted.measure]
    profile = edgepack.load_profile(wanted.profile)
    report = edgepack.build(edgepack.Recipe.read(recipe, name), profile, folder, wanted.work / "cache", effort)
    last, measured = report.ladder[-1], report.measurements
    cold = next((row for row in measured.load if row.cold), measured.load[0]) if measured else None
    return Result(
        name=name,
        score=last.score.value,
        drop=last.score_drop or 0.0,
        by_language={group.name: group.value for group in last.groups if group.kind == "group"},
        file_mb=read_manifest(folder).file_mb,
        latency_ms=measured.latency[-1].summary.p50 if measured else None,
        load_ms=sorted(cold.session_ms)[len(cold.session_ms) // 2] if cold else None,
        peak_mb=max((row.peak_mb for row in measured.memory if row.peak_mb is not None), default=None) if measured else None,
        energy_mj=millijoules_a_text(folder, some_texts(Path(wanted.data))) if measured else None,
    )


def some_texts(data: Path) -> list[str]:
    """The first test texts; none where the data is no folder that `joined` wrote."""
    path = data / "test.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()[:ENERGY_TEXTS] if path.is_file() else []
    return [" ".join(json.loads(line)["words"]) for line in lines]


def write_pages(folder: Path, results: list[Result]) -> None:
    languages = sorted({language for row in results for language in row.by_language})
    head = ["row", "F1", "points lost", *languages, "MB", "p50 ms", "load ms", "peak MB", "mJ a text"]
    rows = []
    for row in results:
        scores = [f"{row.score:.4f}", f"{row.drop:+.2f}", *(shown(row.by_language.get(each), 4) for each in languages)]
        rows.append([row.name, *scores, *map(shown, (row.file_mb, row.latency_ms, row.load_ms, row.peak_mb, row.energy_mj))])
    table = [" | ".join(head), "|".join("---" for _ in head), *(" | ".join(row) for row in rows)]
    sentences = findings(results)
    listed = "\n".join(f"- {line}" for line in sentences)
    (folder / "study.md").write_text("\n".join(f"| {line} |" for line in table) + f"\n\n{listed}\n", encoding="utf-8")
    (folder / "study.html").write_text(page(head, rows, plots(results, languages), sentences), encoding="utf-8")


def shown(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def page(head: list[str], rows: list[list[str]], drawn: list[str], sentences: list[str]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    names = "".join(f"<th>{html.escape(each)}</th>" for each in head)
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in sentences)
    style = (Path(edgepack.report.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>A small multilingual tagger, compressed</title><style>{style}</style>"
        f"<main><h1>A small multilingual tagger, compressed</h1>{''.join(drawn)}"
        f"<div class='table'><table><tr>{names}</tr>{cells}</table></div><h2>The paper's findings here</h2><ul>{listed}</ul></main></html>"
    )


def plots(results: list[Result], languages: list[str]) -> list[str]:
    """F1 by the share of weights that are zero, by language, before and after distillation; then what each row takes."""
    by_name, drawn = {row.name: row for row in results}, []
    for when, pattern in (("before", BEFORE), ("after", AFTER)):
        built = [(share, by_name[name]) for share in SHARES if (name := pattern.format(share)) in by_name]
        lines_of = [Line(each, tuple((100 * share, row.by_language.get(each, 0.0)) for share, row in built)) for each in languages]
        if len(built) > 1 and lines_of:
            title = f"F1 by language, magnitude pruning {when} distillation"
            drawn.append(str(lines(title, lines_of, "percent of the weights that are zero", "F1")))
    figures = {
        "F1": "score",
        "MB": "file_mb",
        "p50 ms": "latency_ms",
        "load, ms": "load_ms",
        "peak MB": "peak_mb",
        "mJ a text": "energy_mj",
    }
    for title, field in figures.items():
        known = [(row.name, value) for row in results if (value := getattr(row, field)) is not None]
        if known:
            drawn.append(str(bars(title, [Bar(name, (value,), shown(value, 4 if field == "score" else 1)) for name, value in known])))
    return drawn


def findings(results: list[Result]) -> list[str]:
    """Which of the paper's findings the rows here bear out."""
    by_name = {row.name: row for row in results}
    return [
        _pruning(by_name, "before distillation", BEFORE, "fp32"),
        _pruning(by_name, "after distillation", AFTER, HALF),
        _student(by_name),
        _int8(by_name),
    ]


def _pruning(by_name: dict[str, Result], when: str, pattern: str, beside: str) -> str:
    words = f"“Pruning is usable up to 50 to 60 % of the weights”, {when},"
    built = [(share, by_name[name]) for share in SHARES if (name := pattern.format(share)) in by_name]
    if beside not in by_name or max((share for share, _ in built), default=0.0) < USABLE_SHARE:
        return f"{words} was not tried: it takes the rows “{beside}” and “{pattern.format(USABLE_SHARE)}”."
    lost = [(share, 100 * (by_name[beside].score - row.score)) for share, row in built]
    usable = [share for share, points in lost if all(each <= USABLE_POINTS for other, each in lost if other <= share)]
    listed = ", ".join(f"{points:+.2f} at {share:.0%}" for share, points in lost)
    held = "held" if usable and usable[-1] >= USABLE_SHARE else "did not hold"
    return f"{words} {held}: points lost, beside “{beside}”, are {listed}; at most {USABLE_POINTS:g} count as usable."


def _student(by_name: dict[str, Result]) -> str:
    words = "“A student is 22 to 33 % smaller for 1 to 2 points”"
    if HALF not in by_name or "fp32" not in by_name:
        return f"{words} was not tried: it takes the rows “fp32” and “{HALF}”."
    row, whole = by_name[HALF], by_name["fp32"]
    smaller, lost = 1 - row.file_mb / whole.file_mb, 100 * (whole.score - row.score)
    held = "held" if smaller >= STUDENT_SMALLER and lost <= STUDENT_POINTS else "did not hold"
    return f"{words} {held}: “{HALF}” is {smaller:.0%} smaller and lost {lost:+.2f} points."


def _int8(by_name: dict[str, Result]) -> str:
    words = "“int8 is 64 % smaller, takes 52 % less time and loses about 4.7 points”"
    if "int8, dynamic" not in by_name or "fp32" not in by_name:
        return f"{words} was not tried: it takes the rows “fp32” and “int8, dynamic”."
    row, whole = by_name["int8, dynamic"], by_name["fp32"]
    smaller, lost = 1 - row.file_mb / whole.file_mb, 100 * (whole.score - row.score)
    parts = [f"its size {'held' if smaller >= INT8_SMALLER else 'did not hold'} ({smaller:.0%} smaller)"]
    if row.latency_ms is None or whole.latency_ms is None:
        parts.append("its time was not measured")
    else:
        faster = 1 - row.latency_ms / whole.latency_ms
        parts.append(f"its time {'held' if faster >= INT8_FASTER else 'did not hold'} ({faster:.0%} less)")
    parts.append(f"its loss {'was no larger' if lost <= INT8_POINTS else 'was larger'} ({lost:+.2f} points)")
    return f"{words}: {', '.join(parts)}."


if __name__ == "__main__":
    main()
