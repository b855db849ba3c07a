"""Prompt lookup takes fewer runs of the model and changes no token: greedy, drawn, under penalties, at stops and at the last position."""

import json
import shutil
import sys

import numpy as np
import onnx
import pytest
from command_line import edgepack, refused
from hypothesis import given
from hypothesis import strategies as st
from models_shared import generate_job
from test_generation import PROMPT, torch_tokens

from edgepack.core.errors import EdgepackError
from edgepack.core.resources import shipped
from edgepack.measure.machines.transports.local import run_job
from edgepack.pack.manifest import read_manifest, seal
from edgepack.pack.runnable import CacheLayer
from edgepack.plan.steps import Quantize
from edgepack.quantize.schemes.onnx_blockwise import quantize_decoder
from edgepack.ship.generate import generate
from edgepack.ship.load import load

sys.path.append(str(shipped("targets")))
import penalties
import sampling as target
from lookup import Lookup
from run_onnxruntime import open_decoder

STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big dog. "
COPIES = STORY + STORY + "Once upon a time, there was"
MOST = 8


@given(st.lists(st.integers(0, 3), max_size=40), st.lists(st.integers(0, 3), max_size=10), st.integers(1, 8))
def test_what_is_tried_followed_the_longest_known_sequence_last(ids, more, room):
    lookup = Lookup(MOST)
    lookup.behind(ids, 1)
    ids = ids + more
    wanted = []
    for size in (2, 3):
        places = [place for place in range(size, len(ids)) if ids[place - size : place] == ids[len(ids) - size :]]
        wanted = ids[places[-1] : places[-1] + room] if places else wanted
    assert lookup.behind(ids, room) == wanted


class Counted:
    """A decoder that counts its runs."""

    def __init__(self, decoder):
        self._decoder, self.runs = decoder, 0

    def __getattr__(self, name):
        return getattr(self._decoder, name)

    @property
    def length(self):
        return self._decoder.length

    @length.setter
    def length(self, length):
        self._decoder.length = length

    def step(self, ids):
        self.runs += 1
        return self._decoder.step(ids)

    def score(self, ids):
        self.runs += 1
        return self._decoder.score(ids)


@pytest.fixture(scope="module")
def writer(stories_pack):
    with load(stories_pack, threads=1) as model:
        yield model


def written(writer, prompt, count, most, positions=512, answers=None, stop_ids=(), ended=None, **sampling):
    """Tokens, why they ended with the token that ended them, and how many runs they took."""
    decoder = Counted(writer.session.decoder(positions))
    adjust, lookup = penalties.Penalties(answers, len(prompt), len(prompt) + count, stop_ids), Lookup(most) if most else None
    window = sampling.pop("window", "refuse")
    result = target.Written(target.tokens(decoder, prompt, count, stop_ids, target.Sampling(**sampling), adjust, ended, window, lookup))
    return list(result), (result.ended_by, result.stop_token), decoder.runs


@pytest.mark.parametrize("text", [COPIES, PROMPT])
def test_greedy_tokens_are_those_of_torch(stories, writer, text):
    ids = writer.texts.prompt(text)
    count = 500 - len(ids)
    plain, _, steps = written(writer, ids, count, 0)
    for most in (1, 3, MOST, 32):
        tokens, _, runs = written(writer, ids, count, most)
        assert tokens == plain and runs < steps == count
    assert plain == torch_tokens(stories, ids, count)
    generated = writer(text, max_tokens=count, lookup_tokens=MOST)
    assert list(generated.tokens) == plain and generated == writer(text, max_tokens=count)


def test_a_text_that_is_copied_takes_fewer_runs(writer):
    assert written(writer, writer.texts.prompt(COPIES), 40, MOST)[2] < 30


@pytest.mark.parametrize("bits", [8, 4])
def test_blocks_of_8_and_4_bits_choose_otherwise_between_near_equals_alone(stories_pack, writer, tmp_path, bits):
    """Sums of several rows run in another order, and where activations are rounded to int8 that moves this small model's logits by 0.3."""
    cache = [CacheLayer(**each) for each in json.loads((stories_pack / "runnable.json").read_text())["cache"]]
    quantize_decoder(stories_pack, Quantize(method="blockwise", why="", precision=f"int{bits}"), tmp_path, (), cache)
    shutil.copyfile(stories_pack / "runnable.json", tmp_path / "runnable.json")
    decoder = open_decoder(tmp_path, json.loads((tmp_path / "runnable.json").read_text()), 1, 512)
    for text in (COPIES, PROMPT):
        ids = writer.texts.prompt(text)
        plain, tried = (list(target.tokens(_emptied(decoder), ids, 490 - len(ids), lookup=lookup)) for lookup in (None, Lookup(MOST)))
        place = next((at for at, pair in enumerate(zip(plain, tried, strict=True)) if len(set(pair)) > 1), None)
        if place is not None:
            logits = _emptied(decoder).step(ids)
            for token in plain[:place]:
                logits = decoder.step([token])
            assert logits.argmax() == plain[place] and logits[plain[place]] - logits[tried[place]] < 0.6


