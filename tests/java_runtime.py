"""The runtime that runs here, for Java that runs on a JVM: a JSON object a line in, arrays out. `java_runtime.py MODULE_FOLDER`."""

import json
import sys
from pathlib import Path

from edgepack.ship.load import device_module


def main(folder: Path) -> None:
    from importlib import import_module

    stated = next(path for path in (folder / "module.json", folder / "runnable.json") if path.is_file())  # of a module, or of a pack
    manifest = json.loads(stated.read_text(encoding="utf-8"))
    manifest["exact"] = manifest.get("exact", False)
    kind = {"onnx": "session_onnxruntime", "tflite": "session_litert"}[manifest.get("format", "onnx")]
    package = device_module().__name__
    weights = import_module(f"{package}.weight_source").weights_of(folder, manifest, 1)
    session = import_module(f"{package}.{kind}").Session(weights, manifest, 1, lambda opened, *_, **__: opened(None))
    decoders = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if "open" in asked:
            decoders[asked["open"]] = session.decoder(asked["positions"])
            arrays = []
        elif "step" in asked:
            arrays = [decoders[asked["step"]].step(asked["ids"])]
        elif "forget" in asked:
            decoders[asked["forget"]].length = asked["length"]
            arrays = []
        elif "score" in asked:
            arrays = [scores(folder, manifest, asked["score"])]
        else:
            arrays = session.run(asked["ids"], asked["types"])
        print(json.dumps({"arrays": [array.ravel().tolist() for array in arrays]}), flush=True)


def scores(folder: Path, manifest: dict, ids: list[int]):
    """Logits for every token."""
    import numpy as np
    import onnxruntime

    past = {
        f"past_key_values.{layer['layer']}.{part}": np.zeros((1, layer["heads"], 0, layer["head_size"]), np.float32)
        for layer in manifest["cache"]
        for part in ("key", "value")
    }
    feeds = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, len(ids)), np.int64), **past}
    return onnxruntime.InferenceSession(str(folder / manifest["score_model"])).run(["logits"], feeds)[0]


main(Path(sys.argv[1]))
