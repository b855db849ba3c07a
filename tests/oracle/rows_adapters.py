"""LoRA adapters, merged into the model that they were trained on: PEFT's own merge is what they must answer like."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import libraries
import torch
import transformers
from rows_basic import PROMPTS, TEXTS, make
from situation import Answer, Calls, Situation
from small import CLASSES

BASE = {"base": "{beside}/base"}


def adapted(
    folder: Path, task: str, family: str = "bert", labels: int = 0, after: Callable[[Path], object] | None = None, **settings: object
) -> None:
    """The adapter in `folder`; beside it its base model, and what PEFT makes of both."""
    import peft

    base, merged = folder.parent / "base", folder.parent / "merged"
    base.mkdir()
    make(base, family, task=task)
    more = {"num_labels": labels, "ignore_mismatched_sizes": True} if labels else {}
    model = getattr(transformers, CLASSES[task]).from_pretrained(base, **more)
    torch.manual_seed(1)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**settings))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if parameter.requires_grad:  # B is zeros before a training
                parameter.add_(torch.randn_like(parameter) * (0.2 if "lora_" in name and "magnitude" not in name else 0.05))
    wrapped.save_pretrained(folder)
    wrapped.merge_and_unload().save_pretrained(merged)
    for path in base.glob("*token*"):
        (merged / path.name).write_bytes(path.read_bytes())
    if after:
        after(folder)


def asked_merged(folder: Path, calls: Calls, oracle: Callable[[Path, Calls], list[Answer]]) -> list[Answer]:
    return oracle(folder.parent / "merged", calls)


def row(
    name: str, task: str, calls: Calls, oracle: Callable[[Path, Calls], list[Answer]], refused: str | None = None,
    recipe: dict[str, object] | None = None, refused_by: dict[str, str] | None = None, **more: object,
) -> Situation:  # fmt: skip
    asked = partial(asked_merged, oracle=oracle)
    written, stated = partial(adapted, task=task, **more), BASE if recipe is None else recipe
    return Situation(f"LoRA: {name}", task, written, calls, asked, stated, refused, refused_by or {}, formats=("onnx",))


def stating(**more: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | more), encoding="utf-8")

    return change


embeds = partial(row, task="feature-extraction", calls=TEXTS, oracle=libraries.embed)
TARGETS = {"r": 4, "target_modules": ["query", "value"]}

SITUATIONS = [
    embeds("embeddings", **TARGETS, lora_alpha=8),
    embeds("ranks and alphas by module", **TARGETS, rank_pattern={"layer.0.attention.self.query": 2}, alpha_pattern={"value": 3}),
    embeds("scaled by the root of the rank", **TARGETS, use_rslora=True),
    embeds("DoRA", **TARGETS, use_dora=True),
    embeds("the table of tokens and biases", r=4, target_modules=["word_embeddings", "dense"], bias="lora_only"),
    row("a head of its own with three labels", "text-classification", TEXTS, libraries.classify, labels=3, task_type="SEQ_CLS", **TARGETS),
    row(
        "GPT-2's transposed weights", "text-generation", PROMPTS, libraries.generate, family="gpt2", r=4, target_modules=["c_attn"],
        fan_in_fan_out=True, task_type="CAUSAL_LM",
    ),
    embeds("without its base", **TARGETS, recipe={}, refused="--base"),
    embeds("another kind of adapter", **TARGETS, after=stating(peft_type="IA3"), refused="peft_type.*IA3"),
    embeds("a start that changes the base", **TARGETS, after=stating(init_lora_weights="pissa"), refused="init_lora_weights.*pissa"),
    embeds("an unknown key", **TARGETS, after=stating(gating="on"), refused="gating"),
]  # fmt: skip
