"""A decoder's files write what torch writes, token by token; blocks of 8 and 4 bits stay near it, and what breaks a prompt is caught."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from models_shared import greedy_in_torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from small import CONFIGS, DECODERS, make_data, make_model, make_tokenizer
from transformers import AutoModelForCausalLM

from edgepack.core.errors import EdgepackError
from edgepack.export.file_names import DATA_FILE, MODEL_FILE, SCORE_FILE
from edgepack.export.onnx_decoder import export_decoder, positions_of, runnable_decoder
from edgepack.measure.answers import answer
from edgepack.measure.decoding import Decoding, check_decoding, compare_decoding
from edgepack.measure.measurement import QUICK
from edgepack.model.checkpoint import load_checkpoint
from edgepack.model.structure import count_params
from edgepack.model.surgery import cut_heads
from edgepack.model.tiny_model import enlarged
from edgepack.pack.manifest import read_manifest
from edgepack.pack.runnable import CacheLayer
from edgepack.pipeline.build import build
from edgepack.pipeline.verify import verify
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.steps import Export, Quantize
from edgepack.quantize.matrix_products import count_matrix_products
from edgepack.quantize.onnx_layer_scan import scan_layers
from edgepack.quantize.schemes.onnx_blockwise import quantize_decoder
from edgepack.tasks import task_named
from edgepack.tasks.common.task import Features

TASK = task_named("text-generation")
UNEVEN = [[0, 1, 4, 5], [2, 3], [], range(8), range(2, 8)]  # of eight heads, two of which share keys and values
TOKENS = 40


def exported(folder, model):
    folder.mkdir()
    export_decoder(model, Export(opset=20, why=""), folder)
    (folder / "runnable.json").write_text(json.dumps(runnable_decoder(model, TASK).as_json()))
    return folder


@pytest.fixture(scope="module")
def model(shared):
    return load_checkpoint(shared / "models" / "stories260k")


@pytest.fixture(scope="module")
def fp32(model, tmp_path_factory):
    return exported(tmp_path_factory.mktemp("decoder") / "fp32", model)


@pytest.fixture(scope="module")
def stories(model):
    """24 texts of the model's own, up to 120 tokens: the first eight judge, the others calibrate."""
    torch.manual_seed(0)
    start = torch.ones(24, 1, dtype=torch.long)
    with torch.no_grad():
        ids = model.generate(start, attention_mask=start, max_new_tokens=120, do_sample=True, top_k=40, eos_token_id=None, pad_token_id=0)
    texts = [text[: text.index(0)] if 0 in text else text for text in ids.tolist()]
    return [Features(text, [0] * len(text), index) for index, text in enumerate(texts)]


def cache_of(fp32):
    return [CacheLayer(**each) for each in json.loads((fp32 / "runnable.json").read_text())["cache"]]


def quantized(fp32, target, texts=(), wide=(), **more):
    target.mkdir()
    quantize_decoder(fp32, Quantize(**({"method": "blockwise", "why": ""} | more)), target, texts, cache_of(fp32), wide)
    shutil.copyfile(fp32 / "runnable.json", target / "runnable.json")
    return target


def perplexity(folder, texts):
    result = answer(folder, "onnxruntime", texts, threads=1, exact=False)
    return float(np.exp(np.concatenate([output[:, 0] for output in result]).mean()))


def file_bytes(folder):
    return sum(path.stat().st_size for path in folder.glob(f"{MODEL_FILE}*"))


def greedy(folder, prompt, count, room=0):
    """What an app does: the prompt at once, then each token with the cache of those before it, in MODEL_FILE.

    room: tokens that the cache has room for from the start; the mask alone says how many there are.
    """
    session = onnxruntime.InferenceSession(folder / MODEL_FILE, providers=["CPUExecutionProvider"])
    sizes = {value.name: value.shape for value in session.get_inputs() if value.name.startswith("past")}
    cache = {name: np.zeros((1, heads, room, size), np.float32) for name, (_, heads, _, size) in sizes.items()}
    ids, fresh = list(prompt), list(prompt)
    for _ in range(count):
        feeds = {"input_ids": np.array([fresh]), "attention_mask": np.ones((1, len(ids)), np.int64)} | cache
        logits, *present = session.run(None, feeds)
        assert logits.shape[:2] == (1, 1)
        assert room in (0, present[0].shape[2])
        cache, fresh = dict(zip(cache, present, strict=True)), [int(logits[0, 0].argmax())]
        ids += fresh
    return ids


