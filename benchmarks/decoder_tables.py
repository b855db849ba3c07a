"""The tables of peer_decoders.py: what was measured, and the goals."""

from typing import Any

import numpy as np
from peer_tables import goal, load_ms, peak_mb

Row = dict[str, Any]
GOOD_MB = 105  # of the file in 4 bits that is to be good
KINDS = ("prefill", "decode 64", "decode 512")


def print_table(rows: dict[str, Row], missing: dict[str, str], whole: float) -> None:
    """Ratios in brackets are over the best peer of as many bits: median of sessions side by side, below 1 is better."""
    print(f"\nSmolLM2-135M, perplexity in torch fp32 {whole:.3f}; one thread, medians of session medians; in brackets over the best peer\n")
    head = ["file", "build s", "peak MB of the build", "MB", "perplexity", "prefill 256 ms", "tokens/s at 64", "at 512"]
    head += ["load warm ms", "cold ms", "peak MB over an empty runtime, 512 tokens"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for name, row in rows.items():
        built = ["–" if row[key] is None else f"{row[key]:.0f}" for key in ("seconds", "peak_mb")]
        cells = [name, *built, f"{row['file_mb']:.1f}", f"{row['perplexity']:.2f} ({row['perplexity'] / whole - 1:+.1%})"]
        for kind in KINDS:
            middle = float(np.median(row["ms"][kind]))
            against = best(rows, row["bits"], kind)
            times = f" ({_over(row, against, kind):.2f})" if row["ours"] and against else ""
            cells.append((f"{middle:.0f}" if kind == "prefill" else f"{1000 / middle:.0f}") + times)
        cells += [f"{load_ms(row, False):.0f}", f"{load_ms(row, True):.0f}", f"{peak_mb(row):.0f}"]
        print("| " + " | ".join(cells) + " |")
    for name, reason in missing.items():
        print(f"| {name} | {reason} |" + " |" * (len(head) - 2))


def print_goals(rows: dict[str, Row], whole: float) -> None:
    """Of 8 bits, of the smallest file of 4 bits, and of the best one of 4 bits; goals without a row are left out."""
    print("\n| goal | limit | here | |\n|---|---|---|---|")
    eight, four = ([row for row in rows.values() if row["ours"] and row["bits"] == bits] for bits in (8, 4))
    for row in eight[:1]:
        goal("8-bit, tied: MB", 155, row["file_mb"])
        goal("8-bit: perplexity over fp32", 1.01, row["perplexity"] / whole)
        _goal_of_decoding("8-bit: decode against the best 8-bit peer", 1.0, row, [best(rows, 8, kind) for kind in KINDS[1:]])
    if four:
        small = min(four, key=lambda row: row["file_mb"])
        good = min(four, key=lambda row: (row["file_mb"] > GOOD_MB, row["perplexity"]))  # one file has to meet both goals
        goal("4-bit, tied: MB", 86, small["file_mb"])
        _goal_of_decoding("4-bit, tied: decode against genai int4", 0.95, small, [rows.get("genai int4")] * 2)
        goal("4-bit good: MB", GOOD_MB, good["file_mb"])
        goal("4-bit good: perplexity", 14.2, good["perplexity"])
    peers = [row for row in rows.values() if not row["ours"]]
    for row in (*eight[:1], *four[:1]):
        against = best(rows, row["bits"], "prefill")
        if against:
            goal(f"{row['bits']}-bit: prefill of 256 against the best peer of as many bits", 0.85, _over(row, against, "prefill"))
            least = min(peak_mb(peer) for peer in peers if peer["bits"] == row["bits"])
            goal(f"{row['bits']}-bit: peak RSS less an empty runtime against the least peer", 0.9, peak_mb(row) / least)


def best(rows: dict[str, Row], bits: int, kind: str) -> Row | None:
    """The fastest peer of as many bits."""
    peers = [row for row in rows.values() if not row["ours"] and row["bits"] == bits]
    return min(peers, key=lambda row: float(np.median(row["ms"][kind])), default=None)


def _over(row: Row, other: Row, kind: str) -> float:
    return float(np.median([ms / against for ms, against in zip(row["ms"][kind], other["ms"][kind], strict=True)]))


def _goal_of_decoding(name: str, limit: float, row: Row, others: list[Row | None]) -> None:
    for kind, other in zip(KINDS[1:], others, strict=True):
        if other:
            goal(f"{name}, {kind.split()[1]} tokens before", limit, 1 / _over(row, other, kind), at_least=True)
