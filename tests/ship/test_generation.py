"""Text from a real decoder's pack: the tokens are torch's, sampling is by its settings, what is printed never changes."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from command_line import edgepack, edgepack_here, refused
from hypothesis import given
from hypothesis import strategies as st
from models_shared import generate_job
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from edgepack.core.errors import EdgepackError
from edgepack.core.resources import shipped
from edgepack.measure.machines.transports.local import run_job, stream_job
from edgepack.pack.manifest import read_manifest, seal
from edgepack.ship.generate import generate, read_tokenizer, stable_text
from edgepack.ship.load import load

sys.path.append(str(shipped("targets")))
import sampling as target

PROMPT = "Once upon a time"


def torch_tokens(model, ids, count):
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    return loaded.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False)[0, len(ids) :].tolist()


def test_greedy_tokens_are_those_of_torch(stories, stories_pack):
    result = generate(stories_pack, PROMPT, max_tokens=120)
    ids = read_tokenizer(stories_pack).encode(PROMPT).ids
    assert list(result.tokens) == torch_tokens(stories, ids, 120)
    assert result.ended_by == "max_tokens" and result.prompt_tokens == len(ids)
    assert "Lily" in result.text and len(result.token_ms) == 119 and result.tokens_per_s > 0


def test_drawn_tokens_are_repeated_by_their_seed(stories_pack):
    drawn = [generate(stories_pack, PROMPT, 40, temperature=1.0, seed=seed).tokens for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    greedy = generate(stories_pack, PROMPT, 40).tokens
    assert generate(stories_pack, PROMPT, 40, temperature=1.0, top_k=1, seed=5).tokens == greedy
    assert generate(stories_pack, PROMPT, 40, temperature=1.0, top_p=1e-9, seed=5).tokens == greedy


LOGITS = np.log(np.array([0.05, 0.5, 0.1, 0.3, 0.05], dtype=np.float32))


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ({"temperature": 1.0}, [0.05, 0.5, 0.1, 0.3, 0.05]),
        ({"temperature": 0.5}, [0.0025, 0.25, 0.01, 0.09, 0.0025]),
        ({"temperature": 1.0, "top_k": 2}, [0, 0.5, 0, 0.3, 0]),
        ({"temperature": 1.0, "top_p": 0.6}, [0, 0.5, 0, 0.3, 0]),
        ({"temperature": 1.0, "top_p": 0.85}, [0, 0.5, 0.1, 0.3, 0]),
        ({"temperature": 1.0, "top_k": 3, "top_p": 0.6}, [0, 0.5, 0, 0.3, 0]),
        ({"temperature": 0.0}, [0, 1, 0, 0, 0]),
    ],
)
def test_tokens_are_drawn_as_often_as_they_should_be(sampling, expected):
    draw = np.random.default_rng(0)
    drawn = [target.choose(LOGITS, target.Sampling(**sampling), draw) for _ in range(4000)]
    share = np.bincount(drawn, minlength=5) / len(drawn)
    assert np.allclose(share, np.array(expected) / sum(expected), atol=0.03)
    assert not share[np.array(expected) == 0].any()


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=50),
    st.integers(0, 60),
    st.floats(0.01, 1),
    st.floats(0.1, 5),
    st.integers(0, 2**32),
)
def test_a_drawn_token_is_among_the_likeliest(logits, top_k, top_p, temperature, seed):
    values = np.array(logits, dtype=np.float32)
    token = target.choose(values, target.Sampling(temperature, top_k, top_p, seed), np.random.default_rng(seed))
    likelier = values[values > values[token] + 1e-6].astype(np.float64)  # nearer ones are equal to a probability
    assert not top_k or len(likelier) < top_k
    chances = np.exp((values.astype(np.float64) - values.max()) / temperature)
    remaining = np.sort(chances)[::-1][: top_k or None].sum()
    assert np.exp((likelier - values.max()) / temperature).sum() <= top_p * remaining * (1 + 1e-6)


def test_logits_that_are_no_numbers_are_refused():
    with pytest.raises(FloatingPointError, match="not numbers"):
        target.choose(np.array([0.0, np.nan]), target.GREEDY, None)


def test_a_stop_token_ends_the_text_and_is_not_part_of_it(stories_pack, tmp_path):
    free = generate(stories_pack, PROMPT, 30).tokens
    stop = free[12]
    copy = shutil.copytree(stories_pack, tmp_path / "copy")
    manifest = json.loads((copy / "runnable.json").read_text())
    (copy / "runnable.json").write_text(json.dumps(manifest | {"stop_ids": [stop]}))
    seal(copy, read_manifest(copy))
    result = generate(copy, PROMPT, 30)
    assert result.ended_by == "stop" and result.tokens == free[: free.index(stop)]
    assert result.text == read_tokenizer(copy).decode([*result.tokens, stop])  # no special token, so that transformers' pipeline shows it


@pytest.mark.parametrize("prompt", ["", " ", "\n"])
def test_a_prompt_without_words_is_answered_as_the_pipeline_answers_it(stories, stories_pack, prompt):
    from transformers import pipeline

    write = pipeline("text-generation", model=str(stories), device="cpu", dtype=torch.float32)
    wanted = write(prompt, do_sample=False, max_new_tokens=20, return_full_text=False)[0]["generated_text"]
    assert generate(stories_pack, prompt, max_tokens=20).text == wanted != ""


def test_a_prompt_without_tokens_is_refused_where_the_model_has_none_to_begin_with(stories_pack, tmp_path):
    copy = shutil.copytree(stories_pack, tmp_path / "copy")
    manifest = json.loads((copy / "runnable.json").read_text())
    assert manifest["start_id"] == 1
    (copy / "runnable.json").write_text(json.dumps(manifest | {"start_id": None}))
    seal(copy, read_manifest(copy).model_copy(update={"start_id": None}))
    with pytest.raises(EdgepackError, match='the prompt is empty: "" has no tokens'):
        generate(copy, "")
    with load(copy) as model, pytest.raises(BaseException, match="the prompt is empty") as raised:
        model("")
    assert type(raised.value).__name__ == "BadInput"


def test_a_context_that_is_full_ends_the_text(stories, stories_pack):
    positions = read_manifest(stories_pack).positions
    assert positions == 512
    ids = torch_tokens(stories, [1], positions - 3)
    prompt = [1, *ids][: positions - 2]
    result = run_job_tokens(stories_pack, generate_job(prompt, 10))
    assert result["ended_by"] == "positions" and len(result["tokens"]) == 3
    full = run_job_tokens(stories_pack, generate_job([*prompt, *result["tokens"][:2]], 10))
    assert full["tokens"] == result["tokens"][2:] and full["ended_by"] == "positions"


def run_job_tokens(pack, wanted):
    *tokens, result = stream_job(pack, "onnxruntime", wanted)
    assert [each["token"] for each in tokens] == result["tokens"]
    return result


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (generate_job([5] * 513, 1), "the prompt has 513 tokens, more than the model's 512 positions"),
        (generate_job([], 1), "the prompt is empty"),
        (generate_job([512], 1), "token 512 is not one of the model's 512"),
        ({"kind": "decode", "threads": 1, "length": 512, "runs": 1, "seconds": 0}, "513 tokens are more than the model's 512 positions"),
    ],
)
def test_what_a_model_cannot_take_is_said_in_json(stories_pack, wanted, problem):
    command = [sys.executable, str(shipped("targets") / "run_onnxruntime.py"), str(stories_pack), json.dumps(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == ""
    assert json.loads(done.stdout)["error"]["problem"] == problem
    for ask in (run_job, lambda *given: list(stream_job(*given))):
        with pytest.raises(EdgepackError) as raised:
            ask(stories_pack, "onnxruntime", wanted)
        assert raised.value.problem == problem and raised.value.fix


def test_a_stream_that_is_closed_early_leaves_no_process(stories_pack):
    stream = stream_job(stories_pack, "onnxruntime", generate_job([1], 400))
    next(stream)
    stream.close()
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"run_onnxruntime.py {stories_pack}" not in listed


def byte_level():
    """Learned on ASCII, so that every other character is several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(["the cat sat on the mat"] * 9, trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet))
    return tokenizer


