"""NNCF and OpenVINO: conversion, then static int8 calibrated on texts: `openvino_int8.py MODEL OUT TASK TEXTS`."""

import sys
from pathlib import Path

import nncf
import openvino
import torch
import transformers

CLASSES = {"feature-extraction": "AutoModel", "text-classification": "AutoModelForSequenceClassification"}
MODEL_FILE = "openvino_model.xml"


def main() -> None:
    """TEXTS: one a line; all of them calibrate."""
    model, out, task, texts = sys.argv[1:]
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    loaded = getattr(transformers, CLASSES[task]).from_pretrained(model, dtype=torch.float32).eval()
    rows = [dict(tokenizer(text, truncation=True, max_length=256, return_tensors="pt")) for text in Path(texts).read_text().splitlines()]
    rows = [{name: row[name] for name in ("input_ids", "attention_mask", "token_type_ids")} for row in rows]
    converted = openvino.convert_model(loaded, example_input=rows[0])
    quantized = nncf.quantize(
        converted,
        nncf.Dataset(rows, lambda row: {name: value.numpy() for name, value in row.items()}),
        subset_size=len(rows),
        model_type=nncf.ModelType.TRANSFORMER,
    )
    openvino.save_model(quantized, Path(out) / MODEL_FILE, compress_to_fp16=False)


if __name__ == "__main__":
    main()
