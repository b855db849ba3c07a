"""A pack loaded by optimum: `optimum_load.py PACK` prints its answers to the pack's golden texts as JSON.

Embeddings come out of ORTModelForCustomTasks: ORTModelForFeatureExtraction wants `last_hidden_state`, where a pack pools inside.
A decoder writes greedily behind the first tokens of each text: `optimum_load.py PACK` is followed by how many it reads, and writes.
The session leaves the file as it is: optimized again, what int8 rounds differs (by 0.06 at most in an embedding), and it is slower.
"""

import json
import sys
from pathlib import Path

import numpy as np
from onnxruntime import GraphOptimizationLevel, SessionOptions
from optimum import onnxruntime
from transformers import AutoTokenizer

CLASSES = {
    "text-classification": "ORTModelForSequenceClassification",
    "feature-extraction": "ORTModelForCustomTasks",
    "text-generation": "ORTModelForCausalLM",
}


def main() -> None:
    pack = Path(sys.argv[1])
    manifest = json.loads((pack / "pack.json").read_text())
    options = SessionOptions()
    options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    loader = getattr(onnxruntime, CLASSES[manifest["task"]])
    model = loader.from_pretrained(pack, file_name=manifest["model"], session_options=options)
    tokenizer = AutoTokenizer.from_pretrained(pack)
    goldens = [json.loads(line) for line in (pack / "golden.jsonl").read_text().splitlines()]
    if manifest["task"] == "text-generation":
        answers = [_written(model, golden["input_ids"][: int(sys.argv[2])], int(sys.argv[3])) for golden in goldens]
    else:
        texts = [tokenizer(golden["text"], golden["text_pair"], return_tensors="np", truncation=True) for golden in goldens]
        answers = [np.asarray(model(**text)[manifest["outputs"][0]])[0].tolist() for text in texts]
    print(json.dumps({"class": type(model).__name__, "answers": answers, "labels": dict(model.config.id2label)}))


def _written(model: object, prompt: list[int], count: int) -> list[int]:
    import torch

    ids = torch.tensor([prompt])
    whole = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=count, max_new_tokens=count)
    return whole[0, len(prompt) :].tolist()


if __name__ == "__main__":
    main()
