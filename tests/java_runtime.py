"""The runtime that runs here, for Java that runs on a JVM: a JSON object a line in, arrays out. `java_runtime.py MODULE_FOLDER`."""

import json
import sys
from pathlib import Path

from edgepack.ship.load import device_module


def main(folder: Path) -> None:
    from importlib import import_module

    manifest = json.loads((folder / "module.json").read_text(encoding="utf-8"))
    manifest["exact"] = manifest.get("exact", False)
    kind = {"onnx": "session_onnxruntime", "tflite": "session_litert"}[manifest["format"]]
    package = device_module().__name__
    weights = import_module(f"{package}.weight_source").weights_of(folder, manifest, 1)
    session = import_module(f"{package}.{kind}").Session(weights, manifest, 1)
    decoders = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "open" in asked:
            decoders[asked["open"]] = session.decoder(asked["positions"])
            arrays = []
        elif "step" in asked:
            arrays = [decoders[asked["step"]].step(asked["ids"])]
        else:
            arrays = session.run(asked["ids"], asked["types"])
        print(json.dumps({"arrays": [array.ravel().tolist() for array in arrays]}), flush=True)


main(Path(sys.argv[1]))
