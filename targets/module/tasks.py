"""Outputs become answers: the decisions that the model was measured by, with scores and places. One function a task."""

from __future__ import annotations

import numpy as np

from .errors import BadInput
from .results import Answer, Entities, Entity, Label, Labels, Vector
from .texts import check_text, split_words

_BEST_STARTS, _LONGEST_ANSWER = 20, 30  # tokens, as when the model was measured


def classify(model, text: str, pair: str | None = None) -> Labels:
    """pair: the second text, of a model for pairs."""
    encoded = model.texts.text(text, pair)
    chances = softmax(model.run(encoded)[0])
    scores = tuple(Label(model.labels[index], float(chances[index])) for index in np.argsort(-chances, kind="stable"))
    return Labels(scores[0].name, scores[0].score, scores, encoded.cut)


def find_entities(model, text) -> Entities:
    """text: a text, or a list of words; of those, start and end are places among the words joined by single spaces."""
    spans, whole = _words_of(text)
    encoded = model.texts.words([whole[start:end] for start, end in spans])
    output = model.run(encoded)[0]
    tags, scores = ["O"] * len(spans), [0.0] * len(spans)
    for position in reversed(range(len(encoded.words))):  # a word's tag is that of its first token
        word = encoded.words[position]
        if word is not None:
            best = int(output[position].argmax())
            tags[word], scores[word] = model.labels[best], float(softmax(output[position])[best])
    return Entities(tuple(_entity(whole, spans, scores, one) for one in entity_spans(tags)), encoded.cut)


def _words_of(text) -> tuple:
    if isinstance(text, (list, tuple)):
        for word in text:
            check_text(word, "a word")
        ends = np.cumsum([len(word) + 1 for word in text]).tolist()
        return [(end - 1 - len(word), end - 1) for word, end in zip(text, ends)], " ".join(text)
    check_text(text, "text")
    return split_words(text), text


def _entity(text, spans, scores, found) -> Entity:
    first, past, kind = found
    start, end = spans[first][0], spans[past - 1][1]
    return Entity(kind, text[start:end], start, end, float(np.mean(scores[first:past])))


def entity_spans(tags) -> list:
    """Entities as (first word, past the last, kind) in IOB2: every B- opens one, so does an I- of another kind."""
    found, start, kind = [], 0, ""
    for index, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            found.append((start, index, kind))
            kind = ""
        if prefix == "B" or (prefix == "I" and not kind):
            start, kind = index, name
    return found


def find_answer(model, question: str, context: str) -> Answer:
    """The span with the highest sum of start and end logits over all windows (Devlin 2019); score as Answer says."""
    best, best_sum = None, -np.inf
    starts, ends = [], []
    for window in model.texts.windows(question, context):
        output = np.stack(model.run(window), axis=-1)
        inside = np.array([span is not None for span in window.offsets])
        start, end = (np.where(inside, output[:, side], -np.inf) for side in (0, 1))
        starts.append(start[inside])
        ends.append(end[inside])
        for first in np.argsort(-start)[:_BEST_STARTS]:
            last = first + int(end[first : first + _LONGEST_ANSWER].argmax())
            total = float(start[first] + end[last])
            if window.offsets[first] and window.offsets[last] and total > best_sum:
                best, best_sum = (window.offsets[first][0], window.offsets[last][1]), total
    if best is None:
        return Answer("", 0, 0, 0.0, False)
    chance = np.exp(best_sum - _log_sum(np.concatenate(starts)) - _log_sum(np.concatenate(ends)))
    return Answer(context[best[0] : best[1]], best[0], best[1], float(chance), False)


def embed(model, text: str, prompt: str | None = None) -> Vector:
    """prompt: the name of one of the model's prompts, which stands before the text; None: its default one, "": none."""
    check_text(text, "text")
    encoded = model.texts.text(_prompt(model, prompt) + text)
    return Vector(np.asarray(model.run(encoded)[0], dtype=np.float32), encoded.cut)


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


def softmax(logits) -> np.ndarray:
    """In double precision, over the last axis of [n]."""
    shifted = np.exp(logits.astype(np.float64) - logits.max())
    return shifted / shifted.sum()


def _log_sum(logits) -> float:
    logits = logits.astype(np.float64)
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max())


ANSWERS = {
    "text-classification": classify,
    "token-classification": find_entities,
    "question-answering": find_answer,
    "feature-extraction": embed,
}
