"""A small HTTP endpoint: POST /answer and GET /health, JSON in and out. Loopback unless told otherwise; it knows no users.

waitress serves it: pure Python without dependencies of its own, threads and not processes (one model in memory), kept by the Pylons
project. It buffers requests before a thread sees them, so slow clients hold no thread.
"""

from __future__ import annotations

import json
import threading

from waitress import create_server

from .errors import ModuleError
from .wire import as_json, ask_json

MOST_REQUEST_BYTES = 1 << 16  # some ten times what the longest text needs that a model reads
MOST_TOKENS, MOST_SECONDS = 512, 30.0  # of a text that is written
_MOST_WAITING = 16  # requests that are answered or wait for it; more are sent away, so that memory and waits stay bounded
_THREADS, _CONNECTIONS, _IDLE_SECONDS = 4, 64, 30
_JSON = ("Content-Type", "application/json; charset=utf-8")


def serve(model, host: str, port: int) -> None:
    """Answers until the process is told to end."""
    server = create_server(
        application(model),
        host=host,
        port=port,
        threads=_THREADS,
        connection_limit=_CONNECTIONS,
        channel_timeout=_IDLE_SECONDS,
        max_request_header_size=1 << 14,
        max_request_body_size=16 * MOST_REQUEST_BYTES,  # beyond it waitress itself closes; below, the answer is ours and JSON
        ident=None,
        clear_untrusted_proxy_headers=True,
    )
    print("listening at http://{}:{}/".format(server.effective_host, server.effective_port), flush=True)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()


def application(model):
    """The WSGI application."""
    places = threading.BoundedSemaphore(_MOST_WAITING)

    def answer(environ, start_response):
        if not places.acquire(blocking=False):
            return _reply(start_response, "503 Service Unavailable", _error("busy", "ask again in a second"))
        try:
            return _reply(start_response, *_routed(model, environ))
        except Exception as error:  # a request must never end the server, nor show its inside
            environ["wsgi.errors"].write("{}: {}\n".format(type(error).__name__, error))
            return _reply(start_response, "500 Internal Server Error", _error("the model failed", "see the server's log"))
        finally:
            places.release()

    return answer


def _routed(model, environ) -> tuple:
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    allowed = {"/answer": "POST", "/health": "GET"}.get(path)
    if allowed is None:
        return "404 Not Found", _error("no such place: {}".format(path[:100]), "POST /answer or GET /health")
    if method != allowed:
        return "405 Method Not Allowed", _error("{} takes {}".format(path, allowed), "use {}".format(allowed))
    if path == "/health":
        return "200 OK", {"ok": True, "task": model.task, "pack_id": model.manifest["pack_id"]}
    return _answered(model, environ)


def _answered(model, environ) -> tuple:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > MOST_REQUEST_BYTES:
        return "413 Content Too Large", _error("the request has {} bytes, the most are {}".format(length, MOST_REQUEST_BYTES), "send less")
    try:
        request = json.loads(environ["wsgi.input"].read(length))
    except ValueError:
        return "400 Bad Request", _error("the request is no JSON", 'send {"text": "..."} as UTF-8')
    try:
        if model.task == "text-generation" and isinstance(request, dict):
            wished = request.get("max_tokens", MOST_TOKENS)
            limited = request | {"max_tokens": min(wished, MOST_TOKENS) if isinstance(wished, int) else wished}
            return "200 OK", as_json(ask_json(model, limited, seconds=MOST_SECONDS))
        return "200 OK", as_json(ask_json(model, request))
    except ModuleError as error:
        return "422 Unprocessable Content", _error(error.problem, error.fix)


def _error(problem: str, fix: str) -> dict:
    return {"error": {"problem": problem, "fix": fix}}


def _reply(start_response, status: str, content: dict) -> list:
    body = json.dumps(content, ensure_ascii=False).encode()
    start_response(
        status, [_JSON, ("Content-Length", str(len(body))), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")]
    )
    return [body]