def test_fp32_writes_what_torch_writes(fp32, model):
    for prompt in ([1], [1, 403, 407, 261, 378]):
        for room in (0, 64):
            assert greedy(fp32, prompt, TOKENS, room) == greedy_in_torch(model, prompt, TOKENS)


@pytest.mark.slow
def test_uneven_heads_one_shared_head_and_a_layer_without_attention_write_what_torch_writes(tmp_path, shared):
    model = load_checkpoint(shared / "models" / "stories260k")
    cut_heads(model, UNEVEN)
    folder = exported(tmp_path / "out", model)
    assert [(each.layer, each.heads) for each in runnable_decoder(model, TASK).cache] == [(0, 2), (1, 1), (3, 4), (4, 3)]
    assert greedy(folder, [1, 403, 407], TOKENS) == greedy_in_torch(model, [1, 403, 407], TOKENS)


def test_the_contract_of_the_files(fp32, model):
    names, shapes = {}, {}
    for file in (MODEL_FILE, SCORE_FILE):
        graph = onnx.load(fp32 / file, load_external_data=False)
        names[file] = [value.name for value in (*graph.graph.input, *graph.graph.output)]
        shapes[file] = {
            value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*graph.graph.input, *graph.graph.output)
        }
        locations = {entry.value for t in graph.graph.initializer for entry in t.external_data if entry.key == "location"}
        assert locations == {DATA_FILE}
    more = names[MODEL_FILE].index("last_start")
    assert names[MODEL_FILE][:more] + names[MODEL_FILE][more + 1 :] == names[SCORE_FILE]
    assert names[MODEL_FILE][:4] == ["input_ids", "attention_mask", "past_key_values.0.key", "past_key_values.0.value"]
    assert shapes[MODEL_FILE]["logits"] == ["batch_size", 1, 512]
    assert shapes[SCORE_FILE]["logits"] == ["batch_size", "sequence_length", 512]
    assert shapes[MODEL_FILE]["present.4.value"] == ["batch_size", 4, "total_sequence_length", 8]
    places = {node.name.rpartition("/")[0] for node in graph.graph.node if node.op_type in ("MatMul", "FusedMatMul")}
    assert any("layers.4.mlp" in place for place in places) and not any(place.startswith("_") for place in places)
    result = runnable_decoder(model, TASK)
    assert (result.positions, result.stop_ids, result.score_model) == (512, (2,), SCORE_FILE) and positions_of(model) == 512


def test_tables_of_rotations_end_where_the_users_texts_do(fp32, model, tmp_path):
    """Each position takes cos and sin of half a head in fp32, and what is written within them is the same."""
    folder = tmp_path / "short"
    folder.mkdir()
    export_decoder(model, Export(opset=20, positions=64, why=""), folder)
    saved = (fp32 / DATA_FILE).stat().st_size - (folder / DATA_FILE).stat().st_size
    assert abs(saved - (512 - 64) * 8 * 4) < 4096  # heads of 8; tensors begin at whole pages
    assert greedy(folder, [1, 403, 407], TOKENS) == greedy_in_torch(model, [1, 403, 407], TOKENS)
    assert runnable_decoder(model, TASK, 64).positions == 64


def test_the_tied_table_is_stored_once(fp32, model, tmp_path):
    params = sum(parameter.numel() for parameter in model.parameters())
    assert (fp32 / DATA_FILE).stat().st_size < 4 * params * 1.03
    graph = onnx.load(quantized(fp32, tmp_path / "int8", precision="int8") / MODEL_FILE, load_external_data=False)
    places = {t.name: {entry.key: entry.value for entry in t.external_data} for t in graph.graph.initializer}
    head = next(node for node in graph.graph.node if "logits" in node.output)
    table = next(node for node in graph.graph.node if node.op_type == "GatherBlockQuantized")
    assert head.op_type == "MatMulNBits" and places[head.input[1]] == places[table.input[0]]


