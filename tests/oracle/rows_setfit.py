"""SetFit: a logistic regression, or a layer of torch, behind a sentence-transformers model, converted by the lines of the refusal."""

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
from rows_basic import TEXTS
from rows_embeddings import NORMALIZE, PROMPTS, Part, pooling, sentence, write_json
from rows_static import EMPTY, table
from sentence_transformers import SentenceTransformer
from situation import Answer, Calls, Situation
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from small import HIDDEN

from edgepack.core.errors import EdgepackError
from edgepack.model.source import find_model

HEAD = "head.joblib"  # beside the model's folder: what the oracle predicts with


def regression(classes: Sequence[object], several: bool = False) -> object:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, HIDDEN))
    if several:
        return OneVsRestClassifier(LogisticRegression()).fit(vectors, generator.integers(0, 2, size=(60, len(classes))))
    return LogisticRegression().fit(vectors, np.array(classes)[np.arange(60) % len(classes)])


def layer(**settings: object) -> object:
    """SetFit's own head, as `use_differentiable_head` makes it."""
    from setfit import SetFitHead

    torch.manual_seed(0)
    return SetFitHead(in_features=HIDDEN, device="cpu", **settings)


def setfit(
    folder: Path, classes: Sequence[object] = (0, 1, 2), several: bool = False, parts: Sequence[Part] = (pooling("cls"),),
    stated: dict[str, object] | None = None, convert: bool = True, head: Callable[[], object] | None = None,
    body: Callable[..., None] = sentence, **more: object,
) -> None:  # fmt: skip
    """As SetFit's save_pretrained writes it, and then as the lines of the refusal make it. body: writes what is below the head."""
    body(folder, parts, **more)
    fitted = head() if head else regression(classes, several)
    joblib.dump(fitted, folder / "model_head.pkl")
    joblib.dump(fitted, folder.parent / HEAD)
    write_json(folder / "config_setfit.json", {"normalize_embeddings": False, "labels": None} | (stated or {}))
    if convert:
        run_the_lines_that_convert(folder)


def run_the_lines_that_convert(folder: Path) -> None:
    try:
        find_model(str(folder), with_weights=False)
    except EdgepackError as error:
        lines = error.fix[error.fix.index("import json") :].replace("FOLDER", str(folder))
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(lines, "the refusal", "exec"), {})


def predict(folder: Path, calls: Calls) -> list[Answer]:
    """predict_proba of the vector, with the library's own names."""
    head, stated = joblib.load(folder.parent / HEAD), json.loads((folder / "config_setfit.json").read_text(encoding="utf-8"))
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    answers = []
    for (text,) in calls:
        vector = model.encode([text], normalize_embeddings=bool(stated["normalize_embeddings"]))
        is_layer = isinstance(head, torch.nn.Module)
        scores = head.predict_proba(torch.from_numpy(vector))[0].detach() if is_layer else head.predict_proba(vector)[0]
        names = stated["labels"] or (range(len(scores)) if is_layer else head.classes_)
        pairs = [(str(name), float(score)) for name, score in zip(names, scores, strict=True)]
        ranked = [{"name": name, "score": score} for name, score in sorted(pairs, key=lambda pair: -pair[1])]
        answers.append({"label": ranked[0]["name"], "score": ranked[0]["score"], "scores": ranked})
    return answers


def row(name: str, calls: Calls = TEXTS, refused: str | None = None, **more: object) -> Situation:
    return Situation(f"SetFit: {name}", "text-classification", partial(setfit, **more), calls, predict, refused=refused)


TWO = {"labels": ["no", "yes"]}
NAMES = {"labels": ["negative", "neutral", "positive"]}
SITUATIONS = [
    row("three classes"),
    row("two classes with names", classes=(0, 1), stated=TWO),
    row("classes that are texts", classes=("a", "b", "c", "d"), parts=[pooling("mean"), NORMALIZE]),
    row("vectors that are made 1 long", stated=NAMES | {"normalize_embeddings": True}),
    row("its own layer of torch", head=partial(layer, out_features=3)),
    row("its own layer, another temperature, no bias", head=partial(layer, out_features=2, temperature=0.2, bias=False), stated=TWO),
    row("its own layer, several labels at once", head=partial(layer, out_features=3, multitarget=True), stated=NAMES),
    row("several labels at once", several=True, stated=NAMES),
    row("a table of vectors, and texts without tokens", (*TEXTS, *EMPTY), body=table, parts=[], stated=NAMES),
    row("a table, scaled to length 1, several labels", (*TEXTS, *EMPTY), body=table, parts=[NORMALIZE], several=True, stated=NAMES),
    row("a pickled head", convert=False, refused=r"model_head\.pkl.*a pickle can run any code"),
    row("a default prompt", prompts={"prompts": PROMPTS, "default_prompt_name": "query"}, refused="default_prompt_name"),
]
