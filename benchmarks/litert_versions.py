"""Which release of LiteRT opens which of our TFLite packs, and how far its outputs are from those of the installed release.

    python benchmarks/litert_versions.py PACK...                # downloads each release, 10 to 20 MB
    python benchmarks/litert_versions.py PACK... --versions 2.1.0 2.1.5

Each pack's file is run as Android's Java runs it, by the interpreter, at each of its lengths. published.toml names the releases for apps.
"""

import argparse
from pathlib import Path

from ai_edge_litert import __version__
from releases import answers, cell, installed

from edgepack.pack.manifest import read_manifest

VERSIONS = ("2.1.0", "2.1.5")
_JOB = """
import json, sys
sys.path[:0] = [sys.argv[1]] if sys.argv[1] else []
import numpy as np
from ai_edge_litert.interpreter import Interpreter

def feed(name, shape, kind):
    if "mask" in name:
        return np.ones(shape, kind)
    is_text = np.issubdtype(kind, np.integer) and "type" not in name and "position" not in name
    return (np.arange(np.prod(shape)).reshape(shape) % 50 if is_text else np.zeros(shape)).astype(kind)

answers = []
for path in sys.argv[2:]:
    try:
        interpreter = Interpreter(model_path=path, num_threads=1)
        outputs = []
        for signature in interpreter.get_signature_list():
            runner = interpreter.get_signature_runner(signature)
            feeds = {name: feed(name, row["shape"], row["dtype"]) for name, row in runner.get_input_details().items()}
            result = runner(**feeds)
            outputs += result[min(result)].astype(float).ravel().tolist()
        answers.append(outputs)
    except Exception as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path, nargs="+")
    parser.add_argument("--versions", nargs="+", default=VERSIONS)
    parser.add_argument("--work", type=Path, default=Path("build/runtimes"))
    wanted = parser.parse_args()
    manifests = [read_manifest(pack) for pack in wanted.packs]
    files = [str((pack / manifest.model).resolve()) for pack, manifest in zip(wanted.packs, manifests, strict=True)]
    expected = answers(_JOB, None, files)
    result = {version: answers(_JOB, installed("ai-edge-litert", version, wanted.work), files) for version in wanted.versions}
    print(f"\n| pack | {' | '.join(wanted.versions)} | {__version__} |\n{'|---' * (len(wanted.versions) + 2)}|")
    for index, manifest in enumerate(manifests):
        cells = [cell(each[index], expected[index]) for each in (*result.values(), expected)]
        print(f"| {manifest.plan.student.model_type}, {manifest.task}, {manifest.precision} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
