"""Answers as JSON and requests as calls: what the command line and the server share."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass

from .errors import BadInput

_TEXTS = {  # how many texts a task takes, by name and in order; the second of a pair may be left out
    "text-classification": ("text", "pair"),
    "token-classification": ("text",),
    "question-answering": ("question", "context"),
    "feature-extraction": ("text",),
    "text-generation": ("prompt",),
}
_OPTIONAL = ("pair",)
_INSTEAD = {"prompt": "messages"}  # what may stand in a text's place
_LARGEST = 1 << 53  # what every reader of JSON keeps exactly
SETTINGS = ("max_tokens", "temperature", "top_k", "top_p", "seed", "window", "lookup_tokens")
_NAMES = {"feature-extraction": ("prompt",), "text-generation": ("window",)}  # settings that are texts, by task


def as_json(result) -> dict:
    """A result of results.py, or a SelfTest, as plain lists and numbers."""
    plain = asdict(result) if is_dataclass(result) else dict(result)
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in plain.items()}


def ask(model, texts, **settings):
    """Calls the model with texts in order. BadInput where there are too few or too many."""
    names = _TEXTS[model.task]
    least = len([name for name in names if name not in _OPTIONAL])
    if not least <= len(texts) <= len(names):
        problem = "a model for {} takes {}, not {} texts".format(model.task, " and ".join(names), len(texts))
        raise BadInput(problem, "put a text of several words in quotes")
    return model(*texts, **settings)


def ask_json(model, request, call=None, **settings):
    """Calls the model with a JSON object: its texts by name, and for a model that writes its settings. BadInput names a wrong key.

    call: what to call in place of the model, such as model.stream.
    """
    if not isinstance(request, dict):
        raise BadInput("the request is not a JSON object", 'send {{"{}": "..."}}'.format(_TEXTS[model.task][0]))
    names = _TEXTS[model.task]
    instead = tuple(_INSTEAD[name] for name in names if name in _INSTEAD)
    known = (*names, *(SETTINGS if model.task == "text-generation" else _NAMES.get(model.task, ())), *instead)
    wrong = next((key for key in request if key not in known), None)
    missing = next((name for name in names if name not in request and name not in _OPTIONAL and _INSTEAD.get(name) not in request), None)
    if wrong is not None or missing is not None:
        problem = "unknown key {!r}".format(wrong) if wrong is not None else "missing key {!r}".format(missing)
        raise BadInput(problem, "a model for {} takes {}".format(model.task, ", ".join(known)))
    named = _NAMES.get(model.task, ())
    given = {key: request[key] for key in instead if key in request}
    settings_asked = [key for key in known[len(names) :] if key in request and key not in instead]
    given |= {key: (_name if key in named else _number)(key, request[key]) for key in settings_asked}
    return (call or model)(*(request[name] for name in names if name in request), **settings, **given)


def _name(key, value):
    if not isinstance(value, str):
        raise BadInput("{} is not a text: {!r}".format(key, value), "give a name, or leave it out")
    return value


def _number(key, value):
    if isinstance(value, (int, float)) and not abs(value) < _LARGEST:
        raise BadInput("{} is too large".format(key), "see the README")
    if isinstance(value, bool) or not isinstance(value, (int, float) if key in ("temperature", "top_p") else int):
        raise BadInput("{} is not a number of its kind: {!r}".format(key, value), "see the README")
    return value
