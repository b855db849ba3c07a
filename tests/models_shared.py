"""What tests of several rooms do with a model: texts and batches for it, heads to cut, and the tokens that torch itself writes."""

import torch

from edgepack.compress.context import StageContext
from edgepack.model.material import gather
from edgepack.model.structure import kv_groups_of, layers_of
from edgepack.plan.recipe import Recipe
from edgepack.tasks.common.rows import Row

TEXTS = ["play some jazz", "turn on the light in the kitchen please", "19", "", "set the bedroom to 22 degrees and call anna now " * 3]
GREEDY = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0}


def rows_for(task):
    if task == "token-classification":
        return [Row("", words=tuple(text.split())) for text in TEXTS if text]
    if task == "question-answering":
        return [Row("", text="what is on?", context=text) for text in TEXTS if text]
    return [Row("", text=text) for text in TEXTS]


def batch(rows=3, tokens=11):
    ids = torch.randint(5, 300, (rows, tokens), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def fitted(model, keep):
    """Lists of heads made to fit: whole groups where heads share a key, one list where layers share their weights."""
    group = kv_groups_of(model)
    whole = [sorted({member for head in heads for member in range(head // group * group, (head // group + 1) * group)}) for heads in keep]
    return whole[: len(layers_of(model))]


def context_for(folder, data_folder, tmp_path):
    material = gather(Recipe(model=str(folder), data=str(data_folder)))
    return StageContext(material.task, material.rows("train"), material.train, [], material.labels, tmp_path, 0)


def greedy_in_torch(model, prompt, count):
    ids = torch.tensor([prompt])
    with torch.no_grad():
        for _ in range(count):
            ids = torch.cat([ids, model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    return ids[0].tolist()


def generate_job(ids, count, **more):
    return {"kind": "generate", "threads": 1, "prompt": ids, "max_tokens": count} | GREEDY | more
