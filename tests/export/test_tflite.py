"""A TFLite file, run by the real runtime in a process of its own, computes what torch computes, whatever a text's length."""

import json
import shutil
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models_shared import fitted, rows_for
from small import CLASSES, ENCODERS, make_model
from tflite_quantizing import NO_TEXTS, quantize_tflite

from edgepack.core.errors import EdgepackError
from edgepack.measure.answers import answer, difference
from edgepack.measure.machines.transports.local import run_job, versions_beside
from edgepack.model.buckets import MOST_BUCKETS, choose_buckets
from edgepack.model.checkpoint import load_tokenizer
from edgepack.model.evaluation import run_model
from edgepack.model.structure import by_ffn, layers_of
from edgepack.model.surgery import cut_ffn, cut_heads, keep_layers
from edgepack.pack.runnable import Runnable
from edgepack.plan.architectures import FAMILIES
from edgepack.plan.formats import check_installed
from edgepack.plan.runtimes.litert import FACTS
from edgepack.plan.steps import Quantize
from edgepack.quantize.schemes import candidates
from edgepack.tasks import task_named


@pytest.fixture(autouse=True, scope="module")
def installed():
    try:
        check_installed("tflite")
    except EdgepackError as error:
        pytest.skip(str(error))


def exported(folder, model, task, buckets):
    """Writes a folder that a target can run; returns it."""
    from edgepack.export.tflite_export import MODEL_FILE, export_tflite, runnable_tflite

    folder.mkdir(exist_ok=True)
    export_tflite(model, task, buckets, folder / MODEL_FILE)
    (folder / "runnable.json").write_text(json.dumps(runnable_tflite(model, task, buckets).as_json()))
    return folder


def uneven(folder, family, name):
    """Two layers, one with three heads and one without any, FFNs of odd widths."""
    model = make_model(folder, family, name)
    keep_layers(model, [0, 3])
    cut_heads(model, fitted(model, [[0, 1, 3], []]))
    cut_ffn(model, [range(width) for width in by_ffn(model, [99, 50][: len(layers_of(model))])])
    return model


COMBINATIONS = [
    *((family, "text-classification") for family in ENCODERS),
    *(("bert", task) for task in CLASSES if task not in ("text-classification", "text-generation")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), COMBINATIONS, ids=["-".join(pair) for pair in COMBINATIONS])
def test_every_encoder_and_task_exports_exactly(tmp_path, family, name):
    from edgepack.export.tflite_graph import all_weights, foreign_ops, ops_of

    task = task_named(name)
    model = uneven(tmp_path / "model", family, name)
    features = task.encode(load_tokenizer(tmp_path / "model"), rows_for(name), 96)
    expected = run_model(model, task, features, "")
    folder = exported(tmp_path / "out", model, task, (96,))
    for batch in (1, len(features)):
        result = answer(folder, "litert", features, threads=1, exact=True, batch=batch)
        assert max(difference(actual, truth) for actual, truth in zip(result, expected, strict=True)) < 1e-4
    # MPNet's table of distances is read once for all layers; DeBERTa reads two in each layer that has heads, here one.
    table_of_distances = {"deberta-v2": 2}.get(family, int(bool(FAMILIES[family].head_bias)))
    assert foreign_ops(folder / "model.tflite") == [] and ops_of(folder / "model.tflite")["GATHER_ND"] <= table_of_distances
    # int8 leaves such products in float: only DeBERTa has them, where queries and keys meet its projected distances
    assert ("BATCH_MATMUL" in {weight.op for weight in all_weights(folder / "model.tflite")}) == (family == "deberta-v2")


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    """A model that gives an output for each token, in torch and as a file of two lengths."""
    task, folder = task_named("token-classification"), tmp_path_factory.mktemp("tagger")
    model = uneven(folder / "model", "bert", task.name)
    features = task.encode(load_tokenizer(folder / "model"), rows_for(task.name), 64)
    return exported(folder / "out", model, task, (16, 64)), features, run_model(model, task, features, "")


