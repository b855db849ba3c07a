"""The study of examples/decoders on decoders at hand: a GPT-2 that is trained here, and any that is given.

    python benchmarks/decoder_study.py --shared ../shared                            # GPT-2 on WikiText-2's validation text
    python benchmarks/decoder_study.py --shared ../shared --model build/peers/smollm2-135m --minutes 6

Train and dev are lines of the validation text, the test split is the beginning of the test text; the probe is SST-2's dev split.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from teachers import gpt2_from_scratch

ROOT = Path(__file__).parent.parent
DEV_LINES, TEST_LINES = 120, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a decoder; a GPT-2 is trained if left out")
    parser.add_argument("--train-minutes", type=float, default=6.0, help="of that GPT-2")
    parser.add_argument("--minutes", type=float, default=2.0, help="of each distillation")
    parser.add_argument("--work", type=Path, default=Path("build/decoder-study"))
    wanted = parser.parse_args()
    data = texts(wanted.shared / "data" / "wikitext2", wanted.work / "data")
    lines = (data / "train.txt").read_text(encoding="utf-8").splitlines()
    model = wanted.model or gpt2_from_scratch([line for line in lines if line.strip()], wanted.work, wanted.train_minutes)
    command = [sys.executable, str(ROOT / "examples/decoders/study.py"), str(model), str(data), "--minutes", str(wanted.minutes)]
    command += ["--probe", str(wanted.shared / "data/sst2/dev.tsv"), "--work", str(wanted.work / model.name)]
    subprocess.run(command, check=True)
    print((wanted.work / model.name / "study.md").read_text(encoding="utf-8"))


def texts(wikitext: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = (wikitext / "valid.txt").read_text(encoding="utf-8").splitlines()
    test = (wikitext / "test.txt").read_text(encoding="utf-8").splitlines()[:TEST_LINES]
    for name, part in {"train": lines[:-DEV_LINES], "dev": lines[-DEV_LINES:], "test": test}.items():
        (folder / f"{name}.txt").write_text("\n".join(part) + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
