"""A decoder whose matrices are two products writes what transformers' model with the same products writes, in ONNX and in TFLite."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from models_shared import greedy_in_torch
from small import CONFIGS, DECODERS
from tflite_quantizing import quantize_tflite
from transformers import AutoModelForCausalLM

from edgepack.compress.sparsity import linears
from edgepack.core.errors import EdgepackError
from edgepack.export.file_names import MODEL_FILE, SCORE_FILE
from edgepack.export.onnx_decoder import export_decoder, runnable_decoder
from edgepack.measure.answers import answer, difference
from edgepack.model.checkpoint import load_checkpoint, load_tokenizer
from edgepack.model.evaluation import run_model
from edgepack.model.factored import put_factors
from edgepack.model.structure import inputs_of, outputs_of
from edgepack.model.tiny_model import enlarged
from edgepack.pack.manifest import read_manifest
from edgepack.pack.runnable import read_runnable
from edgepack.pipeline.build import build, plan_build
from edgepack.pipeline.verify import verify
from edgepack.plan.factors import Factor, break_even_rank
from edgepack.plan.formats import check_installed
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.matrix_products import count_matrix_products
from edgepack.quantize.onnx_decoder_graph import feeds_for
from edgepack.quantize.onnx_layer_scan import scan_layers
from edgepack.quantize.schemes.onnx_blockwise import quantize_decoder
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Features

TASK, VOCAB, RANK = task_named("text-generation"), 320, 24
PROMPT, TOKENS = [2, 40, 77, 130], 12
HALF_TURNED = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}


def factored(family, kind="svd", parts=("",), **more):
    """A tiny random decoder of two layers, as transformers has it, but for two products in place of each matrix whose name ends so."""
    torch.manual_seed(0)
    shape = {"n_layer": 2} if family == "gpt2" else {"num_hidden_layers": 2}
    kinds = {"layer_types": types[:2]} if (types := getattr(CONFIGS[family](), "layer_types", None)) else {}
    plain = {"attn_implementation": "eager"} if family == "gemma2" else {}
    model = AutoModelForCausalLM.from_config(CONFIGS[family](vocab_size=VOCAB, **shape | kinds | more), dtype=torch.float32, **plain)
    names = {module: name for name, module in model.named_modules()}
    cut = [module for module in linears(model) if names[module].endswith(parts)]
    put_factors(
        model, [Factor(path=names[module], kind=kind, rows=outputs_of(module), columns=inputs_of(module), rank=RANK) for module in cut]
    )
    assert len(linears(model)) == len(names.keys() & set(linears(model))) + 2 * len(cut)
    return enlarged(model).eval()


def features(*lengths):
    draw = np.random.default_rng(0)
    return [Features(draw.integers(5, VOCAB, length).tolist(), [0] * length, index) for index, length in enumerate(lengths)]


def in_onnx(model, folder):
    folder.mkdir()
    export_decoder(model, Export(opset=20, why=""), folder)
    (folder / "runnable.json").write_text(json.dumps(runnable_decoder(model, TASK).as_json()))
    return folder


def in_tflite(model, folder, positions=48):
    from edgepack.export.tflite_decoder import export_tflite_decoder, runnable_tflite_decoder

    folder.mkdir()
    export_tflite_decoder(model, positions, folder / "model.tflite")
    (folder / "runnable.json").write_text(json.dumps(runnable_tflite_decoder(model, TASK, positions, True).as_json()))
    return folder


def furthest(folder, runtime, model, texts):
    """The largest difference from torch of any token's likelihood: singly, padded, and token by token with the cache."""
    expected = [output[:, 0] for output in run_model(model, TASK, texts, "")]
    ways = [answer(folder, runtime, texts, threads=1, exact=False, **way) for way in ({"batch": 1}, {"batch": 8}, {"at_once": 1})]
    return max(difference(actual[:, 0], truth) for outputs in ways for actual, truth in zip(outputs, expected, strict=True))


def quantized(fp32, target, texts=(), **settings):
    target.mkdir()
    quantize_decoder(fp32, Quantize(method="blockwise", why="", **settings), target, texts, read_runnable(fp32).cache)
    shutil.copyfile(fp32 / "runnable.json", target / "runnable.json")
    return target