def test_texts_of_any_length_take_the_shortest_signature_that_holds_them(tagger):
    folder, features, expected = tagger
    assert {len(item.ids) > 16 for item in features} == {True, False}
    for batch in (1, len(features)):
        result = answer(folder, "litert", features, threads=1, exact=True, batch=batch)
        assert [output.shape for output in result] == [output.shape for output in expected]
        assert max(difference(actual, truth) for actual, truth in zip(result, expected, strict=True)) < 1e-4


def test_a_text_longer_than_every_length_is_refused_with_the_lengths(tagger):
    row = {"input_ids": [5] * 65, "token_type_ids": [0] * 65}
    with pytest.raises(EdgepackError, match="a text of 65 tokens is longer than every length of the file: 16, 64"):
        run_job(tagger[0], "litert", {"kind": "answer", "threads": 1, "rows": [row]})


def test_a_weight_cache_is_left_by_the_first_start_and_changes_no_answer(tagger, tmp_path):
    folder, features, _ = tagger
    shutil.copytree(folder, tmp_path / "pack")
    manifest = json.loads((folder / "runnable.json").read_text()) | {"weight_cache": True}
    (tmp_path / "pack" / "runnable.json").write_text(json.dumps(manifest))
    job = {"kind": "load", "cold": True, "threads": 1, "length": 16}
    assert run_job(folder, "litert", job)["weight_cache_bytes"] == 0
    first = run_job(tmp_path / "pack", "litert", job | {"first": True})["weight_cache_bytes"]
    assert first > 10_000 and run_job(tmp_path / "pack", "litert", job)["weight_cache_bytes"] == first
    remaining, plain = (answer(place, "litert", features, threads=1, exact=True) for place in (tmp_path / "pack", folder))
    assert max(difference(actual, other) for actual, other in zip(remaining, plain, strict=True)) < 1e-6


def test_a_damaged_weight_cache_or_one_of_another_model_is_made_anew_and_never_used(tagger, tmp_path):
    folder, features, _ = tagger
    pack = shutil.copytree(folder, tmp_path / "pack")
    (pack / "runnable.json").write_text(json.dumps(json.loads((folder / "runnable.json").read_text()) | {"weight_cache": True}))
    right = answer(pack, "litert", features[:3], threads=1, exact=True)
    packed = pack / ".weight-cache/packed"
    (remaining,), (seal,) = packed.glob("*.xnnpack"), packed.glob("*.seal")
    whole = remaining.read_bytes()
    for damage in (lambda: remaining.write_bytes(whole[:2000] + bytes(len(whole) - 4000) + whole[-2000:]), seal.unlink):
        damage()
        again = answer(pack, "litert", features[:3], threads=1, exact=True)
        assert max(difference(actual, other) for actual, other in zip(again, right, strict=True)) < 1e-6
        assert remaining.read_bytes() == whole and seal.is_file()
    (pack / "model.tflite").write_bytes((pack / "model.tflite").read_bytes() + b"\0")
    answer(pack, "litert", features[:1], threads=1, exact=True)
    assert not remaining.exists() and len(list(packed.glob("*.xnnpack"))) == 1


def test_ops_are_timed_one_by_one_with_their_share_in_integers(tagger, tmp_path):

    quantize_tflite(tagger[0], Quantize(precision="int8", why=""), tmp_path)
    (tmp_path / "runnable.json").write_text((tagger[0] / "runnable.json").read_text())
    for folder, in_integers in ((tagger[0], False), (tmp_path, True)):
        ops = run_job(folder, "litert", {"kind": "ops", "threads": 1, "length": 40, "runs": 10})["ops"]
        assert len(ops) > 30 and sum(each["ms"] for each in ops) > 0
        products = [each for each in ops if each["op"].startswith("Fully Connected")]
        assert products and all(each["integers"] is in_integers and each["inside"] for each in products)
        assert any(each["op"].startswith("EMBEDDING_LOOKUP") and not each["inside"] for each in ops)