@pytest.mark.parametrize(
    ("settings", "share", "loss"),
    [
        ({"precision": "int8"}, 0.34, 0.01),
        ({"precision": "int4"}, 0.23, 0.15),
        ({"precision": "int4", "asymmetric": True}, 0.24, 0.15),
        ({"precision": "int4", "embedding_bits": 4}, 0.21, 0.25),
    ],
)
def test_blocks_are_small_and_stay_near(fp32, stories, tmp_path, settings, share, loss):
    folder = quantized(fp32, tmp_path / "out", **settings)
    assert file_bytes(folder) < share * file_bytes(fp32)
    assert perplexity(folder, stories[:8]) < (1 + loss) * perplexity(fp32, stories[:8])
    bits, other = ("int8", "int4") if settings["precision"] == "int8" else ("int4", "int8")
    tables = int(settings["precision"] == "int4" and settings.get("embedding_bits") != 4)
    counts = {"int8": 0, **count_matrix_products(folder / MODEL_FILE)}
    assert {name: count for name, count in counts.items() if count} == {
        name: count for name, count in ((bits, 36 - tables), (other, tables)) if count
    }
    check_decoding(compare_decoding(folder, "onnxruntime", stories[:8], 1, False), "quantized")


@pytest.mark.slow
@pytest.mark.parametrize("family", DECODERS)
def test_every_family_is_the_same_model_in_blocks(tmp_path, family):
    fp32 = exported(tmp_path / "fp32", make_model(tmp_path / "model", family, "text-generation"))
    texts = [Features(ids, [0] * len(ids), index) for index, ids in enumerate([[7, 30, 121, 55, 200], [9] * 20])]
    assert perplexity(quantized(fp32, tmp_path / "int8", precision="int8"), texts) == pytest.approx(perplexity(fp32, texts), rel=0.05)


def test_calibration_loses_less(fp32, stories, tmp_path):
    plain, calibrated = (
        perplexity(quantized(fp32, tmp_path / name, texts, precision="int4"), stories[:8])
        for name, texts in (("plain", ()), ("calibrated", stories[8:]))
    )
    assert calibrated < plain


def test_the_layers_that_four_bits_hurt_most_stay_in_eight(fp32, stories, tmp_path):
    step = Quantize(precision="int4", method="blockwise", asymmetric=True, why="")
    scanned = scan_layers(fp32, step, stories[8:], cache_of(fp32))
    assert len(scanned) == 5 and [each.error for each in scanned] == sorted((each.error for each in scanned), reverse=True)
    assert all(0 < each.error < 0.1 and len(each.weights) == 7 for each in scanned)
    losses = {}
    for name, wide in (("none", ()), ("best", scanned[-1].weights), ("worst", scanned[0].weights)):
        losses[name] = perplexity(quantized(fp32, tmp_path / name, (), wide, precision="int4"), stories[:8])
        assert count_matrix_products(tmp_path / name / MODEL_FILE) == {"int8": 1 + len(wide), "int4": 35 - len(wide), "float": 0}
    assert losses["worst"] < losses["best"] and losses["worst"] < losses["none"]


def with_a_massive_activation(model, stories):
    """The model with one FFN neuron that answers to the first token alone, hundreds of times as strongly as others; nothing reads it.

    Large decoders have such activations (Sun 2024, "Massive Activations"), a model of 260 K parameters does not. Logits stay as they are.
    """
    mlp = model.base_model.layers[0].mlp
    records = []
    handle = mlp.register_forward_pre_hook(lambda _, inputs: records.append(inputs[0][0]))
    with torch.no_grad():
        for text in stories:
            model(input_ids=torch.tensor([text.ids]))
        handle.remove()
        first, others = records[0][0], torch.cat([states[1:] for states in records])
        direction = torch.linalg.solve(others.T @ others / len(others) + 1e-3 * torch.eye(len(first)), first)
        direction *= (500 / (direction @ first) ** 2) ** 0.5
        mlp.gate_proj.weight[0] = mlp.up_proj.weight[0] = direction
        mlp.down_proj.weight[:, 0] = 0
    return model


@pytest.mark.slow
def test_dynamic_int8_breaks_the_prompt_and_the_gate_says_so(shared, stories, tmp_path):
    """One scale for all activations of a prompt: what quantize_decoder is there to avoid. True on CPUs with and without VNNI."""
    model = with_a_massive_activation(load_checkpoint(shared / "models" / "stories260k"), stories)
    fp32, broken = exported(tmp_path / "fp32", model), tmp_path / "dynamic"
    broken.mkdir()
    options = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(fp32 / SCORE_FILE, broken / SCORE_FILE, weight_type=QuantType.QInt8, per_channel=True, extra_options=options)
    shutil.copyfile(fp32 / "runnable.json", broken / "runnable.json")
    result = compare_decoding(broken, "onnxruntime", stories[:8], 1, False)
    with pytest.raises(EdgepackError, match=r"the int8 file gives other answers for a whole prompt than token by token.*\n?.*--precision"):
        check_decoding(result, "int8")
    check_decoding(compare_decoding(quantized(fp32, tmp_path / "blocks", precision="int8"), "onnxruntime", stories[:8], 1, False), "int8")


