"""The Linux module's server against real sockets: slow clients, other hosts' pages, bad bodies, and text that comes piece by piece."""

import base64
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edgepack.pack.manifest import read_manifest, seal
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


@pytest.mark.slow
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
        ({"Host": "127.0.0.1:80@evil.example"}, 403),
        ({"Host": "[127.0.0.1]evil.example"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:80 evil.example"}, 403),
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
        assert json.loads(asked(place, json.dumps(wish | {"lookup_tokens": 4}).encode())[1]) == whole
        for more, says in (
            ({"prompt": 5}, "must be str"),
            ({"temperature": 1e300}, "too large"),
            ({"seed": 10**40}, "too large"),
            ({"top_p": -1.0}, "out of range"),
            ({"lookup_tokens": 33}, "out of range"),
            ({"lookup_tokens": "4"}, "not a number"),
        ):
            code, body = asked(place, json.dumps(wish | {"stream": True} | more).encode())
            assert (code, says in json.loads(body)["error"]["problem"]) == (422, True), body
        for _ in range(8):  # clients that leave in the middle give their turn back
            with socket.create_connection(place) as client:
                body = json.dumps(wish | {"stream": True, "max_tokens": 400}).encode()
                client.sendall(b"POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                client.recv(100)
        assert asked(place, json.dumps(wish).encode())[0] == 200


def chat_pack(stories_pack, folder: Path) -> Path:
    """The stories' model with a chat template, as a model's folder states one."""
    pack = shutil.copytree(stories_pack, folder)
    manifest = read_manifest(pack)
    template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    seal(pack, manifest.model_copy(update={"answers": manifest.answers | {"chat_template": template, "chat_tokens": {}}}))
    return pack


@pytest.fixture(scope="module")
def chatting_place(stories_pack, tmp_path_factory):
    place = tmp_path_factory.mktemp("chat")
    ship(chat_pack(stories_pack, place / "pack"), "linux", place / "out", name="intents", version="1.2.3")
    with served(place / "out") as address:
        yield address


CHAT = {"model": "intents", "messages": [{"role": "user", "content": "Once upon a time"}], "max_tokens": 30, "temperature": 0}


def events_of(body: bytes) -> list[str]:
    return [part.removeprefix("data: ") for part in body.decode().strip().split("\n\n")]


def test_a_chat_completion_is_what_openais_clients_read(chatting_place):
    code, body = asked(chatting_place, json.dumps({"prompt": "Once upon a time ", "max_tokens": 30}).encode())
    written = json.loads(body)
    code, body = asked(chatting_place, json.dumps(CHAT).encode(), path="/v1/chat/completions")
    answer = json.loads(body)
    assert code == 200 and answer["object"] == "chat.completion" and answer["model"] == "intents"
    (choice,) = answer["choices"]
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"] == written["text"]
    assert choice["finish_reason"] == "length" and answer["usage"]["completion_tokens"] == 30
    parts = CHAT | {"messages": [{"role": "user", "content": [{"type": "text", "text": "Once upon "}, {"type": "text", "text": "a time"}]}]}
    again = json.loads(asked(chatting_place, json.dumps(parts).encode(), path="/v1/chat/completions")[1])
    assert again["choices"] == answer["choices"]
    streamed = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    code, body = asked(chatting_place, json.dumps(streamed).encode(), path="/v1/chat/completions")
    *chunks, done = events_of(body)
    chunks = [json.loads(chunk) for chunk in chunks]
    assert done == "[DONE]" and chunks[-1]["usage"] == answer["usage"] and chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks[:-2]) == written["text"]
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    assert json.loads(asked(chatting_place, None, path="/v1/models")[1])["data"][0]["id"] == "intents"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"model": "gpt-4"}, "there is no model 'gpt-4' here"),
        ({"tools": []}, "nothing for 'tools'"),
        ({"n": 2}, "nothing for 'n'"),
        ({"stop": ["."]}, "nothing for 'stop'"),
        ({"messages": "hello"}, "messages is no list"),
        ({"messages": []}, "the messages are no list"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "text": "x"}]}]}, "a part that is no text"),
        ({"max_tokens": 0}, "out of range"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "both max_tokens"),
        ({"temperature": True}, "not a number of its kind"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options"),
    ],
)
def test_what_the_chat_has_nothing_for_is_refused_in_openais_shape(chatting_place, more, says):
    code, body = asked(chatting_place, json.dumps(CHAT | more).encode(), path="/v1/chat/completions")
    error = json.loads(body)["error"]
    assert code == 422 and says in error["message"] and error["type"] == "invalid_request_error"


