"""A decoder's TFLite file writes what torch writes, prompt and tokens, whatever its heads; 8 and 4 bits stay near it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from models_shared import generate_job, greedy_in_torch
from small import DECODERS, make_model
from tflite_quantizing import quantize_tflite

import edgepack
from edgepack.core.errors import EdgepackError
from edgepack.measure.answers import answer, difference
from edgepack.measure.decoding import check_decoding, compare_decoding
from edgepack.measure.machines.transports.local import run_job, stream_job
from edgepack.measure.measurement import QUICK
from edgepack.model.checkpoint import load_checkpoint, load_tokenizer
from edgepack.model.evaluation import run_model
from edgepack.model.surgery import cut_heads, keep_layers
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.verify import verify
from edgepack.plan.formats import check_installed
from edgepack.plan.profile import Budget, load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Quantize
from edgepack.ship.generate import generate
from edgepack.ship.shipping import ship
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Features

pytestmark = pytest.mark.slow  # each needs the export of a decoder
TASK = task_named("text-generation")
UNEVEN = [[0, 1, 4, 5], [2, 3], []]  # of eight heads, two of which share keys and values: two pairs, one, and no attention
POSITIONS = 80


@pytest.fixture(autouse=True, scope="module")
def installed():
    try:
        check_installed("tflite")
    except EdgepackError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True, scope="module")
def few_signatures(installed):
    """One length of prompts, for each is a graph to convert."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgepack.export.tflite_decoder.PROMPTS", (16,))
        yield


def exported(folder, model, positions=POSITIONS):
    from edgepack.export.tflite_decoder import export_tflite_decoder, runnable_tflite_decoder
    from edgepack.export.tflite_export import MODEL_FILE

    folder.mkdir(exist_ok=True)
    export_tflite_decoder(model, positions, folder / MODEL_FILE)
    (folder / "runnable.json").write_text(json.dumps(runnable_tflite_decoder(model, TASK, positions, True).as_json()))
    return folder


def quantized(folder, target, texts=(), **settings):
    target.mkdir()
    quantize_tflite(folder, Quantize(why="", **settings), target, texts=texts)
    shutil.copyfile(folder / "runnable.json", target / "runnable.json")
    return target


def texts(*lengths, vocab=300):
    draw = np.random.default_rng(0)
    return [Features(draw.integers(5, vocab, length).tolist(), [0] * length, index) for index, length in enumerate(lengths)]


def furthest(folder, model, features):
    """The largest difference from torch of any token's likelihood: singly, padded, and token by token."""
    expected = [output[:, 0] for output in run_model(model, TASK, features, "")]
    ways = ({"batch": 1}, {"batch": 8}, {"at_once": 1})
    result = [[output[:, 0] for output in answer(folder, "litert", features, threads=1, exact=False, **way)] for way in ways]
    return max(difference(actual, truth) for outputs in result for actual, truth in zip(outputs, expected, strict=True))


def perplexity(folder, features):
    result = answer(folder, "litert", features, threads=1, exact=False)
    return float(np.exp(np.concatenate([output[:, 0] for output in result]).mean()))


@pytest.fixture(scope="module")
def model(stories):
    """A real Llama's first layers: uneven heads, a layer with a single key head, and one without attention."""
    result = load_checkpoint(stories)
    keep_layers(result, range(len(UNEVEN)))
    cut_heads(result, UNEVEN)
    return result


@pytest.fixture(scope="module")
def fp32(model, tmp_path_factory):
    return exported(tmp_path_factory.mktemp("decoder") / "fp32", model)


@pytest.fixture(scope="module")
def written(model):
    """What it writes after one token, and a prompt of more than two parts."""
    return greedy_in_torch(model, [1], 70)


def generated(folder, ids, count, **more):
    *tokens, result = stream_job(folder, "litert", generate_job(ids, count, **more))
    assert [each["token"] for each in tokens] == result["tokens"]
    return result


def test_every_token_is_as_likely_as_in_torch(fp32, model):
    assert furthest(fp32, model, texts(2, 15, 17, 40, POSITIONS)) < 1e-4


def test_prompts_of_any_length_are_continued_as_torch_does(fp32, written):
    for length in (1, 2, 17, 40):
        assert generated(fp32, written[:length], 30)["tokens"] == written[length : length + 30]


