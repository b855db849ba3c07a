"""A pack is written whole or not at all, and one flipped byte anywhere is found."""

import json
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import typer
from small import make_model

import edgepack
from edgepack.cli.recipe_flags import recipe_of, takes_settings
from edgepack.core.errors import EdgepackError
from edgepack.core.files import check_disk, check_output, write_atomically, written_whole
from edgepack.measure.measurement import QUICK
from edgepack.pack.manifest import MANIFEST_FILE, STATEMENT_FILE, SUMS_FILE, Manifest, check_files, read_manifest, seal
from edgepack.pack.runnable import read_runnable
from edgepack.pipeline.compare import compare
from edgepack.pipeline.measure import measure_pack
from edgepack.pipeline.packing import model_config
from edgepack.pipeline.verify import verify
from edgepack.plan.recipe import Recipe
from edgepack.ship.shipping import ship


@pytest.fixture
def copy(pack_folder, tmp_path):
    return shutil.copytree(pack_folder, tmp_path / "copy")


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_pack_holds_what_the_readme_promises(pack_folder):
    names = {path.name for path in pack_folder.iterdir()}
    assert names >= {
        "pack.json", "model.onnx", "model.onnx.data", "tokenizer.json", "labels.json", "config.json", "golden.jsonl",
        "report.json", "report.md", "report.html", "README.md", "attestation.json", "SHA256SUMS",
    }  # fmt: skip
    manifest = json.loads((pack_folder / MANIFEST_FILE).read_text())
    assert manifest["schema"] == 2
    assert {"task", "profile", "recipe", "plan", "ladder", "files", "versions", "source", "licence", "seed", "command", "session"} <= set(
        manifest
    )
    assert {"name", "bytes", "sha256"} == set(manifest["files"][0])
    assert {entry["name"] for entry in manifest["files"]} == names - {MANIFEST_FILE, SUMS_FILE}
    assert json.loads((pack_folder / "labels.json").read_text())["0"] == "light_on"


def test_other_loaders_find_the_config_with_the_labels_and_without_anybodys_paths(pack_folder):
    config = json.loads((pack_folder / "config.json").read_text())
    labels = json.loads((pack_folder / "labels.json").read_text())
    assert config["model_type"] == "bert" and config["id2label"] == labels
    assert config["label2id"] == {name: int(index) for index, name in labels.items()}
    foreign = {"model_type": "bert", "_name_or_path": "/home/somebody/model", "auto_map": {"AutoModel": "x.Y"}}
    assert model_config(foreign, {}) == {"model_type": "bert"}


def test_sha256sum_checks_every_file_of_a_pack(copy):
    def checked():
        return subprocess.run(["sha256sum", "--check", SUMS_FILE], cwd=copy, capture_output=True, text=True, check=False)

    assert checked().returncode == 0 and {line.split(":")[0] for line in checked().stdout.splitlines()} == {
        path.name for path in copy.iterdir()
    } - {SUMS_FILE}
    flip(copy / MANIFEST_FILE, 700)
    assert checked().returncode == 1 and "pack.json: FAILED" in checked().stdout


def test_the_statement_of_a_pack_names_sources_recipe_and_versions_and_no_folder(pack_folder):
    manifest, text = read_manifest(pack_folder), (pack_folder / STATEMENT_FILE).read_text()
    statement = json.loads(text)
    assert statement["_type"] == "https://in-toto.io/Statement/v1" and statement["predicateType"] == "https://slsa.dev/provenance/v1"
    subject = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert subject == {file.name: file.sha256 for file in manifest.files if not file.name.startswith(("report.", STATEMENT_FILE))}
    asked = statement["predicate"]["buildDefinition"]
    sources = {each["annotations"]["role"]: each["digest"]["sha256"] for each in asked["resolvedDependencies"]}
    assert sources == {"model": manifest.source.sha256, "data": manifest.data.sha256}
    assert asked["externalParameters"]["recipe"]["precision"] == "int8" and asked["externalParameters"]["seed"] == manifest.seed
    assert asked["internalParameters"] == {"pack_id": manifest.pack_id, "versions": manifest.versions}
    assert str(pack_folder.parent.parent) not in text and manifest.recipe.model not in text


@pytest.mark.parametrize("damage", ["another line", "a hash", "no file"])
def test_sums_that_do_not_say_what_is_there_are_refused(copy, damage):
    path = copy / SUMS_FILE
    match damage:
        case "another line":
            path.write_text(path.read_text() + f"{'0' * 64}  ../other\n")
        case "a hash":
            flip(path, 3)
        case _:
            path.unlink()
    with pytest.raises(EdgepackError, match="SHA256SUMS (is missing from the pack|in .* was changed)"):
        check_files(copy, read_manifest(copy))


@pytest.mark.parametrize("twin", ["model.onnx", "MODEL.onnx"])
def test_a_file_that_is_listed_twice_is_refused_where_case_counts_and_where_not(pack_folder, twin):
    content = read_manifest(pack_folder).as_json()
    stated = next(file for file in content["files"] if file["name"] == "model.onnx")
    with pytest.raises(EdgepackError, match=f"pack.json lists {twin} twice"):
        Manifest.read(content | {"files": [*content["files"], stated | {"name": twin}]}, "pack.json")