TEXT = "Zoë sat on 日本語 🙂🙂 naïve, 1½ mats"


@pytest.mark.parametrize("make", [byte_level, None], ids=["byte level", "byte fallback"])
def test_what_is_shown_never_changes_and_holds_no_half_characters(make, stories):
    tokenizer = make() if make else Tokenizer.from_file(str(stories / "tokenizer.json"))
    prompt, ids = tokenizer.encode("the mat").ids, tokenizer.encode("the mat " + TEXT).ids
    assert ids[: len(prompt)] == prompt and len(ids) - len(prompt) > 20
    pieces = list(stable_text(tokenizer, [], ids[len(prompt) :]))
    assert "".join(pieces) == tokenizer.decode(ids[len(prompt) :]) == (" " + TEXT if make else TEXT)
    assert len(pieces) > 10 and not any("\ufffd" in piece for piece in pieces)


def test_bytes_that_never_become_a_character_are_shown_at_the_end():
    tokenizer = byte_level()
    half = tokenizer.encode("🙂").ids[:2]
    assert "".join(stable_text(tokenizer, [], [*tokenizer.encode("cat").ids, *half])).startswith("cat\ufffd")


@pytest.mark.parametrize(
    ("flags", "says", "fix"),
    [
        (("--prompt", "once " * 300), "tokens, the model has 512 positions", "shorten the prompt"),
        (("--prompt", "a", "--max-tokens", "0"), "out of range: --max-tokens 0", "give the most tokens"),
        (("--prompt", "a", "--temperature", "-1"), "out of range: --temperature -1.0", "give 0 for the likeliest"),
        (("--prompt", "a", "--top-p", "0"), "out of range: --top-p 0.0", "give the probability"),
        (("--prompt", "a", "--top-k", "-2"), "out of range: --top-k -2", "give how many"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(stories_pack, flags, says, fix):
    refused(edgepack_here("generate", stories_pack, *flags), says, fix)


def test_a_pack_that_writes_no_text_is_refused(pack_folder):
    refused(edgepack_here("generate", pack_folder, "--prompt", "a"), "is a pack for text-classification", "give a pack that was built from")


def test_the_command_prints_the_text_and_json_holds_the_figures(stories_pack):
    shown = edgepack("generate", stories_pack, "--prompt", PROMPT, "--max-tokens", "20")
    result = json.loads(edgepack("generate", stories_pack, "--prompt", PROMPT, "--max-tokens", "20", "--json").stdout)
    assert shown.stdout == result["text"] + "\n" and "tokens/s; measured here" in shown.stderr
    assert len(result["tokens"]) == 20 and result["first_token_ms"] > 0 and result["tokens_per_s"] > 0 and result["origin"] == "measured"
