"""A pack loaded by optimum: `optimum_load.py PACK` prints its answers to the pack's golden texts as JSON.

Embeddings come out of ORTModelForCustomTasks: ORTModelForFeatureExtraction wants `last_hidden_state`, where a pack pools inside.
The session leaves the file as it is: optimized again, what int8 rounds differs (by 0.06 at most in an embedding), and it is slower.
"""

import json
import sys
from pathlib import Path

import numpy as np
from onnxruntime import GraphOptimizationLevel, SessionOptions
from optimum import onnxruntime
from transformers import AutoTokenizer

CLASSES = {"text-classification": "ORTModelForSequenceClassification", "feature-extraction": "ORTModelForCustomTasks"}


def main() -> None:
    pack = Path(sys.argv[1])
    manifest = json.loads((pack / "pack.json").read_text())
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    loader = getattr(onnxruntime, CLASSES[manifest["task"]])
    model = loader.from_pretrained(pack, file_name=manifest["model"], session_options=options)
    tokenizer = AutoTokenizer.from_pretrained(pack)
    answers = []
    for line in (pack / "golden.jsonl").read_text().splitlines():
        golden = json.loads(line)
        found = model(**tokenizer(golden["text"], golden["text_pair"], return_tensors="np", truncation=True))
        answers.append(np.asarray(found[manifest["outputs"][0]])[0].tolist())
    print(json.dumps({"class": type(model).__name__, "answers": answers, "labels": dict(model.config.id2label)}))


if __name__ == "__main__":
    main()
