"""Generates text from a decoder's pack, and measures how fast: the prompt at once, then token by token.

Runs on the device with the standard library, numpy and one runtime; never imports edgepack. In an app, with a tokenizer's ids:

    decoder = run_onnxruntime.open_decoder(folder, manifest, threads=4, positions=512)  # or run_litert's
    for token in sampling.tokens(decoder, ids, max_tokens=100, stop_ids=manifest["stop_ids"]):
        ...
"""

from __future__ import annotations

import json
import time

import conditions
import numpy as np
import protocol
from feeds import random_ids
from lookup import Lookup
from penalties import Penalties, StopStrings
from protocol import Refused, ms_since
from runnable import has_fixed_lengths, is_decoder
from sampling import GREEDY, Written, sampling_of, tokens

_MEMORY_TOKENS = 8  # decoded one by one behind the prompt when memory is measured


def check_decoder(manifest, positions) -> None:
    """Refused: a pack that is not a decoder, or one that cannot have seen so many tokens."""
    if not is_decoder(manifest):
        raise Refused("the pack keeps no keys and values: it cannot generate text", "build a text-generation model with this edgepack")
    if positions > manifest["positions"]:
        raise Refused("{} tokens are more than {}".format(positions, _most(manifest)), "shorten the prompt or the context")


def generate(folder, manifest, job, open_decoder) -> dict:
    """Tokens behind job["prompt"]; each is a line of JSON as soon as it is there, before the result itself."""
    prompt, started = job["prompt"], time.perf_counter()
    slides = job.get("window") == "slide"
    _check_prompt(manifest, prompt, slides)
    answers, stop_ids = manifest.get("answers"), set(manifest["stop_ids"])
    adjust = Penalties(answers, len(prompt), len(prompt) + job["max_tokens"], stop_ids)
    ended = _stop_strings(folder, answers)
    room = min(len(prompt) + job["max_tokens"] - 1, manifest["positions"])
    decoder = open_decoder(folder, manifest, job["threads"], room)
    lookup = _lookup(decoder, job.get("lookup_tokens", 0))
    session_ms, start = ms_since(started), time.perf_counter()
    output, arrived = [], []
    sampling = sampling_of(answers, job["temperature"], job["top_k"], job["top_p"], job["seed"])
    window = "slide" if slides else "refuse"
    written = Written(tokens(decoder, prompt, job["max_tokens"], stop_ids, sampling, adjust, ended, window, lookup))
    try:
        for token in written:
            arrived.append(ms_since(start))
            output.append(token)
            print(json.dumps({"token": token}), flush=True)
    except FloatingPointError as error:
        raise Refused(str(error), "check the pack with `edgepack verify`, or build it in a wider precision") from None
    return {
        "tokens": output,
        "prompt_tokens": len(prompt),
        "ended_by": written.ended_by,
        "stop_token": written.stop_token,
        "session_ms": session_ms,
        "first_token_ms": arrived[0] if arrived else None,
        "token_ms": np.diff(arrived).round(4).tolist(),
    }


def _lookup(decoder, most):
    if most and not decoder.scores_several:
        raise Refused("the pack's file scores one token a run, so that no tokens can be looked up", "build the pack again, as ONNX")
    return Lookup(most) if most else None


def certain(folder, manifest, job, open_decoder) -> dict:
    """The likeliest tokens behind each of job["prompts"], as far as each is ahead of the next likeliest by job["margin"] of its logit.

    job["most"]: tokens at most, a number for each prompt. steps: how many choices were that certain, the one that ends a text among them.
    """
    answers, stop_ids = manifest.get("answers"), set(manifest["stop_ids"])
    rooms = [len(prompt) + most for prompt, most in zip(job["prompts"], job["most"])]
    decoder = open_decoder(folder, manifest, job["threads"], min(max(rooms), manifest["positions"]))
    written, steps = [], []
    for prompt, most in zip(job["prompts"], job["most"]):
        decoder.length, sure = 0, []
        watched = _Watched(Penalties(answers, len(prompt), len(prompt) + most, stop_ids), job["margin"])
        try:
            for token in tokens(decoder, prompt, most, stop_ids, GREEDY, watched, _stop_strings(folder, answers)):
                if not watched.is_certain:
                    break
                sure.append(token)
        except FloatingPointError as error:
            raise Refused(str(error), "build the pack in a wider precision") from None
        written.append(sure)
        steps.append(watched.steps)
    return {"tokens": written, "steps": steps}