@pytest.fixture
def litert():
    try:
        check_installed("tflite")
    except EdgepackError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgepack.export.tflite_decoder.PROMPTS", (16,))
        yield


@pytest.mark.parametrize(
    ("family", "kind", "parts", "more"),
    [
        ("llama", "svd", ("",), {}),
        ("llama", "tensor", ("",), {}),
        ("llama", "svd", ("v_proj", "up_proj"), {}),
        ("gpt2", "svd", ("",), {}),
        ("gpt2", "tensor", ("c_attn",), {}),
        ("phi3", "svd", ("",), HALF_TURNED),  # its one matrix is two products, and what they give is turned outside of attention
        *(pytest.param(family, "svd", ("",), {}, marks=pytest.mark.slow) for family in DECODERS if family not in ("llama", "gpt2")),
    ],
)
def test_the_onnx_file_gives_transformers_logits(tmp_path, family, kind, parts, more):
    model = factored(family, kind, parts, **more)
    folder = in_onnx(model, tmp_path / "out")
    (text,) = features(40)
    session = onnxruntime.InferenceSession(folder / SCORE_FILE, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], feeds_for(session, text, read_runnable(folder).cache))
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([text.ids])).logits.numpy()
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
    assert furthest(folder, "onnxruntime", model, features(2, 15, 40)) < 1e-4
    products = count_matrix_products(folder / MODEL_FILE)["float"]
    apart = 2 * len([module for module in model.modules() if hasattr(module, "factor")])
    assert products >= apart + 1


