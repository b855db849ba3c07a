"""A small HTTP endpoint: POST /answer and GET /health, JSON in and out, metrics, and the places of OpenAI's API that the model fits.

It listens at loopback by default, and it knows no users. waitress serves it: pure Python without dependencies of its own, threads and
not processes (one model in memory), kept by the Pylons project. It buffers requests before a thread sees them, so that slow clients
hold no thread; a time limit ends their connections.
"""

from __future__ import annotations

import re
import threading
import time

from waitress import create_server
from waitress.channel import HTTPChannel

from . import openai
from .bodies import read_json
from .errors import ModuleError
from .metrics import Metrics
from .replies import EVENTS, OK, Events, Streamed, event, headers, log, plain, refused, reply
from .wire import as_json, ask_json

MOST_REQUEST_BYTES = 1 << 16  # some ten times what the longest text needs that a model reads
MOST_TOKENS, MOST_SECONDS = 512, 30.0  # of a text that is written
_AT_ONCE = 4  # answers that are computed at the same time
_WAIT_SECONDS = 5.0  # that a request waits for its turn before it is sent away
_THREADS, _CONNECTIONS = 16, 512
_READ_SECONDS = 10  # for a whole request, and between two requests of a connection
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NAME_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][:@/\s]+)(?::[0-9]{0,5})?\Z", re.ASCII)
_BAD, _FORBIDDEN, _UNREADABLE = "400 Bad Request", "403 Forbidden", "422 Unprocessable Content"


class _Channel(HTTPChannel):
    """A connection whose time runs until a request is complete: single bytes earn no more of it."""

    def handle_read(self):
        since = self.last_activity
        super().handle_read()
        if not self.requests:
            self.last_activity = since


def serve(model, host: str, port: int, allowed_hosts=()) -> None:
    """Answers until the process is told to end. allowed_hosts: names beside loopback's and `host` by which clients may ask."""
    server = create_server(
        application(model, (*_LOOPBACK, host.strip("[]"), *allowed_hosts)),
        host=host,
        port=port,
        threads=_THREADS,
        connection_limit=_CONNECTIONS,
        channel_timeout=_READ_SECONDS,
        cleanup_interval=1,
        channel_request_lookahead=1,  # so that an answer that nobody waits for any more is noticed
        asyncore_use_poll=True,
        max_request_header_size=1 << 14,
        max_request_body_size=16 * MOST_REQUEST_BYTES,  # beyond it waitress itself closes; below, the answer is ours and JSON
        ident=None,
        clear_untrusted_proxy_headers=True,
    )
    for listener in [server, *getattr(server, "map", {}).values()]:  # a name of several addresses has a server for each
        if hasattr(listener, "channel_class"):
            listener.channel_class = _Channel
    if hasattr(server, "effective_host"):
        print("listening at http://{}:{}/".format(server.effective_host, server.effective_port), flush=True)
    else:
        server.print_listen("listening at http://{}:{}/")
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()


def application(model, allowed_hosts=_LOOPBACK):
    """The WSGI application. allowed_hosts: names that a request may ask for, so that no page of the web reaches it by its own name."""
    server = _Server(model, frozenset(name.lower().rstrip(".") for name in allowed_hosts))
    return server.answer


