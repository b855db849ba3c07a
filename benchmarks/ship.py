"""What a shipped module costs: seconds to ship, to the first answer on Linux and in Chromium, and a warm answer beside the bare runtime.

    python benchmarks/ship.py PACK [PACK ...] [--platform linux --platform web] [--runs 7]

Packs are of text-classification, in ONNX. With the same model in two precisions it also says which is faster in WebAssembly. Goals:
ship 10 s; web's first answer 3 s from a cold local server; a warm one 1.3 times the bare runtime; Linux 1.5 times the runtime's own cold
load and first inference. Run it alone.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "targets"))
import browsers
import machine

from edgepack.ship.platforms import platform_names
from edgepack.ship.shipping import ship

TEXT = "please turn on the light in the kitchen, it is getting dark and I cannot see a thing"
# The same process without the module: imports, session, and one inference of the same ids.
BARE = """
import json, os, sys
import numpy as np, onnxruntime
folder, ids = sys.argv[1], json.loads(sys.argv[2])
manifest = json.load(open(folder + "/module.json"))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = len(os.sched_getaffinity(0)), 1, 3
levels = onnxruntime.GraphOptimizationLevel
options.graph_optimization_level = {"disable_all": levels.ORT_DISABLE_ALL, "basic": levels.ORT_ENABLE_BASIC,
    "extended": levels.ORT_ENABLE_EXTENDED, "all": levels.ORT_ENABLE_ALL}[manifest["session"]["graph_optimization_level"]]
for key, value in manifest["session"]["config"].items():
    options.add_session_config_entry(key, value)
if manifest["exact"] and sys.argv[3] == "exact":
    options.graph_optimization_level = levels.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.x64quantprecision", "1")
session = onnxruntime.InferenceSession(folder + "/model.onnx", options, disabled_optimizers=manifest["session"]["disabled_optimizers"])
known = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": [0] * len(ids)}
session.run(None, {name: np.array([known[name]], np.int64) for name in manifest["inputs"]})
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", nargs="+", type=Path)
    parser.add_argument("--platform", action="append", choices=platform_names())
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for number, pack in enumerate(options.packs):
            for platform in options.platform or platform_names():
                out = Path(place) / f"{number}" / platform
                began = time.perf_counter()
                shipped = ship(pack, platform, out, package="com.example.intents")
                row = {"pack": pack.name, "model": shipped.sizes[0].what, "platform": platform, "ship_s": time.perf_counter() - began}
                rows.append(row | {"linux": linux, "web": web}.get(platform, lambda *_: {})(out, options.runs))
                print(json.dumps(rows[-1]), flush=True)


def linux(module: Path, runs: int) -> dict:
    """Median seconds of whole processes, files cold in the page cache, taken in turns."""
    model = module / "intents" / "model"
    ids = json.loads(subprocess.run([sys.executable, "-c", _IDS, str(model), TEXT], capture_output=True, text=True, check=True).stdout)
    exact = "exact" if machine.saturates_u8s8() is not False else "as it is"
    commands = {
        "bare_s": [sys.executable, "-c", BARE, str(model), json.dumps(ids), exact],
        "module_s": [sys.executable, "-m", "intents", TEXT],
    }
    spent = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            machine.drop_from_cache(model)
            began = time.perf_counter()
            subprocess.run(command, cwd=module, capture_output=True, check=True)
            spent[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in spent.items()}
    return medians | {"times_bare": medians["module_s"] / medians["bare_s"]}


_IDS = "import sys; from tokenizers import Tokenizer as T; print(T.from_file(sys.argv[1] + '/tokenizer.json').encode(sys.argv[2]).ids)"

WARM = """async ({ text, runs }) => {
    const { load } = await import("./index.js");
    const model = await load();
    const spent = async (act) => { const began = performance.now(); await act(); return performance.now() - began; };
    const [bare, answers] = [[], []];
    const length = await model.send("count", { text });
    for (let run = 0; run < runs; run += 1) {
        bare.push(...await model.send("time", { length, runs: 1 }));
        answers.push(await spent(() => model.ask(text)));
    }
    const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
    return { bare_ms: median(bare), answer_ms: median(answers), tokens: length, threads: model.threads };
}"""


def web(module: Path, runs: int) -> dict:
    """First answers from a fresh profile each time, seconds from opening the page; warm ones in turns with the bare runtime."""
    reason = browsers.missing() or browsers.build(module)
    if reason:
        return {"skipped": reason}
    result = {}
    for threads in (True, False):
        first, warm = [], {}
        with browsers.served(module, threads) as url:
            for _ in range(runs):
                with browsers.browser() as chromium:
                    page = chromium.new_page()
                    began = time.perf_counter()
                    page.goto(url)
                    page.wait_for_selector("#form:not([hidden])")
                    page.fill("#text", TEXT)
                    page.keyboard.press("Enter")
                    page.wait_for_selector("#answer h2")
                    first.append(time.perf_counter() - began)
                    warm = page.evaluate(WARM, {"text": TEXT, "runs": 40})
        name = "threads" if threads else "one_thread"
        result[name] = {"first_answer_s": statistics.median(first), **warm, "times_bare": warm["answer_ms"] / warm["bare_ms"]}
    return result


if __name__ == "__main__":
    main()
