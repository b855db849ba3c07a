"""What a decoder writes before and after compression: a few beginnings of texts, continued by the teacher and by the pack."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgepack.core.progress import bar
from edgepack.model.material import Material
from edgepack.pack.manifest import Continuation
from edgepack.pipeline.scoring import load_model
from edgepack.pipeline.torch_pack import torch_pack
from edgepack.ship.load import device_module, load

_PROMPTS = 3
_LEAST_WORDS = 4  # of a text: its first half is a prompt
_MOST_WORDS = 8  # of a prompt
_SETTINGS = {"max_tokens": 24, "temperature": 0.0}  # the likeliest token each time: the same text at each build


def continuations(folder: Path, material: Material) -> tuple[Continuation, ...]:
    """folder: the pack. Nothing where the task writes nothing, or no text is long enough."""
    prompts = list(_prompts(material)) if material.task.decodes else []
    if not prompts:
        return ()
    with bar("write before and after", 2) as progress:
        with torch_pack(load_model(material, material.source), material, material.answers) as teacher:
            before = _written(teacher, prompts)
        progress.advance()
        with load(folder) as model:
            after = _written(model, prompts)
        progress.advance()
    pairs = zip(prompts, before, after, strict=True)
    return tuple(Continuation(prompt=prompt, teacher=old, shipped=new) for prompt, old, new in pairs if old is not None and new is not None)


def _prompts(material: Material) -> Iterator[str]:
    rows = material.rows("test") or material.sample[0]
    texts = [words for row in rows if len(words := row.text.split()) >= _LEAST_WORDS]
    for words in texts[:: max(1, len(texts) // _PROMPTS)][:_PROMPTS]:
        yield " ".join(words[: min(_MOST_WORDS, len(words) // 2)])


def _written(model: Any, prompts: Sequence[str]) -> list[str | None]:
    """None: the prompt is refused, for example because it fills the model's window."""
    refusal = device_module().BadInput
    texts: list[str | None] = []
    for prompt in prompts:
        try:
            texts.append(model(prompt, **_SETTINGS).text)
        except refusal:
            texts.append(None)
    return texts
