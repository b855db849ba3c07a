"""One decoder with uneven heads, one key and value head in a layer and no attention in another: the same tokens everywhere."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from small import DECODERS, make_model

from edgepack.export.genai_config import genai_config
from edgepack.export.onnx_decoder import export_decoder, runnable_decoder
from edgepack.measure.machines.transports.local import run_job, stream_job
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.dropped_attention import drop_attention
from edgepack.model.structure import kv_groups_of, layer_shapes
from edgepack.model.surgery import cut_heads
from edgepack.plan.steps import Export
from edgepack.tasks import task_named

PROMPT = [1, 403, 407, 261, 378]
GENAI = """
import json, sys, onnxruntime_genai as og
model = og.Model(sys.argv[1])
prompt, count = json.loads(sys.argv[2]), int(sys.argv[3])
params = og.GeneratorParams(model)
params.set_search_options(max_length=len(prompt) + count)
generator = og.Generator(model, params)
generator.append_tokens(prompt)
tokens = []
while not generator.is_done():
    generator.generate_next_token()
    tokens.append(int(generator.get_next_tokens()[0]))
tokenizer = og.Tokenizer(model)
ids = [int(one) for one in tokenizer.encode("Once upon a time")]
print(json.dumps({"tokens": tokens, "text": tokenizer.decode(prompt + tokens), "ids": ids}))
"""


def cut_unevenly(model):
    """Of the layers from the second on: one group of heads, no attention, two groups."""
    group, heads = kv_groups_of(model), layer_shapes(model)[0].heads
    keep = [range(heads), range(group), range(heads), range(2 * group), *(range(heads) for _ in layer_shapes(model)[4:])]
    cut_heads(model, keep)
    drop_attention(model, [2])
    return model


def greedy_in_torch(model, ids, count):
    """Without a cache: every token from the whole text before it."""
    ids = list(ids)
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[-count:]


def exported(folder, model):
    folder.mkdir()
    export_decoder(model, Export(opset=20, why=""), folder)
    result = runnable_decoder(model, task_named("text-generation"))
    (folder / "runnable.json").write_text(json.dumps(result.as_json()))
    (folder / "genai_config.json").write_text(json.dumps(genai_config(model.config.to_dict(), result)))
    return folder


def on_the_target(folder, ids, count):
    greedy = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0}
    job = {"kind": "generate", "threads": 1, "prompt": ids, "max_tokens": count, **greedy}
    manifest = json.loads((folder / "runnable.json").read_text())
    (folder / "runnable.json").write_text(json.dumps(manifest | {"stop_ids": []}))
    return list(stream_job(folder, "onnxruntime", job))[-1]["tokens"]


def in_genai(folder, ids, count):
    pytest.importorskip("onnxruntime_genai", reason="needs the extra `genai`")
    command = [sys.executable, "-c", GENAI, str(folder), json.dumps(ids), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def uneven(stories, tmp_path_factory):
    model = cut_unevenly(load_checkpoint(stories))
    folder = exported(tmp_path_factory.mktemp("uneven") / "pack", model)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(stories / name, folder / name)
    return model, folder


@pytest.mark.slow
def test_uneven_heads_and_a_layer_without_attention_keep_their_tokens(uneven):
    model, folder = uneven
    heads = [(each["layer"], each["heads"]) for each in json.loads((folder / "runnable.json").read_text())["cache"]]
    assert heads == [(0, 4), (1, 1), (3, 2), (4, 4)]
    assert on_the_target(folder, PROMPT, 80) == greedy_in_torch(model, PROMPT, 80)


@pytest.mark.slow
def test_genai_gives_the_same_tokens_and_reads_the_tokenizer(uneven):
    model, folder = uneven
    result = in_genai(folder, PROMPT, 80)
    assert result["tokens"] == greedy_in_torch(model, PROMPT, 80)
    assert result["ids"] == PROMPT[1:] and result["text"].startswith("Once upon a time")


def test_genai_runs_a_pack_as_it_is(stories, stories_pack):
    result = in_genai(stories_pack, PROMPT, 60)
    assert result["tokens"] == greedy_in_torch(load_checkpoint(stories), PROMPT, 60)


@pytest.mark.slow
@pytest.mark.parametrize("family", DECODERS)
def test_every_family_decodes_with_one_buffer(tmp_path, family):
    """Tokens over the whole length that the model can have seen, keys and values read and written in place."""
    model = cut_unevenly(make_model(tmp_path / "model", family, "text-generation"))
    folder = exported(tmp_path / "pack", model)
    ids = [7, 30, 121, 55, 200]
    expected = greedy_in_torch(model, ids, 60)
    assert on_the_target(folder, ids, 60) == expected
    timed = run_job(folder, "onnxruntime", {"kind": "decode", "threads": 1, "length": 95, "runs": 3, "seconds": 0})
    assert len(timed["samples_ms"]) >= 3


@pytest.mark.parametrize("family", DECODERS)
def test_the_config_says_what_the_file_is(family, tmp_path):
    model = make_model(tmp_path / "model", family, "text-generation")
    result = runnable_decoder(model, task_named("text-generation"))
    config = genai_config(model.config.to_dict(), result)
    decoder = config["model"]["decoder"]
    assert (decoder["num_hidden_layers"], decoder["num_attention_heads"], decoder["head_size"], decoder["hidden_size"]) == (4, 4, 16, 64)
    assert decoder["num_key_value_heads"] == (4 if family == "gpt2" else 2)
    assert config["model"]["context_length"] == config["search"]["max_length"] == 96
    assert decoder["session_options"]["graph_optimization_level"] == "ORT_DISABLE_ALL"
    eos = config["model"]["eos_token_id"]
    assert (eos if isinstance(eos, list) else [eos]) == list(result.stop_ids or [result.pad_id])
    assert config["search"]["past_present_share_buffer"] is True and config["search"]["do_sample"] is False