def test_a_file_that_became_far_larger_is_refused_without_reading_it(copy):
    with (copy / "model.onnx.data").open("r+b") as file:
        file.truncate(1 << 40)  # a sparse terabyte
    began = time.monotonic()
    with pytest.raises(EdgepackError, match=r"model.onnx.data in .* was changed"):
        check_files(copy, read_manifest(copy))
    assert time.monotonic() - began < 5


def test_golden_vectors_hold_texts_ids_and_outputs(pack_folder):
    golden = [json.loads(line) for line in (pack_folder / "golden.jsonl").read_text().splitlines()]
    assert len(golden) >= 24
    assert all(len(entry["output"]) == 4 and entry["input_ids"] and "text" in entry for entry in golden)
    assert any("👩" in entry["text"] for entry in golden) and any(entry["text"] == "" for entry in golden)


def test_a_whole_pack_verifies(pack_folder):
    result = verify(pack_folder)
    assert result.golden_texts == result.token_ids_equal >= 24
    assert result.largest_difference <= result.tolerance


def test_one_flipped_byte_in_any_file_is_found(copy):
    draw = np.random.default_rng(0)
    for path in sorted(copy.iterdir()):
        for at in draw.integers(path.stat().st_size, size=100 if path.name == MANIFEST_FILE else 1):
            flip(path, int(at))
            says = "pack.json" if path.name == MANIFEST_FILE else f"{path.name} in .* was changed"
            with pytest.raises(EdgepackError, match=says):
                check_files(copy, read_manifest(copy))
            flip(path, int(at))
    assert verify(copy)


READERS = {
    "verify": lambda pack, _: verify(pack),
    "load": lambda pack, _: edgepack.load(pack),
    "generate": lambda pack, _: list(edgepack.generate(pack, "light")),
    "measure": lambda pack, place: measure_pack(pack, effort=QUICK, out=place / "reports"),
    "compare": lambda pack, place: compare([pack, place / "other"], None, QUICK),
    "ship": lambda pack, place: ship(pack, "python", place / "module", name="intents"),
}


