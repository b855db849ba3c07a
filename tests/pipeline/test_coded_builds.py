"""Packs with coded weights, from the recipe to verified answers: an ordinary int8 file once it is decoded."""

import hashlib
from importlib import import_module

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from small import make_model

import edgepack
from edgepack import Recipe, build, load_profile, verify
from edgepack.core.errors import EdgepackError
from edgepack.export.weight_places import weights_in
from edgepack.pack.manifest import read_manifest
from edgepack.pipeline.demo.commands import commands
from edgepack.report.judge import judge
from edgepack.ship.load import device_module


def decoded(pack):
    """The bytes of the file that a pack's coded weights stand for."""
    manifest = read_manifest(pack)
    weights = import_module(f"{device_module().__name__}.weight_source").weights_of(pack, manifest.as_json(), 1)
    return bytes(weights.memory[manifest.coded.file]) if weights.memory else (weights.expanded / manifest.coded.file).read_bytes()


@pytest.fixture(scope="module")
def recipe(teacher_folder, data_folder):
    return Recipe(model=str(teacher_folder), data=str(data_folder), student="same", prune_heads=0.0, precision="int8", sensitive=0)


@pytest.fixture(scope="module")
def coded_pack(recipe, cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("coded") / "pack"
    build(recipe.model_copy(update={"bits": 4.0, "sensitive": None}), load_profile("raspberry-pi"), out, cache, None)
    return out


@pytest.mark.slow
def test_a_coded_pack_is_smaller_answers_as_well_and_states_what_was_done(coded_pack):
    manifest = read_manifest(coded_pack)
    names = {path.name for path in coded_pack.iterdir()}
    assert "weights.coded" in names and "model.onnx.data" not in names and "model.onnx" in names
    assert [row.stage for row in manifest.ladder][-2:] == ["quantize", "code"]
    quantized, coded = manifest.ladder[-2:]
    assert abs(quantized.details["bits"] - 4.0) < 0.05 and quantized.details["grid_texts"] > 0
    assert coded.file_mb < 0.75 * quantized.file_mb and coded.score == quantized.score
    assert manifest.file_mb == pytest.approx(coded.file_mb)
    assert quantized.score.value > manifest.ladder[0].score.value - 0.05
    assert verify(coded_pack).golden_texts > 0
    with edgepack.load(coded_pack, threads=2) as model:
        assert model("turn the light on").label in manifest.labels.values()


def test_a_report_says_what_a_grid_takes_beside_zeros_and_beside_what_was_asked_for(coded_pack):
    manifest = read_manifest(coded_pack)

    def notes_with(**details):
        ladder = [row.model_copy(update={"details": row.details | details} if row.stage == "quantize" else {}) for row in manifest.ladder]
        return " ".join(judge(manifest.model_copy(update={"ladder": tuple(ladder)}), None).notes)

    assert "pruning single weights is no way to fewer bits" in notes_with() and "were asked for" not in notes_with()
    trained = notes_with(bits=4.21, signal_db=140.0)  # what was trained on a grid has no error beside itself
    assert "takes 4.21 bits a weight, where 4 were asked for" in trained and "pruning single weights" not in trained


@pytest.mark.slow
def test_the_decoded_file_is_the_int8_file_with_the_same_ops_and_coarser_integers(coded_pack, recipe, cache, tmp_path):
    build(recipe, load_profile("raspberry-pi"), tmp_path / "plain", cache, None)
    plain, coded = (onnx.load(folder / "model.onnx", load_external_data=False) for folder in (tmp_path / "plain", coded_pack))
    assert [node.op_type for node in plain.graph.node] == [node.op_type for node in coded.graph.node]
    content = decoded(coded_pack)
    assert hashlib.sha256(content).hexdigest() == read_manifest(coded_pack).coded.sha256
    shapes = [{tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer} for model in (plain, coded)]
    assert shapes[0] == shapes[1]
    path, places = weights_in(tmp_path / "plain", "model.onnx")
    whole = path.read_bytes()
    fewer = [(len(set(whole[at : at + count])), len(set(content[at : at + count]))) for name, at, count in places if name.endswith("/int8")]
    assert fewer and all(narrow < wide for wide, narrow in fewer)
    assert sum(narrow for _, narrow in fewer) < sum(wide for wide, _ in fewer) / 2  # a row with a far weight takes more of them than others


@pytest.mark.slow
@pytest.mark.parametrize("wish", [{"codec": "zstd"}, {"bits": 3.0, "codec": "zstd", "start": "expand"}])
def test_each_codec_and_start_goes_all_the_way(recipe, cache, tmp_path, wish):
    changed = recipe.model_copy(update=wish | ({"sensitive": None} if "bits" in wish else {}))
    build(changed, load_profile("raspberry-pi"), tmp_path / "pack", cache, None)
    manifest = read_manifest(tmp_path / "pack")
    assert manifest.coded.codec == "zstd" and (wish.get("start") is None or manifest.coded.start == wish["start"])
    assert not (tmp_path / "pack" / ".weight-cache").exists()  # a device makes its own
    assert verify(tmp_path / "pack").golden_texts > 0
    assert (tmp_path / "pack" / ".weight-cache" / "expanded" / "model.onnx.data").exists() is (manifest.coded.start == "expand")
    assert verify(tmp_path / "pack").golden_texts > 0  # from the cache, which is no part of the pack


@pytest.mark.slow
def test_coding_alone_leaves_the_bytes_that_a_build_without_it_ships(recipe, cache, tmp_path):
    for name, wish in (("plain", {}), ("coded", {"codec": "deflate"})):
        build(recipe.model_copy(update=wish), load_profile("raspberry-pi"), tmp_path / name, cache, None)
    assert decoded(tmp_path / "coded") == (tmp_path / "plain" / "model.onnx.data").read_bytes()
    assert (tmp_path / "coded" / "model.onnx").read_bytes() == (tmp_path / "plain" / "model.onnx").read_bytes()


def test_a_damaged_chunk_is_refused_by_name_where_the_pack_is_run(coded_pack, tmp_path):
    from edgepack.measure.machines.transports.local import run_job

    folder = tmp_path / "pack"
    folder.mkdir()
    for path in (path for path in coded_pack.iterdir() if path.is_file()):
        (folder / path.name).write_bytes(path.read_bytes())
    whole = bytearray((folder / "weights.coded").read_bytes())
    whole[-100] ^= 1
    (folder / "weights.coded").write_bytes(whole)
    with pytest.raises(EdgepackError, match=r"chunk \d+ of weights\.coded is damaged"):
        run_job(folder, "onnxruntime", {"kind": "load", "threads": 1, "length": 8, "cold": False})
    with pytest.raises(EdgepackError, match="weights.coded"):
        edgepack.load(folder)


@pytest.mark.slow
def test_without_texts_the_grid_is_as_coarse_beside_each_matrix_s_own_size(teacher_folder, cache, tmp_path):
    build(Recipe(model=str(teacher_folder), bits=4.5), load_profile("raspberry-pi"), tmp_path / "pack", cache, None)
    attempt = read_manifest(tmp_path / "pack").ladder[-2].attempts[-1]
    assert attempt.details["grid_texts"] == 0 and abs(attempt.details["bits"] - 4.5) < 0.05 and attempt.cosine > 0.9


# With weights in 7 bits, which saturate nowhere, there are levels for 7 bits of entropy at most.
@pytest.mark.slow
def test_bits_that_no_grid_comes_to_are_refused_with_those_that_one_does(teacher_folder, cache, tmp_path):
    with pytest.raises(EdgepackError, match="no grid of this model comes to it; the nearest one has") as error:
        build(Recipe(model=str(teacher_folder), bits=7.4), load_profile("x86-edge-avx2"), tmp_path / "pack", cache, None)
    assert "--bits" in error.value.fix and not (tmp_path / "pack").exists()


# A row with a weight of more steps than int8 has takes a longer step. Whether there is one depends on the CPU that made the model.
def test_the_integers_of_a_coarse_grid_are_whole_steps_of_one_size_in_a_matrix(coded_pack, tmp_path):
    manifest, content = read_manifest(coded_pack), decoded(coded_pack)
    (tmp_path / "model.onnx").write_bytes((coded_pack / "model.onnx").read_bytes())
    (tmp_path / manifest.coded.file).write_bytes(content)
    stored = {each.name: numpy_helper.to_array(each) for each in onnx.load(tmp_path / "model.onnx").graph.initializer}
    products = [name.removesuffix("/int8") for name in stored if name.endswith("/int8")]
    tables = [name.removesuffix("/rounded") for name in stored if name.endswith("/rounded")]
    rows = {name: stored[f"{name}/int8"].astype(np.int16).T for name in products}
    rows |= {name: stored[f"{name}/rounded"].astype(np.int16) - 128 for name in tables}
    assert products and tables
    on_the_step = []
    for name, integers in rows.items():
        steps = stored[f"{name}/scale"].ravel()
        largest = np.abs(integers).max(axis=1)
        assert np.all((steps == steps.min()) | (largest > 100)), name
        on_the_step.append(np.mean(steps == steps.min()))
    assert np.mean(on_the_step) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "wish"),
    [
        ("text-classification", {"format": "onnx", "bits": 4.0}),
        ("text-classification", {"format": "tflite", "bits": 4.0}),
        ("text-generation", {"format": "onnx", "bits": 5.0}),
    ],
    ids=["onnx", "tflite", "decoder"],
)
def test_a_report_draws_bits_size_and_score_with_the_point_that_was_taken(task, wish, recipe, cache, tmp_path):
    if task == "text-generation":
        make_model(tmp_path / "model", "llama", task)
        (tmp_path / "texts").mkdir()
        for split, count in {"train": 200, "dev": 8, "test": 8}.items():
            lines = "\n".join(text for text, _ in commands()[split][:count])
            (tmp_path / "texts" / f"{split}.txt").write_text(lines, encoding="utf-8")
        wish = wish | {"model": str(tmp_path / "model"), "data": str(tmp_path / "texts"), "task": task}
    wished = recipe.model_copy(update=wish | {"sensitive": None, "budget": recipe.budget.model_copy(update={"score_drop": 1000.0})})
    build(wished, load_profile("x86-server"), tmp_path / "pack", cache, None)
    row = next(row for row in read_manifest(tmp_path / "pack").ladder if row.stage == "quantize")
    points = [(attempt.details["bits"], attempt.details["coded_mb"]) for attempt in row.attempts]
    assert len(points) == 4 and all(attempt.score for attempt in row.attempts) and "for the curve" not in row.attempts[-1].recipe
    assert sorted(points, key=lambda point: point[1]) == sorted(points) and sorted(points).index(points[-1]) == 1
    markdown, page = ((tmp_path / "pack" / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    table = markdown.split("| bits a weight | coded MB | score | point |")[1]
    assert table.count("| for the curve |") == 3 and table.count("| taken |") == 1
    assert "by the bits of a weight, measured" in page and f"taken: {points[-1][1]} MB" in page
    assert "pruning single weights is no way to fewer bits" in page
