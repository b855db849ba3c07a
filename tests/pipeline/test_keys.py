"""A key holds every input: each setting, each file of the model, each column and each library moves the keys that it should."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from settings_tried import FIXED, SETTINGS, changed_setting
from small import HIDDEN, INTENTS, make_data, make_model

from edgepack.core import code_graph
from edgepack.core.cache import key_of
from edgepack.model.material import gather
from edgepack.pipeline import keys as keys_module
from edgepack.pipeline.build import plan_formats
from edgepack.pipeline.keys import material_inputs, step_inputs, teacher_inputs
from edgepack.pipeline.stages import doer_of
from edgepack.pipeline.state import BuildState, ExportedFile, TrainedModel
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.setting import setting_fields

PROFILE = load_profile("raspberry-pi")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make_model(folder)
    (folder / "README.md").write_text("a card")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"), {"train": 64, "dev": 20, "test": 20})


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    """A CSV without splits, with two columns of texts and two of labels."""
    path = tmp_path_factory.mktemp("one") / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "other", "label", "label2"))
        for index in range(60):
            writer.writerow((f"turn on light {index}", f"play {index}", INTENTS[index % 2], INTENTS[index % 3]))
    return path


def keys_of(recipe):
    """The key of each stage by its name, in their order, without any work done."""
    material = gather(recipe)
    plan = plan_formats(recipe, PROFILE)[0]
    keys = {"teacher": key_of(teacher_inputs(material, ("edgepack.pipeline.teacher",)))}
    state = BuildState(material.source, material, plan, PROFILE, None, TrainedModel(material.source), key=keys["teacher"])
    for step in plan.steps:
        _, roots = doer_of(step, plan.format)
        keys[step.verb] = key_of(step_inputs(state, step, roots))
        state = replace(state, key=keys[step.verb])
    return keys


def first_moved(before, after):
    """The first stage whose key is another one; all behind it have to be others too. None: every key is the same."""
    names = list(after)
    moved = [name for name in names if before.get(name) != after[name]]
    assert not moved or moved == names[names.index(moved[0]) :]
    return moved[0] if moved else None


def test_every_setting_is_tried():
    assert set(SETTINGS) == {".".join(field.path) for field in setting_fields(Recipe)}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_moves_the_keys_of_the_stages_that_read_it(name, model, data, tmp_path):
    stated = {"model": str(model), "data": str(data), "training": {}, "budget": {}, "columns": {}} | FIXED
    before = keys_of(Recipe.read(stated, "test"))
    changed = changed_setting(stated, name, tmp_path)
    assert first_moved(before, keys_of(Recipe.read(changed, "test"))) == SETTINGS[name][1]


@pytest.mark.parametrize(
    ("file", "moves"),
    [
        ("config.json", True), ("model.safetensors", True), ("tokenizer.json", True), ("tokenizer_config.json", True),
        ("generation_config.json", True), ("1_Pooling/config.json", True), ("chat_template.jinja", True), ("README.md", False),
    ],
)  # fmt: skip
def test_each_file_of_the_model_that_a_library_reads_moves_the_teacher(file, moves, model, data, tmp_path):
    before = keys_of(Recipe(model=str(model), data=str(data), **FIXED))
    copy = shutil.copytree(model, tmp_path / "copy")
    path = copy / file
    path.parent.mkdir(exist_ok=True)
    match path.suffix:
        case ".json":
            stated = json.loads(path.read_text()) if path.is_file() else {}
            path.write_text(json.dumps(stated if file == "tokenizer.json" else stated | {"another_key": 1}))  # in one line now
        case ".safetensors":
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        case _:
            path.write_text("another line")
    assert first_moved(before, keys_of(Recipe(model=str(copy), data=str(data), **FIXED))) == ("teacher" if moves else None)


def test_another_codec_moves_the_stage_that_tells_what_a_coarse_grid_takes_in_it(model, data):
    stated = {"model": str(model), "data": str(data), "bits": 3.5, **FIXED}
    assert first_moved(*(keys_of(Recipe(codec=codec, **stated)) for codec in ("deflate", "zstd"))) == "quantize"
    assert first_moved(*(keys_of(Recipe(start=start, **stated)) for start in ("stream", "expand"))) is None


def test_fewer_dimensions_of_a_vector_move_the_teacher(model, data):
    stated = {"model": str(model), "data": str(data), "task": "feature-extraction", **FIXED, "importance": "activation"}
    assert first_moved(*(keys_of(Recipe(dimensions=count, **stated)) for count in (None, 8))) == "teacher"


def test_another_way_to_factorize_moves_the_stage_that_trains_what_is_factored(model, data):
    stated = {"model": str(model), "data": str(data), "factorize": 0.5, **FIXED}
    assert first_moved(*(keys_of(Recipe(factorize_by=way, **stated)) for way in ("svd", "tensor"))) == "distill"


def test_a_training_by_need_and_one_of_as_many_epochs_are_two(model, data):
    stated = {"model": str(model), "data": str(data), **FIXED}
    keys = [keys_of(Recipe.read(stated | {"training": training}, "test")) for training in ({}, {"epochs": 40}, {"minutes": 60.0})]
    assert first_moved(keys[0], keys[1]) == first_moved(keys[0], keys[2]) == "distill"


def test_codes_of_vectors_are_made_behind_all_stages_of_the_same_files(model, data):
    stated = {"model": str(model), "data": str(data), "task": "feature-extraction", **FIXED, "importance": "activation"}
    none, int8, binary = (keys_of(Recipe(vectors=kind, **stated)) for kind in (None, "int8", "binary"))
    assert first_moved(int8, binary) is None and {name: int8[name] for name in none} == none


def test_another_adapter_and_another_base_move_the_teacher(model, data, tmp_path):
    make_model(tmp_path / "other", seed=1)
    query = "base_model.model.bert.encoder.layer.0.attention.self.query"
    for name, value in (("adapter", 0.1), ("stronger", 0.2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "lora_alpha": 4, "task_type": "SEQ_CLS"}))
        weights = {f"{query}.lora_A.weight": torch.full((2, HIDDEN), value), f"{query}.lora_B.weight": torch.ones(HIDDEN, 2)}
        save_file(weights, tmp_path / name / "adapter_model.safetensors")
    keys = {
        (adapter, base): keys_of(Recipe(model=str(tmp_path / adapter), base=base, data=str(data), **FIXED))
        for adapter, base in (("adapter", str(model)), ("stronger", str(model)), ("adapter", str(tmp_path / "other")))
    }
    first, stronger, other = keys.values()
    assert first_moved(first, stronger) == first_moved(first, other) == "teacher"


def test_the_seed_moves_the_teacher_where_it_draws_the_splits(model, one_file):
    recipes = [Recipe(model=str(model), data=str(one_file), seed=seed, columns={"label": "label"}, **FIXED) for seed in (0, 1)]
    assert first_moved(*map(keys_of, recipes)) == "teacher"


@pytest.mark.parametrize("columns", [{"label": "label2"}, {"text": "other"}, {"text_pair": "other"}])
def test_another_column_moves_the_teacher(model, one_file, columns):
    usual = {"text": "text", "label": "label"}
    recipes = [Recipe(model=str(model), data=str(one_file), columns=choice, **FIXED) for choice in (usual, usual | columns)]
    assert first_moved(*map(keys_of, recipes)) == "teacher"


def test_a_column_that_is_named_is_the_same_as_one_that_is_guessed(model, one_file):
    named = gather(Recipe(model=str(model), data=str(one_file), columns={"text": "text", "label": "label"}))
    path = one_file.with_name("fewer.csv")
    path.write_text("\n".join(",".join(row.split(",")[::2]) for row in one_file.read_text().splitlines()))
    assert material_inputs(gather(Recipe(model=str(model), data=str(path)))).rows_sha256 == material_inputs(named).rows_sha256


@pytest.mark.parametrize(
    ("library", "first"),
    [("torch", "teacher"), ("tokenizers", "teacher"), ("onnxslim", "export"), ("onnxscript", "teacher"), ("typer", None)],
)
def test_another_version_of_a_library_moves_the_stages_that_compute_with_it(library, first, model, data, monkeypatch):
    recipe = Recipe(model=str(model), data=str(data), **FIXED)
    before, real = keys_of(recipe), code_graph._version
    monkeypatch.setattr(code_graph, "_version", lambda name: "99" if name == library else real(name))
    assert first_moved(before, keys_of(recipe)) == first


def test_another_number_of_threads_moves_every_key(model, data, monkeypatch):
    recipe = Recipe(model=str(model), data=str(data), **FIXED)
    before = keys_of(recipe)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)))
    assert first_moved(before, keys_of(recipe)) == "teacher"


@pytest.mark.parametrize("fact", ["kernel_instructions", "gpus"])
def test_another_processor_moves_every_key(fact, model, data, monkeypatch):
    """A cache may be shared: a CPU without the newest instructions rounds, or saturates, otherwise."""
    recipe = Recipe(model=str(model), data=str(data), **FIXED)
    before = keys_of(recipe)
    monkeypatch.setattr(keys_module, fact, lambda: ("another",))
    assert first_moved(before, keys_of(recipe)) == "teacher"


@pytest.mark.parametrize(("name", "moves"), [("ATEN_CPU_CAPABILITY", True), ("OMP_NUM_THREADS", True), ("LANG", False), ("HOME", False)])
def test_a_variable_that_chooses_kernels_moves_every_key(name, moves, model, data, monkeypatch):
    recipe = Recipe(model=str(model), data=str(data), **FIXED)
    monkeypatch.delenv(name, raising=False)
    before = keys_of(recipe)
    monkeypatch.setenv(name, "default")
    assert first_moved(before, keys_of(recipe)) == ("teacher" if moves else None)


def test_a_file_that_is_not_exported_yet_is_a_fault_of_the_plan(model):
    source = gather(Recipe(model=str(model))).source
    state = BuildState(source, None, None, PROFILE, None, TrainedModel(source))
    with pytest.raises(AssertionError, match="no step of the plan has exported"):
        _ = state.model_file
    exported = ExportedFile(source, None, None)
    assert replace(state, work=exported).model_file is exported