def test_a_text_ends_at_a_stop_token_and_where_the_cache_is_full(fp32, written, tmp_path):
    full = generated(fp32, written[: POSITIONS - 12], 100)
    assert full["ended_by"] == "positions" and len(full["tokens"]) == 13
    assert full["tokens"][: len(written) - POSITIONS + 12] == written[POSITIONS - 12 :]
    shutil.copytree(fp32, tmp_path / "pack")
    manifest = json.loads((fp32 / "runnable.json").read_text()) | {"stop_ids": [written[30]]}
    (tmp_path / "pack" / "runnable.json").write_text(json.dumps(manifest))
    first = written.index(written[30], 8)
    stopped = generated(tmp_path / "pack", written[:8], 60)
    assert stopped["ended_by"] == "stop" and stopped["tokens"] == written[8:first]


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (
            generate_job([5] * (POSITIONS + 1), 1),
            f"the prompt has {POSITIONS + 1} tokens, more than the {POSITIONS} that the file's cache holds",
        ),
        ({"kind": "decode", "threads": 1, "length": POSITIONS}, f"{POSITIONS + 1} tokens are more than the {POSITIONS} that the file's"),
        ({"kind": "answer", "threads": 1, "rows": [{"input_ids": [5] * (POSITIONS + 1)}]}, "longer than the file's cache, which holds 80"),
    ],
)
def test_what_the_cache_does_not_hold_is_refused_with_its_length(fp32, wanted, problem):
    with pytest.raises(EdgepackError, match=problem):
        run_job(fp32, "litert", wanted)


def test_the_second_start_finds_packed_weights_and_a_folder_that_cannot_be_written_needs_none(fp32, tmp_path):
    shutil.copytree(fp32, tmp_path / "pack", ignore=shutil.ignore_patterns(".weight-cache"))
    load = {"kind": "load", "cold": False, "threads": 1, "length": 16}
    first = run_job(tmp_path / "pack", "litert", load | {"first": True})["weight_cache_bytes"]
    assert first > 100_000 and run_job(tmp_path / "pack", "litert", load)["weight_cache_bytes"] == first
    shutil.rmtree(tmp_path / "pack" / ".weight-cache")
    (tmp_path / "pack" / ".weight-cache").touch()  # no folder can be made there
    assert run_job(tmp_path / "pack", "litert", load)["weight_cache_bytes"] == 0


@pytest.mark.parametrize("kind", ["prefill", "decode", "decode_memory", "ops"])
def test_the_jobs_of_a_measurement_run(fp32, kind):
    result = run_job(fp32, "litert", {"kind": kind, "threads": 1, "length": 40, "runs": 3, "warm_up_runs": 3, "seconds": 0})
    assert result[{"decode_memory": "running_mb", "ops": "ops"}.get(kind, "samples_ms")]


@pytest.mark.parametrize(
    ("settings", "share", "loss", "products"),
    [
        ({"precision": "int8"}, 0.4, 0.02, {"int8": 18, "float": 0}),
        ({"precision": "int4", "method": "blockwise"}, 0.35, 0.6, {"int8": 5, "float": 0, "int4": 13}),
    ],
)
def test_fewer_bits_are_small_stay_near_and_read_a_prompt_as_they_write(fp32, model, written, tmp_path, settings, share, loss, products):
    from edgepack.export.tflite_graph import all_weights
    from edgepack.quantize.matrix_products import count_matrix_products

    folder = quantized(fp32, tmp_path / "out", **settings)
    file, features = folder / "model.tflite", [Features(written, [0] * len(written), 0)]
    assert file.stat().st_size < share * (fp32 / "model.tflite").stat().st_size
    assert perplexity(folder, features) < (1 + loss) * perplexity(fp32, features)
    assert count_matrix_products(file) == products
    assert "BATCH_MATMUL" not in {weight.op for weight in all_weights(file)}
    check_decoding(compare_decoding(folder, "litert", features, 1, False), "quantized")


def test_four_bits_by_gptq_lose_less_in_a_file_of_the_same_size(stories, tmp_path):
    """On texts that the model writes itself; every signature reads what was rounded anew."""
    from edgepack.export.tflite_graph import all_weights

    model = load_checkpoint(stories)
    torch.manual_seed(0)
    with torch.no_grad():
        written = model.generate(torch.ones(24, 1, dtype=torch.long), do_sample=True, max_new_tokens=150, pad_token_id=0).tolist()
    features = [Features(ids, [0] * len(ids), index) for index, ids in enumerate(written)]
    fp32 = exported(tmp_path / "fp32", model, 160)
    alone = quantized(fp32, tmp_path / "alone", precision="int4", method="blockwise")
    by_texts = quantized(fp32, tmp_path / "texts", texts=features[:16], precision="int4", method="blockwise")
    exact, *lost = (perplexity(folder, features[16:]) for folder in (fp32, by_texts, alone))
    assert exact < lost[0] and lost[0] - exact < 0.75 * (lost[1] - exact)
    assert by_texts.joinpath("model.tflite").stat().st_size == alone.joinpath("model.tflite").stat().st_size
    assert [*all_weights(by_texts / "model.tflite")] == [*all_weights(alone / "model.tflite")]
    check_decoding(compare_decoding(by_texts, "litert", features[16:17], 1, False), "quantized")


