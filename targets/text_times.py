"""Times what an app does around the model: the tokenizer before it, the decision behind it, with the code that an app runs.

Runs on the device with numpy, and with tokenizers where it is installed; never imports edgepack.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np
from runnable import one_text

_NAME = "app_module"
_ROUNDS = 20  # of all texts


def texts(folder, manifest, job, open_session) -> dict:
    """Raw times over the pack's golden texts, by text and round; null where tokenizers is not installed, or the pack has no texts."""
    golden = [json.loads(line) for line in (folder / "golden.jsonl").read_text(encoding="utf-8").splitlines()]
    golden = [entry for entry in golden if "text" in entry or "words" in entry]  # the rest came as token ids
    module = _module()
    if module is None or manifest["task"] == "text-generation" or not golden:
        return {"texts": None}
    texts_of = importlib.import_module(_NAME + ".texts").Texts(folder, manifest)
    session = _Session(open_session(folder, manifest, job["threads"], exact=False), manifest)
    asked = []
    for entry in golden:
        arguments, tokenizer, outputs = _arguments(manifest["task"], entry), _Replay(texts_of), _Replay(session)
        answer = module.Model(folder, manifest, tokenizer, outputs)
        answer(*arguments)
        asked.append((answer, arguments, tokenizer, outputs))
    before, after = [], []
    for _ in range(_ROUNDS):
        for answer, arguments, tokenizer, outputs in asked:
            before.append(_timed(tokenizer.do))
            tokenizer.again()
            outputs.again()
            after.append(_timed(lambda answer=answer, arguments=arguments: answer(*arguments)))
    return {"texts": len(asked), "tokenizer_ms": before, "after_ms": after}


class _Replay:
    """Remembers what each call of a method gave, in turn, and after again() gives it without calling: nothing is left of its time."""

    def __init__(self, inner) -> None:
        self._inner, self._calls, self._answers, self._at = inner, [], [], None

    def again(self) -> None:
        self._at = 0

    def do(self) -> None:
        """All the calls once more, for real."""
        for name, arguments, named in self._calls:
            getattr(self._inner, name)(*arguments, **named)

    def __getattr__(self, name):
        def call(*arguments, **named):
            if self._at is None:
                self._calls.append((name, arguments, named))
                self._answers.append(getattr(self._inner, name)(*arguments, **named))
                return self._answers[-1]
            self._at += 1
            return self._answers[self._at - 1]

        return call


class _Session:
    """What an app's code asks of a session, on top of a target's."""

    def __init__(self, run, manifest) -> None:
        self._run, self._manifest = run, manifest

    def run(self, ids, type_ids) -> list:
        text = one_text(self._manifest, ids, type_ids)
        return [output[0] for output in self._run({name: np.array([values], np.int64) for name, values in text.items()})]


def _arguments(task, entry) -> list:
    if "words" in entry:
        return [entry["words"]]
    pair = entry.get("text_pair")
    return [entry["text"]] if pair is None or task == "feature-extraction" else [entry["text"], pair]


def _timed(act) -> float:
    start = time.perf_counter()
    act()
    return round((time.perf_counter() - start) * 1e3, 5)


def _module():
    """The code that an app runs, beside this file or beside its folder; None where it or tokenizers is not there."""
    here = Path(__file__).resolve().parent
    folder = next((path for path in (here / "module", here.parent / "module") if (path / "__init__.py").is_file()), None)
    if folder is None or importlib.util.find_spec("tokenizers") is None:
        return None
    spec = importlib.util.spec_from_file_location(_NAME, str(folder / "__init__.py"), submodule_search_locations=[str(folder), str(here)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)
    return module


JOBS = {"texts": texts}
