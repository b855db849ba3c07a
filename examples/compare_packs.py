"""Compares two packs of one task: files, scores, and times that were measured in turn.

python examples/compare_packs.py packs/a packs/b [--quick]
"""

import argparse
from pathlib import Path

import edgepack
from edgepack.measure.measurement import FULL, QUICK

parser = argparse.ArgumentParser(description="Compare two packs.")
parser.add_argument("packs", nargs=2, type=Path)
parser.add_argument("--quick", action="store_true", help="short measurements, for trying out: they claim nothing")
wanted = parser.parse_args()

report = edgepack.compare(wanted.packs, effort=QUICK if wanted.quick else FULL)

for pack in report.packs:
    score = "no score" if pack.score is None else f"{pack.score.metric} {pack.score.value:.4f}"
    print(f"{pack.name}: {pack.precision}, {pack.file_mb:.2f} MB, {score}")
for comparison in report.targets:
    for row in comparison.rows:
        if row.ratio is None:  # the first pack is what the other is compared with
            continue
        at = "" if row.length is None else f" at {row.length} tokens"
        interval = f"{row.ratio.low:.2f} to {row.ratio.high:.2f}"
        claim = row.ratio.claim or "no difference is shown"
        print(f"  {row.what}{at}, {row.threads} threads: {row.ratio.value:.2f} times ({interval}; {claim})")