@pytest.mark.parametrize("kind", ["svd", "tensor"])
def test_both_products_are_stored_in_blocks(tmp_path, kind):
    """GPTQ has the inputs of each, a scan for sensitive layers sees both, and the bytes are those of the smaller matrices."""
    model = factored("llama", kind)
    fp32, texts = in_onnx(model, tmp_path / "fp32"), features(40, 40, 40)
    apart = len(linears(model))
    for name, settings, calibration in (("int8", {}, ()), ("int4", {"asymmetric": True}, ()), ("gptq", {}, texts)):
        precision = "int8" if name == "int8" else "int4"
        folder = quantized(fp32, tmp_path / name, calibration, precision=precision, **settings)
        counts = count_matrix_products(folder / MODEL_FILE)
        assert counts == {"int8": apart + 1, "float": 0} if name == "int8" else {"int8": 1, "int4": apart, "float": 0}
        graph = onnx.load(folder / MODEL_FILE, load_external_data=False).graph
        assert not any(node.op_type in ("MatMul", "FusedMatMul", "Gemm") for node in graph.node)
        assert furthest(folder, "onnxruntime", model, texts) < (0.2 if name == "int8" else 2.5)
    scanned = scan_layers(fp32, Quantize(precision="int4", method="blockwise", why=""), texts, read_runnable(fp32).cache)
    assert sorted(len(layer.weights) for layer in scanned) == [apart // 2, apart // 2]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "kind"), [("llama", "svd"), ("llama", "tensor"), ("gpt2", "svd"), ("phi3", "svd"), ("gemma2", "svd")])
def test_the_tflite_file_gives_transformers_answers_and_takes_8_and_4_bits(tmp_path, litert, family, kind):
    from edgepack.export.tflite_graph import all_weights

    model, texts = factored(family, kind), features(2, 15, 40)
    fp32, apart = in_tflite(model, tmp_path / "fp32"), len(linears(model))
    assert furthest(fp32, "litert", model, texts) < 1e-4
    for name, settings in (("int8", {"precision": "int8"}), ("int4", {"precision": "int4", "method": "blockwise"})):
        folder = tmp_path / name
        folder.mkdir()
        quantize_tflite(fp32, Quantize(why="", **settings), folder, texts=texts if name == "int4" else ())
        shutil.copyfile(fp32 / "runnable.json", folder / "runnable.json")
        counts = count_matrix_products(folder / "model.tflite")
        assert counts["float"] == 0 and sum(counts.values()) == apart + 1 and (name == "int8" or counts["int4"] >= apart / 2)
        assert "BATCH_MATMUL" not in {weight.op for weight in all_weights(folder / "model.tflite")}
        assert furthest(folder, "litert", model, texts) < (0.3 if name == "int8" else 3)


@pytest.mark.slow
def test_a_model_of_two_products_writes_what_torch_writes(tmp_path):
    model = factored("llama")
    session = onnxruntime.InferenceSession(in_onnx(model, tmp_path / "out") / MODEL_FILE, providers=["CPUExecutionProvider"])
    sizes = {value.name: value.shape for value in session.get_inputs() if value.name.startswith("past")}
    cache = {name: np.zeros((1, heads, 0, size), np.float32) for name, (_, heads, _, size) in sizes.items()}
    ids, fresh = list(PROMPT), list(PROMPT)
    for _ in range(TOKENS):
        logits, *present = session.run(None, {"input_ids": np.array([fresh]), "attention_mask": np.ones((1, len(ids)), np.int64)} | cache)
        cache, fresh = dict(zip(cache, present, strict=True)), [int(logits[0, 0].argmax())]
        ids += fresh
    assert ids == greedy_in_torch(model, PROMPT, TOKENS)


@pytest.fixture(scope="module")
def written(stories, tmp_path_factory):
    """Texts of the model's own drawing."""
    model, tokenizer, data = load_checkpoint(stories), load_tokenizer(stories), tmp_path_factory.mktemp("written")
    torch.manual_seed(0)
    with torch.no_grad():
        ids = model.generate(torch.ones(48, 1, dtype=torch.long), do_sample=True, top_k=40, max_new_tokens=120, pad_token_id=0).tolist()
    for split, part in {"train": ids[:32], "dev": ids[32:40], "test": ids[40:]}.items():
        (data / f"{split}.txt").write_text("\n".join(" ".join(tokenizer.decode(text, skip_special_tokens=True).split()) for text in part))
    return data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shipped", "kind", "steps"),
    [(("onnx", "int8"), "svd", 12), (("onnx", "int4"), "svd", 0), (("onnx", "int8"), "tensor", 0), (("tflite", "int8"), "svd", 0)],
)
def test_a_build_ships_two_products_for_one(tmp_path, stories, written, cache, litert, shipped, kind, steps):
    """What the plan says of parameters and megabytes is what the file has; a distillation after the cut comes nearer to the teacher."""
    stated = {"model": str(stories), "data": str(written), "student": "same", "prune_heads": 0.0, "factorize": 0.3, "factorize_by": kind}
    stated |= dict(zip(("format", "precision"), shipped, strict=True)) | {"budget": {"score_drop": 1000}, "max_length": 128}
    recipe = Recipe.read(stated | {"training": {"training_steps": steps, "learning_rate": 1e-3} if steps else {"epochs": 0}}, "the test")
    profile = load_profile("phone" if "tflite" in shipped else "raspberry-pi")
    planned = plan_build(recipe, profile)
    build(recipe, profile, tmp_path / "pack", cache, None)
    manifest = read_manifest(tmp_path / "pack")
    row = next(row for row in manifest.ladder if row.stage == "factorize")
    cut = [matrix for matrix in row.factors if matrix.rank is not None]
    assert cut and all(matrix.rank < break_even_rank(matrix.rows, matrix.columns) and matrix.layer is not None for matrix in cut)
    assert row.params < manifest.ladder[0].params and planned.student.params == pytest.approx(row.params, rel=0.06)
    unmade_mb = 5 * 0.055 / 3 if "tflite" in shipped else 0.0  # the fixture has two of a layer's three graphs made
    assert planned.predictions.file_mb - unmade_mb == pytest.approx(manifest.file_mb, rel=0.15)
    assert manifest.products["float"] == 0
    assert verify(tmp_path / "pack").golden_texts > 0
    if steps:
        trained = next(row for row in manifest.ladder if row.stage == "distill")
        assert trained.score.value < row.score.value
    assert manifest.ladder[-1].score.value < 1.2 * manifest.ladder[-2].score.value