def test_the_tied_table_is_stored_once(fp32, model, tmp_path):
    params = sum(parameter.numel() for parameter in model.parameters())
    graphs = 120_000
    assert (fp32 / "model.tflite").stat().st_size < 4 * params + graphs
    assert (quantized(fp32, tmp_path / "int8", precision="int8") / "model.tflite").stat().st_size < params + graphs
    assert graphs < params


def test_a_cap_on_logits_does_not_store_the_tied_table_twice(tmp_path):
    result = make_model(tmp_path / "model", "gemma2", "text-generation")
    result.resize_token_embeddings(6000, mean_resizing=False)
    params, table = sum(parameter.numel() for parameter in result.parameters()), result.get_input_embeddings().weight.numel()
    assert (exported(tmp_path / "out", result, 32) / "model.tflite").stat().st_size < 4 * (params + table / 2)


@pytest.mark.parametrize("family", DECODERS)
def test_every_family_is_the_same_model(tmp_path, family):
    """GPT-2's weights lie the other way round: of those the converter once took one for another."""
    result = make_model(tmp_path / "model", family, "text-generation")
    keep_layers(result, [0, 1])
    cut_heads(result, [range(4), []] if family == "gpt2" else [[2, 3], []])
    assert furthest(exported(tmp_path / "out", result, 32), result, texts(20, 32)) < 1e-4


def test_a_decoder_goes_all_the_way(tmp_path, stories, cache, written):
    """Built, gated, measured and verified; `generate` and the model card's lines write on."""
    tokenizer = load_tokenizer(stories)
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        (tmp_path / "data" / f"{split}.txt").write_text(tokenizer.decode(written, skip_special_tokens=True))
    recipe = Recipe(
        model=str(stories), data=str(tmp_path / "data"), student="same", prune_heads=0.0, precision="int8", format="tflite", max_length=200,
        budget=Budget(score_drop=50),  # a single text tells little
    )  # fmt: skip
    report = build(recipe, load_profile("phone"), tmp_path / "pack", cache, QUICK)
    manifest = read_manifest(tmp_path / "pack")
    assert manifest.format == "tflite" and manifest.positions == 512 and manifest.max_length == 200 and manifest.products["float"] == 0
    assert report.ladder[-1].details["prompt_agreement"] > 0.95 and report.ladder[-1].file_mb < 0.5 * report.ladder[-2].file_mb
    measured = report.measurements
    assert [row.length for row in measured.first_token] and measured.first_start.disk_mb > 0.1
    assert verify(tmp_path / "pack").golden_texts > 0
    result = generate(tmp_path / "pack", "Once upon a time", max_tokens=20)
    assert len(result.tokens) == 20 and result.runtime["name"] == "litert"
    with pytest.raises(EdgepackError, match="the file's cache holds 512") as error:
        generate(tmp_path / "pack", "once " * 600)
    assert "--max-length" in error.value.fix
    with pytest.raises(EdgepackError, match="android module writes no text from a TFLite file"):
        ship(tmp_path / "pack", "android", tmp_path / "module", name="stories", package="com.example.stories")
    with edgepack.load(tmp_path / "pack") as model:
        assert model("Once upon a time", max_tokens=20).tokens == result.tokens
    code = (tmp_path / "pack" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "pack", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 5


def test_litert_torchs_own_export_of_even_heads_gives_the_same_logits(tmp_path, stories, written):
    from ai_edge_litert.interpreter import Interpreter

    even = load_checkpoint(stories)
    keep_layers(even, [0, 1])
    even.save_pretrained(tmp_path / "model")
    for path in stories.glob("token*"):
        shutil.copy(path, tmp_path / "model")
    command = [sys.executable, Path(__file__).parent.with_name("litert_own.py"), tmp_path / "model", tmp_path / "out", "16", str(POSITIONS)]
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    theirs = _decode(Interpreter(str(next((tmp_path / "out").rglob("model.tflite")))), ("tokens", "input_pos"), written[:24])
    ours = _decode(Interpreter(str(exported(tmp_path / "ours", even) / "model.tflite")), ("input_ids", "position"), written[:24])
    assert np.abs(theirs - ours).max() < 2e-4


def _decode(interpreter, names, ids):
    """Logits of each token, one after the other; the cache is handed on by hand."""
    run = interpreter.get_signature_runner("decode")
    shapes = {name: each["shape"] for name, each in run.get_input_details().items()}
    cache = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if name not in (*names, "mask")}
    logits = []
    for at, token in enumerate(ids):
        feeds = {names[0]: np.array([[token]], np.int32), names[1]: np.array([at], np.int32), **cache}
        if "mask" in shapes:
            feeds["mask"] = np.where(np.arange(POSITIONS) <= at, 0, -1e4).astype(np.float32)[None, None, None]
        result = run(**feeds)
        cache = {name: result[name] for name in cache}
        logits.append(result["logits"][0, 0])
    return np.stack(logits)
