"""What the server sends: JSON, plain text, and server-sent events."""

from __future__ import annotations

import json

from .errors import ModuleError

JSON, EVENTS, TEXT = "application/json; charset=utf-8", "text/event-stream; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8"
OK = "200 OK"


class Streamed:
    """An answer in pieces. before: an event's bytes; of_piece and of_end make such of a piece, and of the way that the text ended."""

    def __init__(self, pieces, of_piece, of_end, before: bytes = b"") -> None:
        self.pieces, self.of_piece, self.of_end, self.before = pieces, of_piece, of_end, before


class Events:
    """The body of a stream. waitress always calls close(), which ends the writing and calls `closed`, once."""

    def __init__(self, streamed, environ, closed) -> None:
        self._streamed, self._environ, self._closed = streamed, environ, closed

    def __iter__(self):
        left = self._environ.get("waitress.client_disconnected", lambda: False)
        streamed = self._streamed
        try:
            if streamed.before:
                yield streamed.before
            while True:
                yield streamed.of_piece(next(streamed.pieces))
                if left():
                    return
        except StopIteration as end:
            yield streamed.of_end(end.value)
        except ModuleError as error:
            yield event(problem_of(error.problem, error.fix, self._environ), "error")
        except Exception as error:
            log(self._environ, error)
            yield event(problem_of("the model failed", "see the server's log", self._environ), "error")

    def close(self) -> None:
        closed, self._closed = self._closed, None
        if closed is not None:
            self._streamed.pieces.close()
            closed()


def event(content: dict, kind=None) -> bytes:
    head = "" if kind is None else "event: {}\n".format(kind)
    return "{}data: {}\n\n".format(head, json.dumps(content)).encode()


def headers(kind: str) -> list:
    return [("Content-Type", kind), ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")]


def reply(start_response, status: str, content: dict) -> list:
    return _sent(start_response, status, JSON, json.dumps(content))  # ASCII: a repr of a lone surrogate in a message has no UTF-8


def plain(start_response, text: str) -> list:
    return _sent(start_response, OK, TEXT, text)


def _sent(start_response, status: str, kind: str, text: str) -> list:
    body = text.encode()
    start_response(status, [*headers(kind), ("Content-Length", str(len(body)))])
    return [body]


def refused(environ, start_response, status: str, problem: str, fix: str) -> list:
    return reply(start_response, status, problem_of(problem, fix, environ))


def problem_of(problem: str, fix: str, environ) -> dict:
    """With the fields, too, that clients of OpenAI's API read, where they ask."""
    error = {"problem": problem, "fix": fix}
    if environ["PATH_INFO"].startswith("/v1/"):
        error |= {"message": "{}: {}".format(problem, fix), "type": "invalid_request_error", "param": None, "code": None}
    return {"error": error}


def log(environ, error) -> None:
    environ["wsgi.errors"].write("{}: {}\n".format(type(error).__name__, error))