def _emptied(decoder):
    decoder.length = 0
    return decoder


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0, "seed": 3},
        {"temperature": 0.3, "top_k": 5, "seed": 4},
        {"temperature": 0.7, "top_p": 0.8, "seed": 5},
        {"answers": {"repetition_penalty": 1.05}},
        {"answers": {"no_repeat_ngram_size": 4, "min_new_tokens": 60}, "stop_ids": (426,)},
        {"answers": {"forced_eos_token_id": [7], "exponential_decay_length_penalty": [20, 1.1]}, "stop_ids": (426,)},
        {"stop_ids": (426,)},
        {"ended": lambda ids: len(ids) % 97 == 0},
        {"positions": 150},
        {"positions": 150, "window": "slide"},
        {"positions": 150, "window": "slide", "temperature": 0.5, "seed": 1},
    ],
    ids=", ".join,
)
@pytest.mark.parametrize("text", [COPIES, PROMPT])
def test_tokens_and_ends_stay_the_same(writer, text, settings):
    ids = writer.texts.prompt(text)
    plain, ended, steps = written(writer, ids, 180, 0, **settings)
    for most in (2, MOST):
        tokens, end, runs = written(writer, ids, 180, most, **settings)
        assert (tokens, end) == (plain, ended) and runs <= steps
    assert plain


def test_several_rows_are_scored_as_single_tokens_are(writer):
    """In fp32, but for the order of sums."""
    ids = writer.texts.prompt(COPIES)[:60]
    single, whole = writer.session.decoder(100), writer.session.decoder(100)
    single.step(ids[:40])
    whole.step(ids[:40])
    rows = np.stack([single.step([token]).copy() for token in ids[40:]])
    assert np.abs(whole.score(ids[40:]) - rows).max() < 1e-4
    whole.length = 45  # taken back, and read again by other numbers of rows
    assert np.abs(whole.score(ids[45:50]) - rows[5:10]).max() < 1e-4
    assert np.abs(whole.step([ids[50]]) - rows[10]).max() < 1e-4


def test_the_command_and_the_job_write_the_same_with_it(stories_pack, writer):
    plain = generate(stories_pack, COPIES, 40)
    assert generate(stories_pack, COPIES, 40, lookup_tokens=MOST).tokens == plain.tokens
    shown = json.loads(
        edgepack("generate", stories_pack, "--prompt", COPIES, "--max-tokens", "40", "--lookup-tokens", "8", "--json").stdout
    )
    assert tuple(shown["tokens"]) == plain.tokens and len(shown["token_ms"]) == 39


def test_a_file_that_scores_one_token_is_refused_by_name(stories_pack, tmp_path):
    copy = shutil.copytree(stories_pack, tmp_path / "copy")
    graph = onnx.load(copy / "model.onnx", load_external_data=False)
    graph.graph.input.remove(next(value for value in graph.graph.input if value.name == "last_start"))
    onnx.save(graph, copy / "model.onnx")
    seal(copy, read_manifest(copy))
    assert generate(copy, COPIES, 20).tokens == generate(stories_pack, COPIES, 20).tokens
    with load(copy) as model, pytest.raises(BaseException, match="scores one token a run") as raised:
        model(COPIES, lookup_tokens=4)
    assert type(raised.value).__name__ == "BadInput"
    with pytest.raises(EdgepackError, match="scores one token a run") as refusal:
        run_job(copy, "onnxruntime", generate_job([1, 5], 4, lookup_tokens=4))
    assert "build the pack again" in refusal.value.fix


@pytest.mark.parametrize("most", [-1, 33])
def test_a_wish_out_of_range_is_refused(stories_pack, writer, most):
    flags = ("--prompt", "a", "--lookup-tokens", str(most))
    refused(edgepack("generate", stories_pack, *flags), "out of range: --lookup-tokens", "give the most tokens to try at once")
    with pytest.raises(BaseException, match="out of range"):
        writer("a", lookup_tokens=most)