@pytest.mark.parametrize(
    ("decoding", "passes"),
    [
        (Decoding(tokens=100, agreement=1.0, nll=0.0), True),
        (Decoding(tokens=100, agreement=0.9, nll=0.0), False),
        (Decoding(tokens=100, agreement=1.0, nll=0.2), False),
        (Decoding(tokens=100, agreement=1.0, nll=float("nan")), False),
    ],
)
def test_the_gate_has_limits(decoding, passes):
    if passes:
        check_decoding(decoding, "int8")
    else:
        with pytest.raises(EdgepackError, match="than token by token"):
            check_decoding(decoding, "int8")


def test_a_rotation_that_goes_by_the_texts_length_is_refused(shared, tmp_path):
    model = load_checkpoint(shared / "models" / "stories260k")
    model.base_model.rotary_emb.rope_type = "dynamic"
    with pytest.raises(EdgepackError, match="'dynamic', which depends on the length"):
        export_decoder(model, Export(opset=20, why=""), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_decoder_goes_all_the_way(tmp_path, shared, cache, stories, precision):
    """Built, gated, measured and verified; the fp32 export stays in the session's cache."""
    from edgepack.model.checkpoint import load_tokenizer

    tokenizer = load_tokenizer(shared / "models" / "stories260k")
    data = tmp_path / "data"
    data.mkdir()
    for split, texts in (("train", stories[8:]), ("test", stories[:8])):
        (data / f"{split}.txt").write_text("\n".join(tokenizer.decode(item.ids, skip_special_tokens=True) for item in texts))
    recipe = Recipe(model=str(shared / "models" / "stories260k"), data=str(data), student="same", prune_heads=0.0, precision=precision)
    report = build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", cache, QUICK if precision == "int8" else None)
    export, quantize = report.ladder[-2:]
    assert quantize.stage == "quantize" and quantize.details["prompt_agreement"] >= 0.97
    assert quantize.file_mb < 0.4 * export.file_mb and quantize.score.value < 1.15 * export.score.value
    manifest = read_manifest(tmp_path / "pack")
    assert manifest.cache and manifest.score_model == SCORE_FILE and manifest.products["float"] == 0
    assert manifest.predictions.file_mb == pytest.approx(manifest.file_mb, rel=0.25)
    assert verify(tmp_path / "pack").golden_texts > 0


@pytest.mark.slow
def test_a_student_of_a_width_that_heads_do_not_divide_writes_what_torch_writes(tmp_path):
    """As Gemma 3 of 270M: its width is 2.5 heads. The student has half of the layers, and keeps the width."""
    vocab = len(make_tokenizer(tmp_path / "model"))
    torch.manual_seed(0)
    teacher = AutoModelForCausalLM.from_config(CONFIGS["gemma3_text"](vocab_size=vocab, hidden_size=72, head_dim=32), dtype=torch.float32)
    enlarged(teacher).save_pretrained(tmp_path / "model")
    data, stages = make_data(tmp_path / "data", {"train": 40, "dev": 10, "test": 10}), tmp_path / "cache"
    settings = {"student": "2x72", "precision": "fp32", "training": {"training_steps": 4, "learning_rate": 1e-3}}
    recipe = Recipe.read({"model": str(tmp_path / "model"), "data": str(data), **settings}, "test")
    build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", stages, effort=None)
    manifest = read_manifest(tmp_path / "pack")
    students = [path.parent for path in stages.rglob("edgepack.json")]
    assert [row.stage for row in manifest.ladder] == ["teacher", "distill", "export"] and len(students) == 1
    student = load_checkpoint(students[0], TASK.name)
    assert count_params(student) == manifest.plan.student.params == manifest.ladder[-1].params
    for prompt in ([2, 40, 77, 130], [2]):
        assert greedy(tmp_path / "pack", prompt, TOKENS) == greedy_in_torch(student, prompt, TOKENS)
