"""self_test(): a clear yes or no whether this device answers as the one that was measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

from .chat import rendered
from .errors import ModuleError
from .integrity import check_files
from .model import MODULE_FILE, load


@dataclass(frozen=True)
class SelfTest:
    """problem: one sentence, None where ok. ids_equal: texts whose token ids are the teacher's; the rest of `texts` came as ids."""

    ok: bool
    problem: str | None
    texts: int
    ids_equal: int
    largest_difference: float | None
    tolerance: float | None


def self_test(folder=None, threads: int | None = None, manifest_file: str = MODULE_FILE, exact: bool = False) -> SelfTest:
    """Signature, hashes, then every golden text: its token ids and its outputs. Never raises for what it is there to find."""
    try:
        with load(folder, threads, manifest_file, exact) as model:
            check_files(model.folder, model.manifest)
            return _asked(model)
    except ModuleError as error:
        return SelfTest(False, str(error), 0, 0, None, None)


def _asked(model) -> SelfTest:
    with (model.folder / "golden.jsonl").open(encoding="utf-8") as file:
        golden = [json.loads(line) for line in file]
    tolerance, worst, equal = model.manifest["golden_tolerance"], 0.0, 0
    for entry in golden:
        shown = str(entry.get("text") or entry.get("words") or entry["input_ids"])[:60]
        encoded = _encoded(model, entry)
        if encoded is not None:
            if entry["input_ids"] not in encoded:
                return SelfTest(False, "other token ids for {!r}".format(shown), len(golden), equal, worst, tolerance)
            equal += 1
        gap = _gap(model, entry)
        worst = max(worst, gap)
        if not gap <= tolerance:
            problem = "{!r} is answered otherwise: off by {:.3g}, limit {:g}".format(shown, gap, tolerance)
            return SelfTest(False, problem, len(golden), equal, worst, tolerance)
    if not equal and any(key in entry for entry in golden for key in ("text", "words", "messages")):
        return SelfTest(False, "no token ids were compared", len(golden), equal, round(worst, 6), tolerance)
    return SelfTest(True, None, len(golden), equal, round(worst, 6), tolerance)


def _encoded(model, entry):
    """The ids that the tokenizer makes of an entry, of every window where there are several; None where it came as ids."""
    if "words" in entry:
        return [model.texts.words(entry["words"]).ids]
    if "messages" in entry:
        return [model.texts.chat(rendered(model.manifest.get("answers"), entry["messages"]))]
    if "text" not in entry:
        return None
    if model.task == "text-generation":
        return [model.texts.prompt(entry["text"])]
    if model.task == "question-answering":
        return [window.ids for window in model.texts.windows(entry["text"], entry["text_pair"] or "")]
    return [model.texts.text(entry["text"], entry.get("text_pair")).ids]


def _gap(model, entry) -> float:
    import numpy as np

    ids, expected = entry["input_ids"], np.asarray(entry["output"])
    if model.task == "text-generation":
        return float(np.abs(_read_along(model, ids) - expected[:, 0]).mean()) if len(expected) else 0.0
    outputs = model.session.run(ids, entry["token_type_ids"])
    actual = outputs[0] if len(outputs) == 1 else np.stack(outputs, axis=-1)
    return float(np.abs(actual - expected).max(initial=0.0)) if actual.shape == expected.shape else np.inf


def _read_along(model, ids):
    """Negative log-likelihood [tokens - 1] of each token behind those before it, in nats, as the model reads them one by one."""
    import numpy as np

    decoder, losses = model.session.decoder(len(ids)), []
    for token, following in pairwise(ids):
        logits = decoder.step([token]).astype(np.float64)
        losses.append(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[following])
    return np.array(losses)
