"""The Linux module's server against real sockets: slow clients, other hosts' pages, bad bodies, and text that comes piece by piece."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgepack.ship.shipping import ship


@pytest.fixture(scope="module")
def encoder(pack_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("ship") / "encoder"
    ship(pack_folder, "linux", out, name="intents")
    return out


@pytest.fixture(scope="module")
def decoder(stories_pack, tmp_path_factory):
    out = tmp_path_factory.mktemp("ship") / "decoder"
    ship(stories_pack, "linux", out, name="intents")
    return out


@contextmanager
def served(folder: Path, *more: str):
    """(host, port) of the module's own server in a process of its own."""
    command = [sys.executable, "-u", "-m", "intents", "--serve", "--port", "0", *more]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    guard = threading.Timer(120, process.kill)
    guard.start()
    try:
        place = urllib.parse.urlsplit(process.stdout.readline().split()[-1])
        yield place.hostname, place.port
    finally:
        guard.cancel()
        process.terminate()
        process.wait(10)


def asked(place, content, headers=(), path="/answer"):
    connection = http.client.HTTPConnection(*place, timeout=30)
    connection.request("GET" if content is None else "POST", path, content, dict(headers))
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_120_slow_clients_starve_nobody_and_are_sent_away(encoder):
    with served(encoder) as place:
        slow = [socket.create_connection(place) for _ in range(120)]
        for client in slow:
            client.sendall(b"POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n")
        began, waits = time.monotonic(), []
        while time.monotonic() - began < 16:
            for client in slow:
                try:
                    client.sendall(b"x")  # one byte after the other: a connection that is never idle
                except OSError:
                    client.close()
            slow = [client for client in slow if client.fileno() >= 0]
            asked_at = time.monotonic()
            assert asked(place, b'{"text": "turn on the light"}')[0] == 200
            waits.append(time.monotonic() - asked_at)
            time.sleep(0.5)
        assert max(waits) < 3 and len(waits) > 5
        assert slow == []  # no request of theirs was whole in time


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8090"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost", "Origin": "null"}, 403),
        ({"Host": "localhost:8090"}, 200),
        ({"Host": "[::1]:8090"}, 200),
        ({"Host": "LOCALHOST."}, 200),
        ({"Host": "box.lan", "Origin": "https://box.lan"}, 200),
    ],
)
def test_only_the_names_that_the_server_goes_by_are_answered(encoder_place, headers, status):
    code, body = asked(encoder_place, b'{"text": "turn on the light"}', headers)
    assert code == status and json.loads(body)
    assert asked(encoder_place, None, headers, "/health")[0] == status


@pytest.fixture(scope="module")
def encoder_place(encoder):
    with served(encoder, "--allow-host", "box.lan") as place:
        yield place


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"[" * 30_000, 400, "nested deeper than 8"),
        (b'{"a":' * 10_000, 400, "nested deeper than 8"),
        (b'{"text": "' + b"[" * 5000 + b'"}', 200, ""),
        (b'{"text": "\\"[[[[[[[[[[[[[["}', 200, ""),
        (b'{"text": NaN}', 400, "NaN is not a number"),
        (b'{"text": 1' + b"0" * 5000 + b"}", 400, "is not JSON"),
        (b'{"text": "a", "text": "b"}', 400, "twice"),
        (b"\xff\xfe{}", 400, "is not JSON"),
        (b"", 400, "is not JSON"),
        (b'{"text": "a"} x', 400, "is not JSON"),
        (b"null", 422, "not a JSON object"),
        (b'"text"', 422, "not a JSON object"),
        (b'{"text": {"a": [1]}}', 422, "must be str"),
        (b'{"text": ["a", ["b"]]}', 422, "must be str"),
        (b'{"text": "a", "stream": true}', 422, "unknown key 'stream'"),
    ],
)
def test_a_bad_body_is_the_clients_mistake(encoder_place, content, status, says):
    code, body = asked(encoder_place, content)
    assert code == status, body
    assert says in json.loads(body).get("error", {}).get("problem", "")


def test_text_comes_piece_by_piece_as_events(decoder):
    wish = {"prompt": "Once upon a time", "max_tokens": 60}
    with served(decoder) as place:
        whole = json.loads(asked(place, json.dumps(wish).encode())[1])
        connection = http.client.HTTPConnection(*place, timeout=30)
        connection.request("POST", "/answer", json.dumps(wish | {"stream": True}))
        answer = connection.getresponse()
        assert answer.status == 200 and answer.getheader("Content-Type").startswith("text/event-stream")
        parts, text = [], b""
        while part := answer.read1(65536):
            parts.append(part)
            text += part
        events = [dict(line.split(": ", 1) for line in event.split("\n")) for event in text.decode().strip().split("\n\n")]
        assert "".join(json.loads(event["data"])["text"] for event in events[:-1]) == whole["text"]
        assert events[-1]["event"] == "end" and json.loads(events[-1]["data"]) == {"ended_by": whole["ended_by"]}
        assert len(parts) > 3  # they did not come at once
        for more, says in (
            ({"prompt": ""}, "the prompt is empty"),
            ({"temperature": 1e300}, "too large"),
            ({"seed": 10**40}, "too large"),
            ({"top_p": -1.0}, "out of range"),
        ):
            code, body = asked(place, json.dumps(wish | {"stream": True} | more).encode())
            assert (code, says in json.loads(body)["error"]["problem"]) == (422, True), body
        for _ in range(8):  # clients that leave in the middle give their turn back
            with socket.create_connection(place) as client:
                body = json.dumps(wish | {"stream": True, "max_tokens": 400}).encode()
                client.sendall(b"POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                client.recv(100)
        assert asked(place, json.dumps(wish).encode())[0] == 200
