"""self_test(): a clear yes or no whether this device answers as the one that was measured.

Three things are compared for every golden text: its token ids, types and mask; the runtime's outputs, within the pack's tolerance; and the
decision that the module's code forms of the golden outputs, which hangs on no rounding of this CPU.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

from .chat import rendered
from .errors import BadInput, ModuleError
from .integrity import check_files
from .manifest import check_listed
from .model import MODULE_FILE, Model, load
from .wire import as_json

GOLDEN_FILE = "golden.jsonl"
_SCORES_KEPT = 5  # of the labels of a text: the highest
_SCORE_GAP = 1e-4  # of a score that is computed of the same outputs: devices round in float32 or in float64


@dataclass(frozen=True)
class SelfTest:
    """problem: one sentence, None where ok. ids_equal: of the `ids_asked` texts that are asked as text, those whose token ids are right.

    from_ids: the rest of `texts`, which the pack keeps as token ids alone: their outputs are compared, and no text is there to be read.
    answers_equal: texts that are decided as when the pack was built; 0 where an older pack states no decisions.
    """

    ok: bool
    problem: str | None
    texts: int
    ids_equal: int
    largest_difference: float | None
    tolerance: float | None
    answers_equal: int = 0
    ids_asked: int = 0
    from_ids: int = 0


def self_test(folder=None, threads: int | None = None, manifest_file: str = MODULE_FILE, exact: bool = False) -> SelfTest:
    """Signature, hashes, then every golden text: its token ids, its outputs and its decision. Never raises for what it is there to find."""
    try:
        with load(folder, threads, manifest_file, exact) as model:
            check_listed(model.manifest, manifest_file, GOLDEN_FILE)
            check_files(model.folder, model.manifest)
            return _asked(model)
    except ModuleError as error:
        return SelfTest(False, str(error), 0, 0, None, None)


def _asked(model) -> SelfTest:
    with (model.folder / GOLDEN_FILE).open(encoding="utf-8") as file:
        golden = [json.loads(line) for line in file]
    tolerance, worst, equal, decided = model.manifest["golden_tolerance"], 0.0, 0, 0
    replay = Replay(model, golden)
    asked = sum(is_text(entry) for entry in golden)
    kinds = {"ids_asked": asked, "from_ids": len(golden) - asked}
    for entry in golden:
        differs, gap = replay.differs(entry), _gap(model, entry)
        worst, is_made = max(worst, gap), differs in (None, "decision")
        equal += is_text(entry) and is_made
        if differs is None and not _writes_on(model, entry):
            differs = "tokens behind it"
        if is_made and not gap <= tolerance:
            problem = "{!r} is answered otherwise: off by {:.3g}, limit {:g}".format(shown_text(entry), gap, tolerance)
            return SelfTest(False, problem, len(golden), equal, worst, tolerance, decided, **kinds)
        if differs is not None:
            problem = "other {} for {!r}".format(differs, shown_text(entry))
            return SelfTest(False, problem, len(golden), equal, worst, tolerance, decided, **kinds)
        decided += "answer" in entry
    problem = None if equal else "no token ids were compared: build the pack again"
    return SelfTest(equal > 0, problem, len(golden), equal, round(worst, 6), tolerance, decided, **kinds)


def is_text(entry) -> bool:
    """Whether a golden entry is a text, whose ids the device makes, and not ids alone."""
    return any(key in entry for key in ("text", "words", "messages"))


def shown_text(entry) -> str:
    return str(entry.get("text") or entry.get("words") or entry.get("messages") or entry["input_ids"])[:60]


class Replay:
    """The golden outputs in the runtime's place, for the code that makes token ids of texts and decisions of outputs."""

    def __init__(self, model, golden) -> None:
        self._reads_types = "token_type_ids" in model.manifest["inputs"]
        self._several = len(model.manifest["outputs"]) > 1
        self._known = {self._key(entry["input_ids"], entry["token_type_ids"]): entry["output"] for entry in golden}
        self._model = Model(model.folder, model.manifest, model.texts, self)
        self._asked: list = []

    def run(self, ids, type_ids) -> list:
        """What a session's run gives: the golden outputs of these ids, and zeros for ids that no entry has."""
        import numpy as np

        self._asked.append((list(ids), list(type_ids)))
        held = self._known.get(self._key(ids, type_ids))
        if held is None:
            some = np.asarray(next(iter(self._known.values())), np.float32)
            held = np.zeros((len(ids), *some.shape[1:]) if self._model.manifest["per_token"] else some.shape)
        output = np.asarray(held, np.float32)
        return list(np.moveaxis(output, -1, 0)) if self._several else [output]

    def differs(self, entry) -> str | None:
        """What this device makes otherwise of an entry: token ids, token types, masks, or the decision. None: nothing."""
        ids = entry["input_ids"]
        if not is_text(entry):
            return None
        if entry.get("attention_mask", [1] * len(ids)) != [1] * len(ids):
            return "masks"
        if self._model.task == "text-generation":
            return None if prompt_ids(self._model, entry) == ids else "token ids"
        answer = self.decision(entry)
        types = [types for asked, types in self._asked if asked == ids]
        if not types or ("answer" in entry and not self.is_whole()):
            return "token ids"
        if self._reads_types and entry["token_type_ids"] not in types:
            return "token types"
        return None if "answer" not in entry or _same(entry["answer"], answer) else "decision"

    def decision(self, entry):
        """What the model's code decides for an entry by the golden outputs, as plain JSON; None where it refuses the text."""
        self._asked = []
        try:
            answer = as_json(self._model(*_arguments(self._model.task, entry)))
        except BadInput:
            return None
        return DECISIONS.get(self._model.task, dict)(answer)

    def is_whole(self) -> bool:
        """Whether the golden outputs hold all that the last decision was formed of."""
        return all(self._key(*asked) in self._known for asked in self._asked)

    def _key(self, ids, type_ids) -> tuple:
        return (tuple(ids), tuple(type_ids) if self._reads_types else ())


