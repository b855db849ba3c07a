"""Olive: conversion, its transformer fusions and dynamic int8 per channel, as one workflow: `olive_int8.py MODEL OUT TASK`."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import olive

PASSES = {
    "conversion": {"type": "OnnxConversion"},
    "fusion": {"type": "OrtTransformersOptimization", "model_type": "bert", "opt_level": 0},
    "int8": {"type": "OnnxDynamicQuantization", "per_channel": True, "precision": "int8"},
}


def main() -> None:
    model, out, task = sys.argv[1:]
    shape = json.loads((Path(model) / "config.json").read_text())
    heads = {"num_heads": shape["num_attention_heads"], "hidden_size": shape["hidden_size"]}
    with tempfile.TemporaryDirectory() as scratch:
        config = {
            "input_model": {"type": "HfModel", "model_path": model, "task": task},
            "systems": {
                "here": {"type": "LocalSystem", "accelerators": [{"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}]}
            },
            "passes": PASSES | {"fusion": PASSES["fusion"] | heads},
            "target": "here",
            "evaluate_input_model": False,
            "cache_dir": f"{scratch}/cache",
            "output_dir": f"{scratch}/out",
        }
        olive.run(config)
        (folder,) = Path(f"{scratch}/out").rglob("*.onnx")
        Path(out).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder, Path(out) / "model.onnx")


if __name__ == "__main__":
    main()
