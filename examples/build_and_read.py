"""Builds a pack and reads its report.

python examples/build_and_read.py MODEL DATA packs/mine [--profile raspberry-pi] [--quick]
"""

import argparse

import edgepack
from edgepack.measure.measurement import FULL, QUICK

parser = argparse.ArgumentParser(description="Build a pack and read its report.")
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("out")
parser.add_argument("--profile", default="raspberry-pi")
parser.add_argument("--student", default="same")
parser.add_argument("--quick", action="store_true", help="short measurements, for trying out")
wanted = parser.parse_args()

profile = edgepack.load_profile(wanted.profile)
recipe = edgepack.Recipe(model=wanted.model, data=wanted.data, student=wanted.student)

report = edgepack.build(recipe, profile, wanted.out, effort=QUICK if wanted.quick else FULL)

print(f"{report.device}: {report.verdict}")
for check in report.checks:
    actual = "not known" if check.actual is None else f"{check.actual:g} ({check.origin})"
    print(f"  {check.name}: {actual}, limit {check.limit:g}")
for stage in report.ladder:
    score = "no score" if stage.score is None else f"{stage.score.value:.4f}"
    print(f"  after {stage.stage}: {score}, {stage.file_mb:.2f} MB")
