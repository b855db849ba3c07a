"""What the server counts, as Prometheus reads it: the text format 0.0.4. Nothing of a request's text is counted or kept."""

from __future__ import annotations

import threading
import time

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ELSEWHERE = "other"  # for paths that the server does not have: clients cannot make rows


class Metrics:
    """Counters of one server; threads may share them."""

    def __init__(self, places) -> None:
        self._places = frozenset(places)
        self._lock = threading.Lock()
        self._requests: dict = {}
        self._times: dict = {}
        self._tokens = {"read": 0, "written": 0}
        self._began = time.time()
        self.in_progress = 0

    def begin(self) -> None:
        with self._lock:
            self.in_progress += 1

    def end(self, place: str, status: str, seconds: float) -> None:
        """A request is through: where, with which status, after how long."""
        place = place if place in self._places else ELSEWHERE
        with self._lock:
            self.in_progress -= 1
            self._requests[place, status] = self._requests.get((place, status), 0) + 1
            counts, total = self._times.setdefault(place, ([0] * (len(BOUNDS_S) + 1), [0.0]))
            counts[next((index for index, bound in enumerate(BOUNDS_S) if seconds <= bound), len(BOUNDS_S))] += 1
            total[0] += seconds

    def count_tokens(self, read: int, written: int) -> None:
        with self._lock:
            self._tokens["read"] += read
            self._tokens["written"] += written

    def text(self, model) -> str:
        with self._lock:
            return "".join(line + "\n" for line in self._lines(model))

    def _lines(self, model):
        facts = {"pack_id": model.manifest["pack_id"], "task": model.task}
        facts |= {key: model.manifest[key] for key in ("name", "version") if key in model.manifest}
        yield from _head("edgepack_model_info", "gauge", "The model that answers.")
        yield _row("edgepack_model_info", facts, 1)
        yield from _head("edgepack_start_time_seconds", "gauge", "When the server started, in seconds since 1970.")
        yield _row("edgepack_start_time_seconds", {}, round(self._began, 3))
        yield from _head("edgepack_requests_in_progress", "gauge", "Requests that are answered now.")
        yield _row("edgepack_requests_in_progress", {}, self.in_progress)
        yield from _head("edgepack_requests_total", "counter", "Requests by place and status.")
        for (place, status), count in sorted(self._requests.items()):
            yield _row("edgepack_requests_total", {"place": place, "status": status}, count)
        yield from _head("edgepack_tokens_total", "counter", "Tokens of prompts that were read, and of texts that were written.")
        for kind, count in sorted(self._tokens.items()):
            yield _row("edgepack_tokens_total", {"kind": kind}, count)
        yield from _head("edgepack_request_seconds", "histogram", "How long requests took, the wait for their turn included.")
        for place, (counts, total) in sorted(self._times.items()):
            below = 0
            for bound, count in zip((*BOUNDS_S, "+Inf"), counts):
                below += count
                yield _row("edgepack_request_seconds_bucket", {"place": place, "le": str(bound)}, below)
            yield _row("edgepack_request_seconds_sum", {"place": place}, round(total[0], 6))
            yield _row("edgepack_request_seconds_count", {"place": place}, below)


def _head(name: str, kind: str, about: str):
    return "# HELP {} {}".format(name, about), "# TYPE {} {}".format(name, kind)


def _row(name: str, labels: dict, value) -> str:
    shown = ",".join('{}="{}"'.format(key, _escaped(str(text))) for key, text in labels.items())
    return "{}{} {}".format(name, "{" + shown + "}" if shown else "", value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
