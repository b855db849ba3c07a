"""Who else runs a pack's folder as it is: onnxruntime alone by the card's own lines, optimum, transformers.js.

    python benchmarks/interoperation.py packs/classifier packs/embeddings packs/decoder        # made with `edgepack build`; minutes

Each loader lives in an environment of its own under --work, and must answer the pack's golden texts as its own target does on
this CPU, within the pack's tolerance. (The golden outputs are what the profile's CPU computes: int8 may saturate on another.)
A decoder must write the same tokens behind the first of each golden text, greedily; their ids are compared, so 0 alone is equal.
A loader that is not to be had here is a row that says why. Exit code 1 where one differs or fails.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from peer_environments import NotThere, environment, last_line, python_of
from peer_jobs import SCRIPTS, run_job, runner

NODE_PACKAGE = "@huggingface/transformers@4.3.1"
LONGEST = 20  # lines of code on the card; an encoder's are 9
READ, WRITTEN = 32, 16  # tokens of a decoder's prompt, and behind it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, default=Path("build/peers"))
    wanted = parser.parse_args()
    print("| pack | loader | largest difference | tolerance | |\n|---|---|---|---|---|", flush=True)
    verdicts = [row(pack.resolve(), name, check, wanted.work) for pack in wanted.packs for name, check in CHECKS.items()]
    sys.exit(0 if all(verdicts) else 1)


def row(pack: Path, name: str, check: Callable[[Path, Path], tuple[str, float | None]], work: Path) -> bool:
    """Prints the row; False where a loader is there and gives other answers, or fails."""
    manifest = json.loads((pack / "pack.json").read_text())
    shown = f"| {pack.name}, {manifest['task']} | {name}"
    try:
        how, difference = check(pack, work)
    except NotThere as error:
        print(f"{shown} | – | – | **{error}** |", flush=True)
        return False
    tolerance = 0 if manifest.get("cache") else manifest["golden_tolerance"]
    met = difference is None or difference <= tolerance
    result = "–" if difference is None else f"{difference:.2g}"
    print(f"{shown} | {result} | {tolerance:g} | {how if met else '**differs**'} |", flush=True)
    return met


def lines_of_the_card(pack: Path, work: Path) -> tuple[str, float | None]:
    """The python block of the pack's README, run where there is nothing but onnxruntime, numpy and tokenizers."""
    (code,) = re.findall(r"```python\n(.*?)```", (pack / "README.md").read_text(), re.S)
    count = len([line for line in code.splitlines() if line.strip()])
    if count > LONGEST:
        raise NotThere(f"{count} lines are more than {LONGEST}")
    shown = _run([str(python_of("plain onnxruntime", work / "environments")), "-c", code], pack)
    manifest = json.loads((pack / "pack.json").read_text())
    for name in () if manifest.get("cache") else manifest["outputs"]:
        if f"'{name}'" not in shown:
            raise NotThere(f"the lines print no {name!r}")
    return f"{count} lines run", None


def optimum(pack: Path, work: Path) -> tuple[str, float | None]:
    return _answers([str(python_of("optimum", work / "environments")), str(SCRIPTS / "optimum_load.py"), *_asked(pack)], pack)


def transformers_js(pack: Path, work: Path) -> tuple[str, float | None]:
    """Needs node and npm; install scripts are left out, they fetch what only other devices need."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise NotThere("no node or npm here")
    place = work / "environments" / "transformers.js"
    script = place / "transformers_js.mjs"
    if not (place / "node_modules" / NODE_PACKAGE.rpartition("@")[0]).is_dir():
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text('{"private": true}')
        _run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", NODE_PACKAGE], place)
    shutil.copyfile(SCRIPTS / script.name, script)  # node looks for packages where a script lies
    return _answers(["node", str(script.resolve()), *_asked(pack)], pack)


CHECKS = {"the card's lines": lines_of_the_card, "optimum": optimum, "transformers.js": transformers_js}


def _asked(pack: Path) -> list[str]:
    return [str(pack), str(READ), str(WRITTEN)]


def _answers(command: list[str], pack: Path) -> tuple[str, float | None]:
    """What a loader's script printed last; a classifier must have come with the pack's labels."""
    result = json.loads(_run(command, pack).strip().splitlines()[-1])
    labels = json.loads((pack / "labels.json").read_text())
    if labels and list(result["labels"].values()) != list(labels.values()):
        raise NotThere(f"labels are {list(result['labels'].values())[:4]}")
    pairs = zip(result["answers"], _own_answers(pack), strict=True)
    return result["class"], max(float(np.abs(np.asarray(ours) - np.asarray(theirs)).max()) for theirs, ours in pairs)


@cache
def _own_answers(pack: Path) -> list[list[float]]:
    golden = [json.loads(line) for line in (pack / "golden.jsonl").read_text().splitlines()]
    ask = partial(run_job, pack.name, runner("onnxruntime", None, pack), pack)
    if json.loads((pack / "pack.json").read_text()).get("cache"):
        job = {"kind": "generate", "threads": 1, "max_tokens": WRITTEN, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0}
        return [ask(job | {"prompt": entry["input_ids"][:READ]})["tokens"] for entry in golden]
    rows = [{"input_ids": entry["input_ids"], "token_type_ids": entry["token_type_ids"]} for entry in golden]
    job = {"kind": "answer", "threads": 1, "exact": False, "rows": rows}
    return ask(job)["outputs"]


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment())
    if done.returncode != 0:
        raise NotThere(last_line(done.stderr))
    return done.stdout


if __name__ == "__main__":
    main()
