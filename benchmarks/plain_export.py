"""What somebody without edgepack would start from: torch.onnx.export of the untouched model, optimized as the session opens.

`plain_export.py MODEL OUT TASK` writes the file that peers.py compares with.
"""

import sys
from pathlib import Path

import torch
import transformers

from edgepack.export.onnx_export import input_names
from edgepack.pack.runnable import Runnable, Session
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Task

OPSET = 20


def export_plainly(source: Path, task: Task, folder: Path) -> None:
    """Writes model.onnx in fp32 and what a target must know of it into `folder`; sdpa attention, dynamic batch and length.

    Of feature-extraction it is the bare model, one vector a token, as exporters leave it.
    """
    bare = task.name == "feature-extraction"
    folder.mkdir(parents=True, exist_ok=True)
    model = getattr(transformers, task.auto_class).from_pretrained(
        source, dtype=torch.float32, **({"add_pooling_layer": False} if bare else {})
    )
    model.eval()
    names, outputs = input_names(model), ("last_hidden_state",) if bare else task.outputs
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    torch.onnx.export(
        model,
        kwargs={name: torch.ones(2, 16, dtype=torch.long) for name in names},
        f=folder / "model.onnx",
        dynamo=True,
        dynamic_shapes=dict.fromkeys(names, axes),
        input_names=names,
        output_names=list(outputs),
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    facts = Runnable(
        task=task.name,
        model="model.onnx",
        inputs=tuple(names),
        outputs=outputs,
        per_token=task.per_token or bare,
        pad_id=model.config.pad_token_id or 0,
        vocab=model.config.vocab_size,
        session=Session(graph_optimization_level="all"),
    )
    (folder / "pack.json").write_text(facts.model_dump_json(indent=1))


if __name__ == "__main__":
    model, out, task = sys.argv[1:]
    export_plainly(Path(model), task_named(task), Path(out))