class _Watched:
    """Penalties that remember how far the likeliest token is ahead of the next."""

    def __init__(self, adjust, margin) -> None:
        self._adjust, self._margin, self.is_certain, self.steps = adjust, margin, True, 0

    def __call__(self, logits, ids):
        scores = self._adjust(logits, ids)
        second, first = np.partition(scores, -2)[-2:] if len(scores) > 1 else (-np.inf, scores[0])
        self.is_certain = self.is_certain and bool(first - second >= self._margin)
        self.steps += self.is_certain
        return scores


def _stop_strings(folder, answers):
    """None where the pack has no stop strings, so that a target without tokenizers writes all other texts."""
    strings = (answers or {}).get("stop_strings")
    if not strings:
        return None
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise Refused("the pack's stop strings need the library tokenizers, which is not installed", "pip install tokenizers") from None
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return StopStrings(strings, lambda ids: tokenizer.decode(ids, skip_special_tokens=False))


def prefill(folder, manifest, job, open_decoder) -> dict:
    """Raw times from a prompt of `length` tokens to the first token behind it."""
    prompt = random_ids(manifest, job["length"])
    decoder = open_decoder(folder, manifest, job["threads"], job["length"])

    def first_token() -> None:
        decoder.length = 0
        decoder.step(prompt).argmax()

    return protocol.timed(first_token, job)


def decode(folder, manifest, job, open_decoder) -> dict:
    """Raw times of one token with `length` tokens before it: it is taken back each time, so that the context stays as long."""
    return protocol.timed(_next_token(folder, manifest, job, open_decoder), job)


def sustained_decode(folder, manifest, job, open_decoder) -> dict:
    """The same token again and again for `seconds`: see conditions.sustained."""
    return conditions.sustained(_next_token(folder, manifest, job, open_decoder), job)


def _next_token(folder, manifest, job, open_decoder):
    context = random_ids(manifest, job["length"])
    decoder = open_decoder(folder, manifest, job["threads"], len(context) + 1)
    decoder.step(context)

    def next_token() -> None:
        decoder.length = len(context)
        decoder.step(context[-1:]).argmax()

    return next_token


def decode_memory(folder, manifest, job, open_decoder) -> dict:
    """Peak resident memory of a context of `length` tokens: most of it a prompt, the rest one by one."""
    context = random_ids(manifest, job["length"])
    single = min(_MEMORY_TOKENS, len(context) - 1)

    def fill(decoder) -> None:
        decoder.step(context[: len(context) - single])
        for token in context[len(context) - single :]:
            decoder.step([token])

    return protocol.occupied(lambda: open_decoder(folder, manifest, job["threads"], len(context)), fill)


JOBS = {
    "generate": generate,
    "certain": certain,
    "prefill": prefill,
    "decode": decode,
    "sustained_decode": sustained_decode,
    "decode_memory": decode_memory,
}


def _check_prompt(manifest, prompt, slides=False) -> None:
    check_decoder(manifest, 0)
    if not prompt:
        raise Refused("the prompt is empty", "give at least one token")
    if len(prompt) > manifest["positions"] and not slides:
        raise Refused("the prompt has {} tokens, more than {}".format(len(prompt), _most(manifest)), "shorten the prompt")
    unknown = [token for token in prompt if not 0 <= token < manifest["vocab"]]
    if unknown:
        raise Refused("token {} is not one of the model's {}".format(unknown[0], manifest["vocab"]), "use the pack's own tokenizer")


def _most(manifest) -> str:
    """What ends a text: the model's positions, or a cache of fixed length, which may be shorter."""
    most = "the {} that the file's cache holds" if has_fixed_lengths(manifest) else "the model's {} positions"
    return most.format(manifest["positions"])