def test_neutral_values_that_clients_send_by_themselves_are_taken(chatting_place):
    more = {"n": 1, "presence_penalty": 0, "frequency_penalty": 0, "stop": None, "user": "somebody", "stream": False}
    assert asked(chatting_place, json.dumps(CHAT | more).encode(), path="/v1/chat/completions")[0] == 200


@pytest.fixture(scope="module")
def vectors_place(pack_folder, tmp_path_factory):
    """The tiny classifier's outputs as vectors: the places and their shapes are what counts here."""
    place = tmp_path_factory.mktemp("vectors")
    pack = shutil.copytree(pack_folder, place / "pack")
    manifest = read_manifest(pack)
    golden = [json.loads(line) for line in (pack / "golden.jsonl").read_text().splitlines()]
    undecided = [json.dumps({key: value for key, value in entry.items() if key != "answer"}) + "\n" for entry in golden]
    (pack / "golden.jsonl").write_text("".join(undecided))  # a classifier's decisions are none of a vector
    seal(pack, manifest.model_copy(update={"task": "feature-extraction", "labels": {}, "answers": None}))
    ship(pack, "linux", place / "out", name="intents")
    with served(place / "out") as address:
        yield address


def test_embeddings_are_what_openais_clients_read(vectors_place):
    wanted = json.loads(asked(vectors_place, b'{"text": "turn on the light"}')[1])["values"]
    wish = {"model": "intents", "input": ["turn on the light", "play jazz"]}
    code, body = asked(vectors_place, json.dumps(wish).encode(), path="/v1/embeddings")
    answer = json.loads(body)
    assert code == 200 and [row["index"] for row in answer["data"]] == [0, 1] and answer["data"][0]["embedding"] == pytest.approx(wanted)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0 and answer["data"][0]["cut"] is False
    raw = json.loads(asked(vectors_place, json.dumps(wish | {"encoding_format": "base64"}).encode(), path="/v1/embeddings")[1])
    assert np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), "<f4").tolist() == pytest.approx(wanted)
    for more, says in (
        ({"input": [[1, 2]]}, "neither a text nor a list"),
        ({"input": []}, "neither a text nor a list"),
        ({"input": ["a"] * 65}, "the most are 64"),
        ({"dimensions": 5}, "the model gives 4 numbers"),
        ({"encoding_format": "int8"}, "unknown encoding_format"),
        ({"model": "other"}, "there is no model"),
    ):
        code, body = asked(vectors_place, json.dumps(wish | more).encode(), path="/v1/embeddings")
        assert (code, says in json.loads(body)["error"]["message"]) == (422, True), body
    assert asked(vectors_place, b"{}", path="/v1/chat/completions")[0] == 404
    assert asked(vectors_place, b"{}", {"Host": "evil.example"}, "/v1/embeddings")[0] == 403
    assert asked(vectors_place, b"[" * 100, path="/v1/embeddings")[0] == 400


def samples_of(text: str) -> dict[str, float]:
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'[a-z_]+(\{([a-z_]+="(\\.|[^"\\\n])*",?)*\})? [-+0-9.e]+', row) for row in rows), text
    return {row.rpartition(" ")[0]: float(row.rpartition(" ")[2]) for row in rows}


def test_prometheus_reads_how_many_requests_there_were_and_how_long_they_took(decoder):
    with served(decoder) as place:
        wish = {"prompt": "Once upon a time", "max_tokens": 12}
        asked(place, json.dumps(wish).encode())
        asked(place, json.dumps(wish | {"stream": True}).encode())
        asked(place, b"{")
        asked(place, None, path="/nowhere")
        asked(place, None, path="/secret-" + "x" * 50)
        code, body = asked(place, None, path="/metrics")
        first = samples_of(body.decode())
        assert code == 200 and first['edgepack_tokens_total{kind="written"}'] == 24
        assert first['edgepack_requests_total{place="/answer",status="200"}'] == 2
        assert first['edgepack_requests_total{place="/answer",status="400"}'] == 1
        assert first['edgepack_requests_total{place="other",status="404"}'] == 2  # no row for each path that somebody asks for
        assert (
            first['edgepack_request_seconds_bucket{place="/answer",le="+Inf"}']
            == 3
            == first['edgepack_request_seconds_count{place="/answer"}']
        )
        assert first["edgepack_requests_in_progress"] == 1  # this one
        again = samples_of(asked(place, None, path="/metrics")[1].decode())
        assert again['edgepack_requests_total{place="/metrics",status="200"}'] == 1
        assert asked(place, None, {"Host": "evil.example"}, "/metrics")[0] == 403