class _Server:
    """The model and what its requests share: turns and counters."""

    def __init__(self, model, allowed) -> None:
        self.model, self.allowed = model, allowed
        self.turns = threading.BoundedSemaphore(_AT_ONCE)
        self.places = {"/answer": "POST", "/health": "GET", "/metrics": "GET", openai.MODELS: "GET"}
        if model.task in openai.PLACES:
            self.places[openai.PLACES[model.task]] = "POST"
        self.metrics = Metrics(self.places)

    def answer(self, environ, start_response):
        began, statuses = time.monotonic(), []

        def start(status, fields):
            statuses.append(status[:3])
            return start_response(status, fields)

        def ended():
            self.metrics.end(environ["PATH_INFO"], statuses[-1], time.monotonic() - began)

        self.metrics.begin()
        try:
            body = self._routed(environ, start, ended)
        except Exception as error:  # a request must never end the server, nor show its inside
            log(environ, error)
            body = refused(environ, start, "500 Internal Server Error", "the model failed", "see the server's log")
        if not isinstance(body, Events):
            ended()
        return body

    def _routed(self, environ, start_response, ended):
        wrong = self._wrong_place(environ)
        if wrong is not None:
            return refused(environ, start_response, *wrong)
        body = self._fixed(environ["PATH_INFO"], start_response)
        if body is not None:
            return body
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > MOST_REQUEST_BYTES:
            problem = "the request has {} bytes, the most are {}".format(length, MOST_REQUEST_BYTES)
            return refused(environ, start_response, "413 Content Too Large", problem, "send less")
        try:
            request = read_json(environ["wsgi.input"].read(length))
        except ValueError as error:
            problem = "the request is not JSON: {}".format(error)[:200]
            return refused(environ, start_response, _BAD, problem, 'send {"text": "..."} as UTF-8')
        return self._in_turn(request, environ, start_response, ended)

    def _fixed(self, path: str, start_response):
        """The body of a place that asks the model nothing; None for another."""
        if path == "/health":
            return reply(start_response, OK, {"ok": True, "task": self.model.task, "pack_id": self.model.manifest["pack_id"]})
        if path == "/metrics":
            return plain(start_response, self.metrics.text(self.model))
        return reply(start_response, OK, openai.models(self.model)) if path == openai.MODELS else None

    def _wrong_place(self, environ):
        """Status, problem and fix where the request is for another host, place or method; else None."""
        path = environ["PATH_INFO"]
        stranger = _stranger(environ, self.allowed)
        if stranger is not None:
            return _FORBIDDEN, "no requests are taken for {}".format(stranger[:100]), "serve with --allow-host NAME"
        takes = self.places.get(path)
        if takes is None:
            listed = ", ".join("{} {}".format(method, place) for place, method in self.places.items())
            return "404 Not Found", "no such place: {}".format(path[:100]), "ask one of these: " + listed
        if environ["REQUEST_METHOD"] != takes:
            return "405 Method Not Allowed", "{} takes {}".format(path, takes), "use {}".format(takes)
        return None

    def _in_turn(self, request, environ, start_response, ended):
        if not self.turns.acquire(timeout=_WAIT_SECONDS):
            return refused(environ, start_response, "503 Service Unavailable", "busy", "ask again in a second")
        body = None
        try:
            content = self._content(environ["PATH_INFO"], request)
            if isinstance(content, Streamed):
                start_response(OK, headers(EVENTS))
                body = Events(content, environ, lambda: (self.turns.release(), ended()))
            else:
                body = reply(start_response, OK, content)
            return body
        except ModuleError as error:
            return refused(environ, start_response, _UNREADABLE, error.problem, error.fix)
        finally:
            if not isinstance(body, Events):  # a stream gives its turn back when it is closed
                self.turns.release()

    def _content(self, path: str, request):
        """What is wrong with a request raises before anything is sent, ModuleError where it is the client's mistake."""
        ask = {"/v1/chat/completions": openai.chat, "/v1/embeddings": openai.embeddings}.get(path, _asked)
        return ask(self.model, request, (MOST_TOKENS, MOST_SECONDS), self.metrics.count_tokens)


def _asked(model, request, limits, count_tokens):
    """Of POST /answer: `data: {"text": ...}` for each piece of a stream, then `event: end`."""
    if model.task != "text-generation" or not isinstance(request, dict):
        return as_json(ask_json(model, request))
    most_tokens, most_seconds = limits
    wished = request.get("max_tokens", (model.manifest.get("answers") or {}).get("max_new_tokens") or most_tokens)
    limited = {**request, "max_tokens": min(wished, most_tokens) if isinstance(wished, int) else wished}
    if limited.pop("stream", False) is not True:
        written = ask_json(model, limited, seconds=most_seconds)
        count_tokens(written.prompt_tokens, len(written.tokens))
        return as_json(written)
    pieces = ask_json(model, limited, call=model.stream, seconds=most_seconds)

    def end(ended_by: str) -> bytes:
        count_tokens(pieces.prompt_tokens, len(pieces.tokens))
        return event({"ended_by": ended_by}, "end")

    return Streamed(pieces, lambda piece: event(as_json(piece)), end)


def _stranger(environ, allowed):
    """The name for which a request asks, or from whose page it comes, where the server does not go by it; else None."""
    origin = environ.get("HTTP_ORIGIN")
    for value in (environ.get("HTTP_HOST", ""), *([] if origin is None else [origin.partition("://")[2] or origin])):
        match = _NAME_AND_PORT.match(value)
        if match is None or match[1].strip("[]").lower().rstrip(".") not in allowed:
            return repr(value)
    return None
