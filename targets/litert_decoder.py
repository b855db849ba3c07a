"""A decoder's TFLite file as something that remembers: prompts in parts, then single tokens, around one cache. Needs numpy alone.

The file is edgepack's: `decode`, a `prefill_<n>` for each of the manifest's buckets, and `head`, all of fixed shapes.
"""

from __future__ import annotations

import contextlib

import numpy as np


class Decoder:
    """A compiled model with its cache, of which `positions` tokens at most are used. lock: held by a step, where threads share the model.

    seen: tokens remembered; set it lower to take some back. Each signature reads and writes the same buffers of keys and
    values: nothing is copied between steps. What lies behind `seen` is never looked at, and is overwritten.
    """

    scores_several = False  # for prompt lookup: a signature reads 16 tokens or more, however few are looked up

    def __init__(self, model, manifest, positions, lock=None) -> None:
        self.positions, self.length = positions, 0
        self._model, self._room, self._vocab = model, manifest["positions"], manifest["vocab"]
        self._prompts = manifest["buckets"]
        self._ends: dict = {}
        self._lock = lock or contextlib.nullcontext()
        shapes = {name: details["shape"] for name, details in model.get_input_tensor_details("decode").items()}
        self._cache = {name: model.create_input_buffer_by_name("decode", name) for name in shapes if name.startswith(("key_", "value_"))}
        zeros = {tuple(shape): np.zeros(shape, np.float32) for shape in shapes.values()}
        for name, buffer in self._cache.items():
            buffer.write(zeros[tuple(shapes[name])])  # a hidden key weighs 0, and 0 times what is not a number is none

    def step(self, ids) -> np.ndarray:
        """Logits [vocab] of what follows the last of `ids`, which go behind all that was seen before."""
        if self.length + len(ids) > self.positions:
            raise ValueError("no room for {} tokens behind {} of {}".format(len(ids), self.length, self.positions))
        at = 0
        with self._lock:
            while at < len(ids) - 1:
                at += self._prefill(ids[at:-1])[0] or self._decode(ids[at])[0]
            return self._decode(ids[-1])[1]

    def score(self, ids) -> np.ndarray:
        """Logits [tokens, vocab] of what follows each of `ids`: a single token as it is written, several as a prompt is read."""
        scores, at = np.empty((len(ids), self._vocab), np.float32), 0
        while at < len(ids):
            count, hidden = self._prefill(ids[at:]) if len(ids) > 1 else (0, None)
            if count:
                self._head(hidden, scores[at : at + count])
            else:
                count, scores[at] = self._decode(ids[at])
            at += count
        return scores

    def _decode(self, token) -> tuple:
        self._run("decode", [token])
        self.length += 1
        return 1, self._ends["decode"][1]["logits"].read(self._vocab, np.float32)

    def _prefill(self, ids) -> tuple:
        """Reads as many of `ids` as fit: how many, and the buffer of their hidden states. None where no signature has room."""
        length = part_of(len(ids), [size for size in self._prompts if self.length + size <= self._room])
        if length is None:
            return 0, None
        part = list(ids[:length])
        key = "prefill_{}".format(length)
        self._run(key, part + [0] * (length - len(part)))
        self.length += len(part)
        return len(part), self._ends[key][1]["hidden"]

    def _run(self, key, ids) -> None:
        inputs, outputs = self._buffers(key)
        inputs["input_ids"].write(np.array([ids], np.int32))
        inputs["position"].write(np.array([self.length], np.int32))
        self._model.run_by_name(key, {**inputs, **self._cache}, {**outputs, **self._cache})

    def _buffers(self, key) -> tuple:
        """The inputs and outputs of a signature beside the cache, made when it first runs."""
        if key not in self._ends:
            signature = self._model.get_signature_list()[key]
            self._ends[key] = tuple(
                {name: create(key, name) for name in signature[side] if name not in self._cache}
                for side, create in (
                    ("inputs", self._model.create_input_buffer_by_name),
                    ("outputs", self._model.create_output_buffer_by_name),
                )
            )
        return self._ends[key]

    def _head(self, hidden, logits) -> None:
        """Fills `logits` [tokens, vocab] from a signature's hidden states."""
        _, rows, width = self._model.get_input_tensor_details("head")["hidden"]["shape"]
        inputs, outputs = self._buffers("head")
        states = np.zeros((-(-len(logits) // rows) * rows, width), np.float32)
        states[: len(logits)] = hidden.read(len(logits) * width, np.float32).reshape(-1, width)
        for at in range(0, len(logits), rows):
            inputs["hidden"].write(states[None, at : at + rows])
            self._model.run_by_name("head", inputs, outputs)
            block = outputs["logits"].read(rows * self._vocab, np.float32).reshape(rows, -1)
            logits[at : at + rows] = block[: len(logits) - at]


def part_of(count, lengths):
    """Which of `lengths` to read next of `count` tokens: the shortest that holds them, unless more than half of it were padding."""
    whole = [length for length in lengths if count <= length <= 2 * count]
    parts = [length for length in lengths if length < count]
    return min(whole) if whole else max(parts) if parts else min(lengths, default=None)