@pytest.mark.parametrize("kind", ["load", "latency", "memory"])
def test_the_jobs_of_a_measurement_run(tagger, kind):
    job = {"kind": kind, "cold": True, "threads": 1, "length": 16, "runs": 10, "seconds": 0}
    result = run_job(tagger[0], "litert", job)
    assert result["runtime"]["name"] == "litert"
    assert {"load": "session_ms", "latency": "samples_ms", "memory": "running_mb"}[kind] in result


def test_inputs_are_int32_by_name_and_weights_are_stored_once(tagger):
    from ai_edge_litert.interpreter import Interpreter

    from edgepack.export.tflite_graph import weights_of

    file = tagger[0] / "model.tflite"
    interpreter = Interpreter(str(file))
    signatures = interpreter.get_signature_list()
    assert set(signatures) == {"s16", "s64"}
    for length in (16, 64):
        details = interpreter.get_signature_runner(f"s{length}").get_input_details()
        assert {name: (each["dtype"], tuple(each["shape"])) for name, each in details.items()} == dict.fromkeys(
            ("input_ids", "attention_mask", "token_type_ids"), (np.int32, (1, length))
        )
    weights = sum(4 * np.prod(weight.shape) for weight in weights_of(file))
    graphs = 40_000 * len(signatures)
    assert file.stat().st_size < weights + graphs, "weights are shared"
    assert weights > graphs


