"""Penalties and sampling of targets/ against transformers' own logits processors, on random logits and texts."""

import sys

import numpy as np
import pytest
import torch
from jvm import ask, needs_java
from small import make_tokenizer
from transformers import GenerationConfig
from transformers.generation import logits_process as library

from edgepack.core.resources import shipped

sys.path.append(str(shipped("targets")))
import penalties as target
import sampling

VOCAB, PROMPT, MOST = 40, 6, 30
STOPS = (3, 9)
SETTINGS = [
    {"repetition_penalty": 1.3}, {"repetition_penalty": 0.6, "no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 1},
    {"bad_words_ids": [[5], [3], [7, 8], [1, 2, 3]]}, {"sequence_bias": [[[5], 2.0], [[7, 8], -3.0], [[1, 8], 4.0]]},
    {"suppress_tokens": [1, 2, 9]}, {"begin_suppress_tokens": [4, 5]}, {"min_length": 12}, {"min_new_tokens": 5},
    {"exponential_decay_length_penalty": [2, 1.3]}, {"forced_eos_token_id": [3]}, {"forced_bos_token_id": 8},
    {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "min_new_tokens": 4, "suppress_tokens": [2], "forced_eos_token_id": [9]},
]  # fmt: skip


def of_the_library(stated: dict, prompt: int) -> library.LogitsProcessorList:
    """The list that generate() would make of them, by its own code."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = GenerationConfig(**stated, eos_token_id=list(STOPS), max_length=MOST)
    config._eos_token_tensor = torch.tensor(STOPS)
    small = LlamaConfig(vocab_size=VOCAB, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    return LlamaForCausalLM(small)._get_logits_processor(config, input_ids_seq_length=prompt, device="cpu", model_kwargs={})


@pytest.mark.parametrize("stated", SETTINGS, ids=str)
@pytest.mark.parametrize("prompt", [1, PROMPT])
def test_logits_are_changed_as_transformers_changes_them(stated, prompt):
    draw = np.random.default_rng(0)
    processors, adjust = of_the_library(stated, prompt), target.Penalties(stated, prompt, MOST, STOPS)
    for count in range(prompt, MOST):
        ids = draw.integers(0, 10, count).tolist()
        logits = draw.normal(0, 4, VOCAB).astype(np.float32)
        expected = processors(torch.tensor([ids]), torch.tensor(logits)[None].clone())[0].numpy()
        assert np.array_equal(adjust(logits, ids), expected), count


SAMPLED = [
    {"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.8}, {"min_p": 0.2}, {"typical_p": 0.6}, {"epsilon_cutoff": 0.03},
    {"eta_cutoff": 0.2}, {"temperature": 1.4, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.9, "eta_cutoff": 0.05},
]  # fmt: skip


@pytest.mark.parametrize("stated", SAMPLED, ids=str)
def test_tokens_are_drawn_with_the_probabilities_of_transformers(stated):
    draw = np.random.default_rng(1)
    stated = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} | stated
    processors = of_the_library(stated, PROMPT)
    for _ in range(40):
        logits = draw.normal(0, 2, VOCAB).astype(np.float32)
        scores = processors(torch.tensor([[1] * PROMPT]), torch.tensor(logits)[None].clone())[0].double()
        tokens, chances = sampling.likely(logits, sampling.sampling_of(stated))
        result = np.zeros(VOCAB)
        result[tokens] = chances / chances.sum()
        assert np.allclose(result, torch.softmax(scores, dim=-1).numpy(), atol=1e-5)


@needs_java
def test_java_draws_tokens_as_often_as_transformers_would(classes, tmp_path):
    """Of 4,000 draws each: none that transformers cuts off, and all others within 0.04 of their probability."""
    make_tokenizer(tmp_path)
    logits = np.random.default_rng(1).normal(0, 2, VOCAB).astype(np.float32)
    stated = [{"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0} | each for each in SAMPLED]
    questions = [{"op": "draw", "logits": logits.tolist(), "stated": each, "seed": 5, "draws": 4000} for each in stated]
    for each, answer in zip(stated, ask(classes, tmp_path / "tokenizer.json", tmp_path, questions), strict=True):
        scores = of_the_library(each, PROMPT)(torch.tensor([[1] * PROMPT]), torch.tensor(logits)[None].clone())[0].double()
        chances = torch.softmax(scores, dim=-1).numpy()
        shares = np.array(answer["counts"]) / 4000
        assert not shares[chances == 0].any(), each
        assert np.abs(shares - chances).max() < 0.04, each


def test_a_stop_string_ends_a_text_at_its_last_token_alone():
    texts = {1: "st", 2: "op", 3: "opping", 4: " a"}
    ended = target.StopStrings(["stop"], lambda ids: "".join(texts[each] for each in ids))
    assert [ended(ids) for ids in ([1], [1, 2], [1, 3], [1, 2, 4], [4, 2])] == [False, True, True, False, False]


class Reader:
    """A decoder of few positions that says how many tokens it has seen."""

    def __init__(self, positions):
        self.positions, self.length, self.read = positions, 0, []

    def step(self, ids):
        self.length += len(ids)
        assert self.length <= self.positions
        self.read.append(list(ids))
        return np.eye(VOCAB)[(ids[-1] + 1) % VOCAB]


def test_a_window_slides_or_ends_the_text():
    refused = list(sampling.tokens(Reader(8), [1, 2, 3], 20))
    slid = Reader(8)
    assert refused == [4, 5, 6, 7, 8, 9]
    assert list(sampling.tokens(slid, [1, 2, 3], 20, window="slide")) == list(range(4, 24))
    assert [1, 6, 7, 8, 9] in slid.read  # the first token, and the last half of the positions
    assert next(sampling.tokens(Reader(4), list(range(1, 9)), 3, window="slide")) == 9
