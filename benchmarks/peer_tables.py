"""The tables of peers.py: what was measured, ratios by session, goals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from peer_rows import EDGEPACK, LITERT, OPENVINO, OPTIMUM, PEERS, runtime_of

Row = dict[str, Any]
GOOD_COSINE = 0.99  # what a smaller file must keep to count


def print_table(rows: dict[str, Row], missing: dict[str, str], lengths: Sequence[int]) -> None:
    head = ["file", "build s", "peak MB of the build", "MB", "accuracy", "cosine mean / least", "the same without saturation"]
    head += [f"S{length} ms" for length in lengths] + ["load warm ms", "cold ms (MB read)", "peak MB over an empty runtime"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name, row in rows.items():
        cosines = [f"{row[key]['mean']:.4f} / {row[key]['least']:.4f}" for key in ("cosine_here", "cosine_exact")]
        is_exact = runtime_of(name) != "onnxruntime"  # it has no other way of computing
        exact = "–" if is_exact else f"{row['accuracy_exact']:.4f}, {cosines[1]}"
        cells = [name, f"{row['seconds']:.0f}", f"{row['peak_mb']:.0f}", f"{row['file_mb']:.2f}", f"{row['accuracy_here']:.4f}", cosines[0]]
        cells += [exact, *(f"{np.median(row['latency_ms'][str(length)]):.2f}" for length in lengths)]
        cells += [f"{load_ms(row, False):.1f}", f"{load_ms(row, True):.1f} ({_read_mb(row):.1f})", f"{peak_mb(row):.1f}"]
        print("| " + " | ".join(cells) + " |")
    for name, reason in missing.items():
        print(f"| {name} | {reason} |" + " |" * (len(head) - 2))


def print_ratios(rows: dict[str, Row], ours: list[str], lengths: Sequence[int]) -> None:
    """edgepack over each peer, below 1 is better: latency as the median, least and most of sessions side by side."""
    head = ["edgepack over", *(f"S{length}" for length in lengths), "load warm", "cold", "peak over empty", "MB", "build s"]
    for name in [name for name in ours if name in rows]:
        print(f"\n**{name}**, below 1 is better\n\n| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
        row = rows[name]
        for other, theirs in rows.items():
            if other in ours:
                continue
            speeds = [by_session(row, theirs, length) for length in lengths]
            cells = [other, *(f"{middle:.2f} ({least:.2f} to {most:.2f})" for least, middle, most in speeds)]
            cells += [f"{load_ms(row, cold) / load_ms(theirs, cold):.2f}" for cold in (False, True)]
            pairs = (peak_mb(row), peak_mb(theirs)), (row["file_mb"], theirs["file_mb"]), (row["seconds"], theirs["seconds"])
            print("| " + " | ".join([*cells, *(f"{ms / against:.2f}" for ms, against in pairs)]) + " |")


def print_goals(rows: dict[str, Row]) -> None:
    """Of the first of edgepack's rows; where a row is missing, so is the goal."""
    ours = [name for name in EDGEPACK if name in rows and name != LITERT]
    if not ours:
        return
    print(f"\n| goal ({ours[0]}) | limit | here | |\n|---|---|---|---|")
    row, optimum = rows[ours[0]], rows.get(OPTIMUM)
    runners = [rows[name] for name, maker in PEERS.items() if name in rows and maker.runtime == "onnxruntime"]
    if optimum:
        goal("S128 against optimum avx512_vnni per channel", 0.75, by_session(row, optimum, 128)[1])
    if OPENVINO in rows:
        goal("S128 against NNCF + OpenVINO int8", 1.0, by_session(row, rows[OPENVINO], 128)[1])
    if runners:
        best = min(runners, key=lambda each: np.median(each["latency_ms"]["16"]))
        goal("S16 against the best onnxruntime peer", 0.75, by_session(row, best, 16)[1])
    for key in ("cosine_here", "cosine_exact"):
        words = "as this CPU computes" if key == "cosine_here" else "without saturation"
        goal(f"cosine on held-out texts, mean, {words}", 0.998, row[key]["mean"], at_least=True)
    if not optimum:
        return
    goal("warm load against optimum", 0.20, load_ms(row, False) / load_ms(optimum, False))
    goal("cold load against optimum", 0.35, load_ms(row, True) / load_ms(optimum, True))
    goal("peak RSS less an empty runtime against optimum", 0.60, peak_mb(row) / peak_mb(optimum))
    good = [rows[name]["file_mb"] for name in ours if rows[name]["cosine_exact"]["mean"] >= GOOD_COSINE]
    goal(f"file at cosine {GOOD_COSINE} or better against optimum", 0.75, min(good) / optimum["file_mb"] if good else float("nan"))
    goal("model to int8, whole command, against optimum", 1.0, row["seconds"] / optimum["seconds"])
    if LITERT in rows:
        _goals_of_litert(rows, optimum)


def _goals_of_litert(rows: dict[str, Row], optimum: Row) -> None:
    row, theirs = rows[LITERT], [rows[name] for name, maker in PEERS.items() if name in rows and maker.environment == "optimum"]
    goal("LiteRT: MB, with all of its signatures", 24, row["file_mb"])
    goal("LiteRT: cosine on held-out texts, mean", 0.998, row["cosine_here"]["mean"], at_least=True)
    best = min(theirs, key=lambda each: np.median(each["latency_ms"]["128"]))
    goal("LiteRT: S128 against optimum's best int8", 0.80, by_session(row, best, 128)[1])
    goal("LiteRT: peak RSS less an empty runtime against optimum", 1.0, peak_mb(row) / peak_mb(optimum))


def by_session(row: Row, other: Row, length: int) -> np.ndarray:
    """Least, median and most of the ratio of two rows' sessions."""
    pairs = zip(row["latency_ms"][str(length)], other["latency_ms"][str(length)], strict=True)
    return np.percentile([ms / against for ms, against in pairs], [0, 50, 100])


def load_ms(row: Row, cold: bool) -> float:
    return float(np.median([each["session_ms"] for each in row["loads"] if each["job"]["cold"] is cold]))


def peak_mb(row: Row) -> float:
    return row["memory"]["running_mb"]["peak"] - row["memory"]["empty_mb"]["resident"]


def _read_mb(row: Row) -> float:
    """What storage delivered at the cold loads, the proof that they were cold."""
    return float(np.median([each["read_bytes"] or 0 for each in row["loads"] if each["job"]["cold"]])) / 1e6


def goal(name: str, limit: float, result: float, at_least: bool = False) -> None:
    met = result >= limit if at_least else result <= limit
    print(f"| {name} | {'at least' if at_least else 'at most'} {limit:g} | {result:.4f} | {'met' if met else '**missed**'} |")