@pytest.mark.parametrize(
    ("settings", "recipe", "types", "least"),
    [
        ({"precision": "int8"}, "int8, a scale for a channel", {"INT8"}, 0.99),
        ({"precision": "int8", "scales_apart": True}, "int8 with scales apart, a scale for a channel", {"INT8"}, 0.99),
        ({"precision": "int4", "method": "blockwise"}, "int4, a scale for 32 weights, embeddings in int8", {"INT4", "INT8"}, 0.9),
    ],
)
def test_a_quantized_file_answers_alike(tagger, tmp_path, settings, recipe, types, least):

    from edgepack.export.tflite_graph import weights_of

    folder, features, expected = tagger
    step = Quantize(**settings, why="")
    assert next(candidates(step, folder, NO_TEXTS)).recipe == recipe
    quantize_tflite(folder, step, tmp_path)
    (tmp_path / "runnable.json").write_text((folder / "runnable.json").read_text())
    result = answer(tmp_path, "litert", features, threads=1, exact=True)
    assert cosine(flat(result), flat(expected)) > least
    weights = [weight for weight in weights_of(tmp_path / "model.tflite") if weight.op in ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")]
    assert types <= {weight.type for weight in weights}
    if settings.get("scales_apart"):
        assert {weight.scales for weight in weights if weight.type == "INT8"} == {1}


def quantized(folder, place, texts=(), **settings):

    place.mkdir()
    quantize_tflite(folder, Quantize(**{"precision": "int8", "why": "", **settings}), place, texts=texts)
    (place / "runnable.json").write_text((folder / "runnable.json").read_text())
    return place


def test_four_bits_rounded_by_what_products_read_answer_nearer(tagger, tmp_path, monkeypatch):
    folder, features, expected = tagger
    settings = {"precision": "int4", "method": "blockwise"}
    places = quantized(folder, tmp_path / "alone", **settings), quantized(folder, tmp_path / "texts", texts=features, **settings)
    errors = [np.square(flat(answer(place, "litert", features, threads=1, exact=True)) - flat(expected)).mean() for place in places]
    assert errors[1] < 0.8 * errors[0]
    monkeypatch.setattr("edgepack.quantize.gptq._MOMENTS_MB", 1e-6)  # as of a large model: each product by itself
    in_parts = quantized(folder, tmp_path / "parts", texts=features, **settings)
    assert (in_parts / "model.tflite").read_bytes() == (places[1] / "model.tflite").read_bytes()


def test_a_file_that_tflite_runtime_gets_wrong_never_ships_for_it(tagger, tmp_path):
    from edgepack.export.tflite_file import edit_model
    from edgepack.quantize.tflite_scales import refuse_for_old_runtime

    file = quantized(tagger[0], tmp_path / "channels") / "model.tflite"
    with pytest.raises(EdgepackError, match=r"FULLY_CONNECTED|EMBEDDING_LOOKUP") as error:
        refuse_for_old_runtime(file)
    assert "computes wrong values" in error.value.problem
    file = quantized(tagger[0], tmp_path / "apart", scales_apart=True) / "model.tflite"
    refuse_for_old_runtime(file)

    def without_zero_points(model):
        for operator in model.subgraphs[1].operators:
            if hasattr(operator.builtinOptions, "asymmetricQuantizeInputs"):
                operator.builtinOptions.asymmetricQuantizeInputs = False

    edit_model(file, without_zero_points)
    with pytest.raises(EdgepackError, match="does not ask for a zero point"):
        refuse_for_old_runtime(file)


def test_scales_apart_from_their_matrix_change_no_answer_and_add_no_bytes(tagger, tmp_path):
    folder, features, expected = tagger
    within, apart = quantized(folder, tmp_path / "within"), quantized(folder, tmp_path / "apart", scales_apart=True)
    truth = flat(expected)
    each, other = (flat(answer(place, "litert", features, threads=1, exact=True)) for place in (within, apart))
    # A kernel of another processor may round one activation to the next step: far less than what int8 costs as a whole.
    assert np.abs(each - other).mean() < np.abs(each - truth).mean() / 4
    scales = 4 * 2_000  # of the rows of the tiny tables, which weigh less than the ops that apply them
    assert (apart / "model.tflite").stat().st_size < (within / "model.tflite").stat().st_size + 20_000 + scales


@pytest.mark.slow
def test_tflite_runtime_itself_answers_as_litert_does_and_nonsense_without_the_mend(tagger, tmp_path):
    """The old release runs in a folder of its own, fetched by pip."""
    if not versions_beside("tflite-runtime"):
        pytest.skip("tflite-runtime 2.14 has no wheel for this Python, or pip reaches no index")
    folder, features, expected = tagger
    within, apart = quantized(folder, tmp_path / "within"), quantized(folder, tmp_path / "apart", scales_apart=True)
    truth = flat(expected)
    here, there = (flat(answer(apart, runtime, features, threads=1, exact=True)) for runtime in ("litert", "tflite-runtime"))
    wrong = flat(answer(within, "tflite-runtime", features, threads=1, exact=True))
    assert cosine(here, truth) > 0.99 and cosine(there, truth) > 0.99
    assert np.abs(wrong - truth).max() > 10 * np.abs(there - truth).max()
    assert np.abs(there - here).mean() < np.abs(here - truth).mean() / 2, (
        "what its kernels round otherwise is less than what rounding costs"
    )
    job = {"kind": "answer", "threads": 1, "rows": [{"input_ids": [2, 3], "token_type_ids": [0, 0]}]}
    assert run_job(apart, "tflite-runtime", job)["runtime"]["name"] == "tflite-runtime"


def flat(outputs):
    return np.concatenate([output.ravel() for output in outputs])


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_the_file_says_what_it_is_and_still_answers(tagger, tmp_path):
    """Read back from the bytes: the quantizer's weights survive the writing, and a zip tool opens the file."""

    from edgepack.export.tflite_metadata import Facts, read_metadata, write_metadata

    folder, features, _ = tagger
    quantize_tflite(folder, Quantize(precision="int8", why=""), tmp_path)
    (tmp_path / "runnable.json").write_text((folder / "runnable.json").read_text())
    before = answer(tmp_path, "litert", features, threads=1, exact=True)
    assert read_metadata(tmp_path / "model.tflite") == {}
    facts = Facts("tagger", "tags words", "1", "MIT", ["O", "B-PER", "naïve"], ["[PAD]", "the", "##s"], {"logits": "logits of each token"})
    write_metadata(tmp_path / "model.tflite", facts)
    result = read_metadata(tmp_path / "model.tflite")
    assert [result[name] for name in ("name", "description", "version", "licence")] == ["tagger", "tags words", "1", "MIT"]
    assert result["files"] == {"labels.txt": list(facts.labels), "vocab.txt": list(facts.pieces)}
    assert [graph["name"] for graph in result["graphs"]] == ["s16", "s64"]
    for graph in result["graphs"]:
        assert set(graph["inputs"]) == {"input_ids", "attention_mask", "token_type_ids"} and graph["outputs"] == facts.outputs
        assert graph["files"] == ["labels.txt", "vocab.txt"]
    after = answer(tmp_path, "litert", features, threads=1, exact=True)
    assert all((actual == other).all() for actual, other in zip(after, before, strict=True))


def test_tensors_are_named_by_their_module_and_nothing_tells_of_this_machine(tagger):
    from edgepack.export.tflite_graph import weights_of

    names = [weight.scope for weight in weights_of(tagger[0] / "model.tflite") if weight.op == "FULLY_CONNECTED"]
    assert any(name.startswith("s16/bert.encoder.0.attention.self.key") for name in names)
    data = (tagger[0] / "model.tflite").read_bytes()
    assert b"site-packages" not in data and b"modeling_" not in data and str(tagger[0]).encode() not in data


def test_what_is_not_installed_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr("edgepack.plan.runtime.find_spec", lambda name: None)
    with pytest.raises(EdgepackError, match=next(iter(FACTS.builders))) as error:
        check_installed("tflite")
    assert "pip install 'edgepack[tflite]'" in error.value.fix
    check_installed("onnx")


LENGTHS = st.lists(st.integers(1, 700), max_size=60)


@given(LENGTHS, st.integers(8, 512), st.integers(1, 512))
def test_lengths_are_few_rise_and_hold_every_text(lengths, longest, headline):
    result = choose_buckets(lengths, longest, headline)
    assert 1 <= len(result) <= MOST_BUCKETS and list(result) == sorted(set(result))
    assert min(headline, longest) in result and result[-1] <= longest
    assert all(min(length, longest) <= result[-1] for length in lengths)
    for shorter, longer in pairwise(result):
        assert longer <= max(16, 2 * shorter + 8), "a text that is a token too long for one length is padded to about twice its tokens"
    assert result[0] <= max(16, min(8, longest))


def test_lengths_follow_the_data():
    texts = [10] * 500 + [30] * 300 + [90] * 20
    assert choose_buckets(texts, 512, 128) == (16, 32, 48, 96, 128)
    assert choose_buckets([], 512, 128) == (16, 32, 64, 128, 256, 512)
    for lengths in ([], [12, 40, 8000]):  # a model of long texts has no more graphs than others
        assert len(choose_buckets(lengths, 8192, 100)) == MOST_BUCKETS and choose_buckets(lengths, 8192, 100)[-1] >= 8000
    padded = Counter(next(end for end in choose_buckets(texts, 512, 128) if end >= length) for length in texts)
    assert padded == {16: 500, 32: 300, 96: 20}


@given(st.lists(st.integers(16, 512), min_size=200, max_size=200))
def test_texts_of_the_data_are_padded_to_at_most_a_third_more_tokens(lengths):
    ends = choose_buckets(lengths, 512, 128)
    assert sum(next(end for end in ends if end >= length) for length in lengths) <= 1.35 * sum(lengths)


def test_a_pack_of_either_format_reads_back():
    common = {"task": "t", "inputs": ["input_ids"], "outputs": ["logits"], "per_token": False, "pad_id": 0, "vocab": 9}
    assert Runnable.read({**common, "model": "model.tflite", "buckets": [8, 16]}, "x").buckets == (8, 16)