@pytest.mark.parametrize("name", READERS)
def test_each_that_reads_a_pack_refuses_a_changed_file_first(name, copy, pack_folder, tmp_path):
    shutil.copytree(pack_folder, tmp_path / "other")
    before = sorted(path.name for path in tmp_path.iterdir())
    for path in sorted(copy.iterdir()):
        if path.suffix in (".md", ".html") or path.name in ("report.json", SUMS_FILE):  # of those nothing is read here but by verify
            continue
        flip(path, path.stat().st_size // 2)
        with pytest.raises(EdgepackError, match="was changed|is damaged"):
            READERS[name](copy, tmp_path)
        flip(path, path.stat().st_size // 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("damage", ["missing", "added", "damaged manifest", "other schema", "no pack"])
def test_a_pack_that_is_not_whole_says_what_is_wrong(copy, damage):
    manifest = copy / MANIFEST_FILE
    match damage:
        case "missing":
            (copy / "tokenizer.json").unlink()
            says = "tokenizer.json is missing from the pack"
        case "added":
            (copy / "extra.bin").write_bytes(b"x")
            says = "extra.bin does not belong to the pack"
        case "damaged manifest":
            manifest.write_text(manifest.read_text()[:-40])
            says = "pack.json is damaged"
        case "other schema":
            manifest.write_text(manifest.read_text().replace('"schema": 2', '"schema": 99'))
            says = "has schema 99"
        case _:
            manifest.unlink()
            says = "it has no pack.json"
    with pytest.raises(EdgepackError, match=says):
        verify(copy)


@pytest.mark.parametrize("how", ["a link", "a folder", "a link to a weight cache"])
def test_what_is_no_plain_file_is_refused(copy, tmp_path, how):
    path = copy / (".weight-cache" if "weight" in how else "labels.json")
    if path.exists():
        path.rename(tmp_path / "elsewhere")
    if how == "a folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EdgepackError, match=f"{path.name} in the pack .* is not a plain file"):
        check_files(copy, read_manifest(copy))


def as_schema_1(folder, **changes):
    """The pack as an older edgepack left it: no runnable.json, no hash of pack.json."""
    for name in ("runnable.json", SUMS_FILE, STATEMENT_FILE):
        (folder / name).unlink()
    data = json.loads((folder / MANIFEST_FILE).read_text())
    del data["sha256"]
    files = [file for file in data["files"] if file["name"] not in ("runnable.json", STATEMENT_FILE)]
    (folder / MANIFEST_FILE).write_text(json.dumps(data | {"schema": 1, "files": files} | changes))


def test_a_pack_of_schema_1_is_opened_and_becomes_one_of_today_when_it_is_sealed_again(copy):
    as_schema_1(copy)
    assert verify(copy).golden_texts >= 24
    seal(copy, read_manifest(copy))
    assert json.loads((copy / MANIFEST_FILE).read_text())["schema"] == 2 and read_runnable(copy).task == "text-classification"
    assert verify(copy)


@pytest.mark.parametrize(
    ("command", "fix"),
    [
        ("edgepack build model --profile raspberry-pi", "build the pack again: edgepack build model"),
        ("rm \x1b[2J", "build the pack again$"),
    ],
)
def test_a_pack_that_is_too_old_is_refused_with_the_command_that_built_it(copy, command, fix):
    as_schema_1(copy, command=command, a_key_of_then=1)
    with pytest.raises(EdgepackError, match="is of an older edgepack") as error:
        read_manifest(copy)
    assert re.search(fix, error.value.fix) and "\x1b" not in str(error.value)


def test_the_command_of_a_library_call_does_the_same(pack_folder):
    """What the pack states is the command line that makes the recipe again, as the command line reads it."""
    manifest = read_manifest(pack_folder)
    records = []
    program, verb, *arguments = shlex.split(manifest.command)
    assert (program, verb) == ("edgepack", "build")
    application = typer.Typer()

    @application.command()
    @takes_settings
    def build(profile: Annotated[str, typer.Option()], **settings: Any) -> None:
        records.append((recipe_of(settings), profile))

    typer.main.get_command(application)(arguments, standalone_mode=False)
    assert records == [(manifest.recipe, manifest.profile.name)]


def test_a_model_that_answers_otherwise_is_refused_though_its_hash_is_right(copy):
    """Somebody exchanged the golden outputs and sealed the pack again: the runtime's answers tell."""
    path = copy / "golden.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    entries[3]["output"][0] += 0.5
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    seal(copy, read_manifest(copy))
    with pytest.raises(EdgepackError, match="gives other answers than when it was built"):
        verify(copy)


def test_other_token_ids_are_refused(copy):
    path = copy / "tokenizer.json"
    path.write_text(
        path.read_text().replace('"lowercase": true', '"lowercase": false').replace('"strip_accents": null', '"strip_accents": false')
    )
    seal(copy, read_manifest(copy))
    with pytest.raises(EdgepackError, match="tokenizer gives other token ids"):
        verify(copy)


def test_a_block_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), written_whole(tmp_path / "packs" / "new") as folder:
        (folder / "model.onnx").write_text("half")
        raise RuntimeError
    assert list(tmp_path.rglob("*")) == []


def test_what_a_killed_build_left_is_cleared_and_a_pack_appears_at_once(tmp_path):
    (tmp_path / ".new.partial").mkdir()
    (tmp_path / ".new.partial" / "rest").write_text("of a killed build")
    with written_whole(tmp_path / "new") as folder:
        assert not (tmp_path / "new").exists()
        (folder / "file").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_nothing_is_overwritten(tmp_path):
    check_output(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")
    for used in (tmp_path, tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(EdgepackError, match="output is not empty"):
            check_output(used)


def test_the_folder_that_one_is_in_is_no_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in (Path(), tmp_path):
        with pytest.raises(EdgepackError, match="output is the folder that you are in"):
            check_output(place)


def test_a_full_disk_is_said_before_the_work(tmp_path):
    check_disk(tmp_path / "not" / "yet", 1, "the pack")
    with pytest.raises(EdgepackError, match="not enough disk space for the pack"):
        check_disk(tmp_path, 1e12, "the pack")


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "report.json"
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert path.read_text() == "two" and list(tmp_path.iterdir()) == [path]


def test_checks_can_leave_the_reports_out(copy):
    (copy / "report.md").unlink()
    check_files(copy, read_manifest(copy), skip=("report.md",))


@pytest.mark.slow
def test_a_pack_of_embeddings_is_scored_on_pairs_and_holds_single_texts(tmp_path, cache):
    from edgepack.pipeline.build import build
    from edgepack.plan.profile import load_profile

    make_model(tmp_path / "model", task="feature-extraction")
    pairs = [{"sentence1": f"turn on light {i}", "sentence2": f"play music {i % 5}", "score": i % 7} for i in range(40)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    recipe = Recipe(
        model=str(tmp_path / "model"),
        task="feature-extraction",
        data=str(tmp_path / "data"),
        precision="int8",
        student="same",
        prune_heads=0,
    )
    report = build(recipe, load_profile("raspberry-pi"), tmp_path / "pack", cache, None)
    teacher, shipped = report.ladder[0], report.ladder[-1]
    assert teacher.second.metric == shipped.second.metric == "cosine_to_teacher" and teacher.second.value == 1.0
    assert shipped.score.metric == "spearman" and -1 <= shipped.score.low <= shipped.score.value <= shipped.score.high <= 1
    assert shipped.calibration is None and shipped.flip_share is None
    golden = [json.loads(line) for line in (tmp_path / "pack" / "golden.jsonl").read_text().splitlines()]
    assert golden and all(entry["text_pair"] is None for entry in golden)
    assert verify(tmp_path / "pack").token_ids_equal == len(golden)
