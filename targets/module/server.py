"""A small HTTP endpoint: POST /answer and GET /health, JSON in and out. It listens at loopback by default, and it knows no users.

waitress serves it: pure Python without dependencies of its own, threads and not processes (one model in memory), kept by the Pylons
project. It buffers requests before a thread sees them, so that slow clients hold no thread; a time limit ends their connections.
"""

from __future__ import annotations

import json
import threading

from waitress import create_server
from waitress.channel import HTTPChannel

from .errors import ModuleError
from .wire import as_json, ask_json

MOST_REQUEST_BYTES = 1 << 16  # some ten times what the longest text needs that a model reads
MOST_DEPTH = 8  # of lists and objects in a request
MOST_TOKENS, MOST_SECONDS = 512, 30.0  # of a text that is written
_AT_ONCE = 4  # answers that are computed at the same time
_WAIT_SECONDS = 5.0  # that a request waits for its turn before it is sent away
_THREADS, _CONNECTIONS = 16, 512
_READ_SECONDS = 10  # for a whole request, and between two requests of a connection
_JSON, _EVENTS = "application/json; charset=utf-8", "text/event-stream; charset=utf-8"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
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
    allowed = frozenset(name.lower().rstrip(".") for name in allowed_hosts)
    turns = threading.BoundedSemaphore(_AT_ONCE)

    def answer(environ, start_response):
        try:
            return _routed(model, environ, start_response, allowed, turns)
        except Exception as error:  # a request must never end the server, nor show its inside
            return _failed(environ, start_response, error)

    return answer


def _routed(model, environ, start_response, allowed, turns):
    wrong = _wrong_place(environ, allowed)
    if wrong is not None:
        return _refused(start_response, *wrong)
    if environ["PATH_INFO"] == "/health":
        return _reply(start_response, "200 OK", {"ok": True, "task": model.task, "pack_id": model.manifest["pack_id"]})
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > MOST_REQUEST_BYTES:
        problem = "the request has {} bytes, the most are {}".format(length, MOST_REQUEST_BYTES)
        return _refused(start_response, "413 Content Too Large", problem, "send less")
    try:
        request = read_json(environ["wsgi.input"].read(length))
    except ValueError as error:
        return _refused(start_response, _BAD, "the request is not JSON: {}".format(error)[:200], 'send {"text": "..."} as UTF-8')
    return _in_turn(model, request, environ, start_response, turns)


def _wrong_place(environ, allowed):
    """Status, problem and fix where the request is for another host, place or method; else None."""
    path = environ["PATH_INFO"]
    stranger = _stranger(environ, allowed)
    if stranger is not None:
        return _FORBIDDEN, "no requests are taken for {}".format(stranger[:100]), "serve with --allow-host NAME"
    takes = {"/answer": "POST", "/health": "GET"}.get(path)
    if takes is None:
        return "404 Not Found", "no such place: {}".format(path[:100]), "POST /answer or GET /health"
    if environ["REQUEST_METHOD"] != takes:
        return "405 Method Not Allowed", "{} takes {}".format(path, takes), "use {}".format(takes)
    return None


def _in_turn(model, request, environ, start_response, turns):
    if not turns.acquire(timeout=_WAIT_SECONDS):
        return _refused(start_response, "503 Service Unavailable", "busy", "ask again in a second")
    body = None
    try:
        body = _answered(model, request, environ, start_response, turns)
        return body
    except ModuleError as error:
        return _refused(start_response, _UNREADABLE, error.problem, error.fix)
    finally:
        if not isinstance(body, _Events):  # a stream gives its turn back when it is closed
            turns.release()


def _answered(model, request, environ, start_response, turns):
    """What is wrong with a request raises before anything is sent, ModuleError where it is the client's mistake."""
    if model.task != "text-generation" or not isinstance(request, dict):
        return _reply(start_response, "200 OK", as_json(ask_json(model, request)))
    wished = request.get("max_tokens", (model.manifest.get("answers") or {}).get("max_new_tokens") or MOST_TOKENS)
    limited = {**request, "max_tokens": min(wished, MOST_TOKENS) if isinstance(wished, int) else wished}
    if limited.pop("stream", False) is not True:
        return _reply(start_response, "200 OK", as_json(ask_json(model, limited, seconds=MOST_SECONDS)))
    pieces = ask_json(model, limited, call=model.stream, seconds=MOST_SECONDS)
    start_response("200 OK", _headers(_EVENTS))
    return _Events(pieces, environ, turns)


class _Events:
    """Server-sent events: `data: {"text": ...}` for each piece, then `event: end`. waitress always calls close(): it ends the turn."""

    def __init__(self, pieces, environ, turns) -> None:
        self._pieces, self._environ, self._turns = pieces, environ, turns

    def __iter__(self):
        left = self._environ.get("waitress.client_disconnected", lambda: False)
        try:
            while True:
                yield _event(as_json(next(self._pieces)))
                if left():
                    return
        except StopIteration as end:
            yield _event({"ended_by": end.value}, "end")
        except ModuleError as error:
            yield _event(_error(error.problem, error.fix), "error")
        except Exception as error:
            _log(self._environ, error)
            yield _event(_error("the model failed", "see the server's log"), "error")

    def close(self) -> None:
        self._pieces.close()
        self._turns.release()


def _event(content: dict, kind=None) -> bytes:
    head = "" if kind is None else "event: {}\n".format(kind)
    return "{}data: {}\n\n".format(head, json.dumps(content)).encode()


def _stranger(environ, allowed):
    """The name for which a request asks, or from whose page it comes, where the server does not go by it; else None."""
    origin = environ.get("HTTP_ORIGIN")
    for value in (environ.get("HTTP_HOST", ""), *([] if origin is None else [origin.partition("://")[2] or origin])):
        name = value[1:].partition("]")[0] if value.startswith("[") else value.partition(":")[0]
        if name.lower().rstrip(".") not in allowed:
            return repr(value)
    return None


def read_json(content: bytes):
    """ValueError: no UTF-8, no JSON, nested deeper than MOST_DEPTH, a key twice, or NaN and the like, which JSON does not have."""
    text = content.decode("utf-8")
    depth = in_text = escaped = 0
    for character in text:  # before the parser, whose own limit is the interpreter's stack
        if in_text:
            in_text, escaped = escaped or character != '"', character == "\\" and not escaped
        elif character == '"':
            in_text = True
        elif character in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise ValueError("nested deeper than {}".format(MOST_DEPTH))
        elif character in "]}":
            depth -= 1
    return json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)


def _once_each(pairs) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands there twice")
    return content


def _no_constant(name):
    raise ValueError("{} is not a number of JSON".format(name))


def _error(problem: str, fix: str) -> dict:
    return {"error": {"problem": problem, "fix": fix}}


def _failed(environ, start_response, error) -> list:
    _log(environ, error)
    return _refused(start_response, "500 Internal Server Error", "the model failed", "see the server's log")


def _log(environ, error) -> None:
    environ["wsgi.errors"].write("{}: {}\n".format(type(error).__name__, error))


def _refused(start_response, status: str, problem: str, fix: str) -> list:
    return _reply(start_response, status, _error(problem, fix))


def _headers(kind: str) -> list:
    return [("Content-Type", kind), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")]


def _reply(start_response, status: str, content: dict) -> list:
    body = json.dumps(content).encode()  # ASCII: a repr of a lone surrogate in a message has no UTF-8
    start_response(status, [*_headers(_JSON), ("Content-Length", str(len(body)))])
    return [body]