def _arguments(task, entry) -> list:
    """A call's, for a golden entry. Texts for vectors stand behind their prompt in older packs, which state no name of one."""
    if "words" in entry:
        return [entry["words"]]
    if task == "feature-extraction":
        return [entry["text"], entry.get("prompt", "")]
    if task == "token-classification":
        return [entry["text"]]
    pair = entry.get("text_pair")
    return [entry["text"], (pair or "") if task == "question-answering" else pair]


def _labels(answer) -> dict:
    names = [label["name"] for label in answer["scores"]]  # a score under a name that two labels share would be either's
    scores = {label["name"]: round(label["score"], 6) for label in answer["scores"][:_SCORES_KEPT] if names.count(label["name"]) == 1}
    return {"label": answer["label"], "chosen": list(answer["chosen"]), "scores": scores}


def _entities(answer) -> dict:
    return {"entities": [{**entity, "score": round(entity["score"], 6)} for entity in answer["entities"]]}


def _span(answer) -> dict:
    return {"text": answer["text"], "start": answer["start"], "end": answer["end"], "score": round(answer["score"], 6)}


def _vector(answer) -> dict:
    """A vector is the output itself; its codes are whole numbers, and all platforms have the same."""
    codes = {} if answer.get("codes") is None else {"codes": answer["codes"]}
    return {"dimensions": len(answer["values"]), **codes}


# What of an answer is kept beside golden outputs: all of it where a task is not named.
DECISIONS = {
    "text-classification": _labels,
    "token-classification": _entities,
    "question-answering": _span,
    "feature-extraction": _vector,
}


def _same(expected, answer) -> bool:
    """Numbers with a point may differ by their rounding; all else is equal."""
    if isinstance(expected, dict):
        return isinstance(answer, dict) and all(key in answer and _same(value, answer[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(answer, list) and len(expected) == len(answer) and all(_same(*pair) for pair in zip(expected, answer))
    if isinstance(expected, float) and isinstance(answer, (int, float)):
        return abs(expected - answer) <= _SCORE_GAP * max(1.0, abs(expected))
    return expected == answer


def prompt_ids(model, entry) -> list:
    """The ids that a model that writes reads of a prompt or of a conversation."""
    if "messages" in entry:
        return model.texts.chat(rendered(model.manifest.get("answers"), entry["messages"]))
    return model.texts.prompt(entry["text"])


def _writes_on(model, entry) -> bool:
    """Whether the likeliest tokens follow a golden prompt that did when the pack was built, as many as were certain then."""
    if model.task != "text-generation" or "answer" not in entry:
        return True
    asked = {"messages": entry["messages"]} if "messages" in entry else {"prompt": entry["text"]}
    return list(model(**asked, max_tokens=entry["answer"]["max_tokens"], temperature=0.0).tokens) == entry["answer"]["tokens"]


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
