"""The places of OpenAI's API that many programs know: /v1/models, /v1/chat/completions and /v1/embeddings, over the one model here.

A key that this model has nothing for is refused by name, not left out: a program must not believe that it was heard.
"""

from __future__ import annotations

import base64
import time
import uuid

from .errors import BadInput
from .replies import Streamed, event
from .wire import ask_json

PLACES = {"text-generation": "/v1/chat/completions", "feature-extraction": "/v1/embeddings"}  # by task
MODELS = "/v1/models"
MOST_INPUTS = 64  # texts of one request for vectors
_SETTINGS = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "seed": "seed"}
_LENGTHS = ("max_completion_tokens", "max_tokens")
_NEUTRAL = {"n": (1,), "presence_penalty": (0,), "frequency_penalty": (0,), "logprobs": (False,), "stop": (), "logit_bias": ({},)}
_UNUSED = ("user", "metadata", "store")  # what says nothing about the answer
_REASONS = {"stop": "stop", "listener": "stop"}  # all others are a text that was cut: length


def models(model) -> dict:
    return {"object": "list", "data": [{"id": name_of(model), "object": "model", "created": 0, "owned_by": "edgepack"}]}


def name_of(model) -> str:
    return model.manifest.get("name", "model")


def chat(model, request, limits, count_tokens):
    """A completion as a dict, or Streamed. limits: most tokens and most seconds. count_tokens(read, written) is called at the end."""
    _check_keys(model, request, ("messages", "stream", "stream_options", *_SETTINGS, *_LENGTHS))
    asked, most_seconds = _chat_request(request, limits[0]), limits[1]
    frame = {"id": "chatcmpl-" + uuid.uuid4().hex, "created": int(time.time()), "model": name_of(model)}
    if request.get("stream", False) is not True:
        written = ask_json(model, asked, seconds=most_seconds)
        count_tokens(written.prompt_tokens, len(written.tokens))
        message = {"role": "assistant", "content": written.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _REASONS.get(written.ended_by, "length")}
        usage = _usage(written.prompt_tokens, len(written.tokens))
        return {"object": "chat.completion", **frame, "choices": [choice], "usage": usage}
    return _streamed(ask_json(model, asked, call=model.stream, seconds=most_seconds), frame, _wants_usage(request), count_tokens)


def _chat_request(request: dict, most_tokens: int) -> dict:
    """The same as /answer takes it."""
    lengths = [request[key] for key in _LENGTHS if request.get(key) is not None]
    if len(lengths) > 1:
        raise BadInput("both max_tokens and max_completion_tokens are given", "give one of them")
    wished = lengths[0] if lengths else most_tokens
    asked = {"max_tokens": min(wished, most_tokens) if isinstance(wished, int) else wished, "messages": _messages(request.get("messages"))}
    return asked | {name: request[key] for key, name in _SETTINGS.items() if request.get(key) is not None}


def _messages(messages):
    if not isinstance(messages, list):
        raise BadInput("messages is no list", 'send {"messages": [{"role": "user", "content": "..."}]}')
    return [_plain_message(message) if isinstance(message, dict) else message for message in messages]


def _plain_message(message: dict) -> dict:
    """With its parts of text joined, where content is a list of them. Parts of another kind are left as they are, and refused."""
    parts = message.get("content")
    if not isinstance(parts, list) or not all(isinstance(part, dict) and set(part) == {"type", "text"} for part in parts):
        return message
    if not all(part["type"] == "text" and isinstance(part["text"], str) for part in parts):
        raise BadInput("a message has a part that is no text", "this model reads text alone")
    return {**message, "content": "".join(part["text"] for part in parts)}


def _wants_usage(request: dict) -> bool:
    options = request.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict) or not set(options) <= {"include_usage"} or not isinstance(options.get("include_usage", False), bool):
        raise BadInput("stream_options has what this server does not know", 'send {"include_usage": true}, or leave it out')
    return options.get("include_usage", False)


def _streamed(pieces, frame: dict, wants_usage: bool, count_tokens) -> Streamed:
    def chunk(delta: dict, reason=None, **more) -> bytes:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        return event({"object": "chat.completion.chunk", **frame, "choices": choices, **more})

    def end(ended_by: str) -> bytes:
        count_tokens(pieces.prompt_tokens, len(pieces.tokens))
        usage = b""
        if wants_usage:
            counts = _usage(pieces.prompt_tokens, len(pieces.tokens))
            usage = event({"object": "chat.completion.chunk", **frame, "choices": [], "usage": counts})
        return chunk({}, _REASONS.get(ended_by, "length")) + usage + b"data: [DONE]\n\n"

    return Streamed(pieces, lambda piece: chunk({"content": piece.text}), end, chunk({"role": "assistant", "content": ""}))


def embeddings(model, request, _limits, count_tokens) -> dict:
    """Vectors of one text or of several. `cut` beside a vector: the text was longer than the model takes."""
    _check_keys(model, request, ("input", "encoding_format", "dimensions", "prompt"))
    texts = request.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadInput("input is neither a text nor a list of texts", 'send {"input": "..."}: token ids are not taken')
    if len(texts) > MOST_INPUTS:
        raise BadInput("input has {} texts, the most are {}".format(len(texts), MOST_INPUTS), "send them in several requests")
    kind = request.get("encoding_format", "float")
    if kind not in ("float", "base64"):
        raise BadInput("unknown encoding_format: {!r}".format(kind), "give float or base64")
    named = {key: request[key] for key in ("prompt",) if request.get(key) is not None}
    vectors = [ask_json(model, {"text": text, **named}) for text in texts]
    _check_dimensions(request.get("dimensions"), len(vectors[0].values))
    read = sum(len(model.texts.text(text, may_be_empty=True).ids) for text in texts)
    count_tokens(read, 0)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector.values, kind), "cut": vector.cut}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": read, "total_tokens": read}
    return {"object": "list", "data": data, "model": name_of(model), "usage": usage}


def _check_dimensions(wished, width: int) -> None:
    if wished is not None and wished != width:
        raise BadInput("the model gives {} numbers, not {!r}".format(width, wished), "leave dimensions out, or build with --dimensions")


def _encoded(values, kind: str):
    return base64.b64encode(values.astype("<f4").tobytes()).decode() if kind == "base64" else values.tolist()


def _usage(read: int, written: int) -> dict:
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _check_keys(model, request, known) -> None:
    if not isinstance(request, dict):
        raise BadInput("the request is no JSON object", "send an object")
    if request.get("model", name_of(model)) != name_of(model):
        raise BadInput(
            "there is no model {!r} here".format(request["model"]), "ask for {!r}: GET {} names it".format(name_of(model), MODELS)
        )
    for key, value in request.items():
        if key in ("model", *known, *_UNUSED):
            continue
        if key not in _NEUTRAL or not (value is None or value in _NEUTRAL[key]):
            raise BadInput("this server has nothing for {!r}".format(key), "leave it out; known: " + ", ".join(("model", *known)))
