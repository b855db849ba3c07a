"""Outputs become answers: the decisions that the model was measured by, with scores and places. One function a task."""

from __future__ import annotations

import numpy as np

from .errors import BadInput
from .manifest import check_labels
from .results import Entities, Entity, Label, Labels, Vector
from .search import coder_of
from .spans import find_answer
from .tags import OLDER, Unit, continues_word, entities
from .texts import WORDS, check_text


def classify(model, text: str, pair: str | None = None) -> Labels:
    """pair: the second text, of a model for pairs; an empty one is none, unless the model is a CrossEncoder."""
    stated = model.manifest.get("answers") or {}
    encoded = model.texts.text(text, pair, stated.get("reads_empty_pair", False), may_be_empty=_of_no_tokens(model) is not None)
    values = FUNCTIONS[stated.get("function", "softmax")](_numbers(model, encoded))
    check_labels(model.labels, len(values))
    scores = tuple(Label(model.labels[index], float(values[index])) for index in np.argsort(-values, kind="stable"))
    names = (scores[0].name,)
    if stated.get("multi_label"):
        least = dict(zip(model.labels, stated["thresholds"]))
        names = tuple(label.name for label in scores if label.score >= least[label.name])
    return Labels(scores[0].name, scores[0].score, scores, encoded.cut, names)


def find_entities(model, text) -> Entities:
    """text: a text, or a list of words; of those, start and end are places among the words joined by single spaces."""
    answers = model.manifest.get("answers") or OLDER
    given = isinstance(text, (list, tuple))
    spans, whole = _words_of(text, answers["words"])
    encoded = model.texts.text(whole) if spans is None else model.texts.words([whole[start:end] for start, end in spans])
    scores = [softmax(row) for row in model.run(encoded)[0]]
    check_labels(model.labels, len(scores[0]))
    units = _units(encoded, whole, spans, scores, answers, model.texts.token)
    if spans is not None and not (given and answers["words"] == "tokenizer") and answers["strategy"] not in ("none", "simple"):
        units = _whole_words(units, encoded, spans, model.labels)
    places = entities(units, model.labels, answers)
    return Entities(tuple(Entity(kind, whole[start:end], start, end, score) for kind, start, end, score in places), encoded.cut)


def _words_of(text, words: str) -> tuple:
    """(start, end) of every word, None where the tokenizer is to find them; and the whole text."""
    if isinstance(text, (list, tuple)):
        for word in text:
            check_text(word, "a word")
        ends = np.cumsum([len(word) + 1 for word in text]).tolist()
        return [(end - 1 - len(word), end - 1) for word, end in zip(text, ends)], " ".join(text)
    check_text(text, "text")
    return None if words == "tokenizer" else WORDS[words](text), text


def _units(encoded, whole, spans, scores, answers, token_of) -> list:
    """One for each token but special ones."""
    units = []
    for position in encoded.text_tokens:
        start, end = encoded.places[position]
        shift = 0 if spans is None else spans[encoded.words[position]][0]
        start, end = start + shift, end + shift
        token_id = encoded.ids[position]
        continues = continues_word(whole, start, end, token_of(token_id), token_id, answers)
        units.append(Unit(start, end, scores[position], continues))
    return units


def _whole_words(units, encoded, spans, labels) -> list:
    """The same tokens, which belong together as the words do; a word of which no token is left gets the tag O."""
    by_word = {}
    for unit, position in zip(units, encoded.text_tokens):
        by_word.setdefault(encoded.words[position], []).append(unit)
    nothing = np.array([float(name == "O") for name in labels])
    parts = []
    for word, (start, end) in enumerate(spans):
        tokens = by_word.get(word) or [Unit(start, end, nothing)]
        parts += [Unit(start, end, unit.scores, index > 0) for index, unit in enumerate(tokens)]
    return parts


def embed(model, text: str, prompt: str | None = None) -> Vector:
    """prompt: the name of one of the model's prompts, which stands before the text; None: its default one, "": none."""
    check_text(text, "text")
    encoded = model.texts.text(_prompt(model, prompt) + text, may_be_empty=_of_no_tokens(model) is not None)
    _check_prompt(model.manifest.get("answers") or {}, prompt, encoded.ids)
    values = np.asarray(_numbers(model, encoded), dtype=np.float32)
    sparse = (model.manifest.get("answers") or {}).get("sparse")
    coder = coder_of(model.manifest)
    codes = None if coder is None else coder.codes(values)
    return Vector(values, encoded.cut, _weights(values, model.texts.token) if sparse else None, codes)


def _of_no_tokens(model):
    """Of a table of vectors, which the library answers for; other packs state none, and refuse a text without tokens."""
    return model.manifest.get("empty_output")


def _numbers(model, encoded) -> np.ndarray:
    """The vector of a text, or the logits of its labels."""
    return model.run(encoded)[0] if encoded.ids else np.asarray(_of_no_tokens(model), dtype=np.float32)


def _weights(values, token_of) -> dict:
    """By token, as sentence-transformers' SparseEncoder.decode gives them."""
    return {token_of(int(index)): float(values[index]) for index in np.argsort(-values, kind="stable") if values[index] > 0}


def _prompt(model, name) -> str:
    stated = model.manifest.get("answers") or {}  # older packs state none
    prompts = stated.get("prompts") or {}
    name = stated.get("default_prompt") if name is None else name
    if not name:
        return ""
    if name not in prompts:
        known = ", ".join(sorted(prompts)) or "none"
        raise BadInput("the model has no prompt of the name {!r}".format(name), "its prompts: {}".format(known))
    return prompts[name]


def _check_prompt(answers, name, ids) -> None:
    """Of a model whose vectors leave prompts out, which its graph finds by their tokens. BadInput: the text itself begins with one."""
    stated = answers.get("prompt_tokens") or {}
    if not stated:
        return
    begun = [each for each in stated.values() if ids[: len(each["begin"])] == each["begin"]]
    longest = max(begun, key=lambda each: len(each["begin"]), default=None)
    if longest != stated.get(answers.get("default_prompt") if name is None else name):
        raise BadInput("the text itself begins with a prompt of the model", "give the text without it, and name the prompt")
    if longest and len(ids) <= longest["count"]:
        raise BadInput("nothing is left of the text: no tokens behind the prompt", "give a longer text")


def softmax(logits) -> np.ndarray:
    """In double precision, over the last axis of [n]."""
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    return shifted / shifted.sum()


def sigmoid(logits) -> np.ndarray:
    """In double precision, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))


FUNCTIONS = {"softmax": softmax, "sigmoid": sigmoid, "none": lambda logits: logits.astype(np.float64)}  # what makes scores of logits


ANSWERS = {
    "text-classification": classify,
    "token-classification": find_entities,
    "question-answering": find_answer,
    "feature-extraction": embed,
}
