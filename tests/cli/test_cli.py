"""Every mistake of the user's: the value, the place, the way out, exit code 1, and nothing half-written."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest
from command_line import edgepack, edgepack_here, edgepack_warm, refused
from safetensors.torch import load_file, save_file
from small import make_model

from edgepack.core.resources import shipped
from edgepack.pipeline.doctor import EXTRAS
from edgepack.plan.profile import load_profile, profile_names
from edgepack.plan.profile_check import check_profile

COMMANDS = ("profiles", "doctor", "plan", "build", "measure", "compare", "verify", "generate", "ship", "target")


def test_help_names_every_command():
    text = edgepack("--help").stdout
    assert all(command in text for command in COMMANDS)


def test_profiles_prints_the_same_as_json():
    table, data = edgepack_here("profiles").stdout, json.loads(edgepack_here("profiles", "--json").stdout)
    assert len(data) >= 12
    assert all(profile["name"] in table for profile in data)


@pytest.mark.parametrize("arguments", [["profiles"], ["--help"], *([command, "--help"] for command in COMMANDS), ["doctor"]])
def test_every_command_explains_itself_in_80_columns_and_without_colour_where_none_is_wanted(arguments):
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "edgepack", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    shown = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)  # bold is no colour
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", done.stdout), "a colour code"


def test_the_version_is_that_of_the_package():
    assert edgepack("--version").stdout == f"edgepack {version('edgepack')}\n"


def test_doctor_names_each_extra_that_users_can_install_and_what_it_gives():
    state = json.loads(edgepack_here("doctor", "--json").stdout)
    assert all(extra["gives"] and extra["install"] == f"pip install 'edgepack[{extra['name']}]'" for extra in state["extras"])
    assert {extra["name"] for extra in state["extras"]} == set(EXTRAS)
    assert state["machine"]["cores"] >= 1 and state["cache"]["folder"]
    assert {package["name"] for package in state["packages"]} >= {"torch", "onnxruntime", "pydantic"}


def test_doctor_counts_the_cache(tmp_path):
    (tmp_path / "stages" / "one").mkdir(parents=True)
    (tmp_path / "stages" / "one" / "file").write_bytes(b"x" * 2_000_000)
    result = json.loads(edgepack_here("doctor", "--json", "--cache", tmp_path).stdout)["cache"]
    assert result == {"folder": str(tmp_path), "exists": True, "stages": 1, "mb": 2.0}


@pytest.mark.parametrize("name", profile_names())
def test_a_shipped_profile_passes_its_own_check(name):
    checked = check_profile(shipped("device_profiles") / f"{name}.toml")
    assert checked.ok and not checked.unusual
    assert {(tried.runtime, tried.precision) for tried in checked.plans} == {
        (runtime, precision) for runtime, facts in load_profile(name).runtimes.items() for precision in facts.precisions
    }


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ((), 0, "can be used"),
        (("total_mb", "totl_mb"), 1, "did you mean 'total_mb'?"),
        (("clock_ghz = 1.8", "clock_ghz = 1800"), 0, "cpu.clock_ghz = 1800 is unusual"),
        (("file_mb = 25\n", ""), 0, "[budget] has no file_mb"),
        (('version = "1.31"', 'version = "1.2"'), 1, "cannot be used as it is"),
    ],
)
def test_a_profile_of_the_users_own_is_checked(tmp_path, change, code, says):
    text = (shipped("device_profiles") / "raspberry-pi.toml").read_text()
    (tmp_path / "board.toml").write_text(text.replace(*change) if change else text)
    done = edgepack_here("profiles", "--check", "board.toml", cwd=tmp_path)
    assert done.returncode == code and says in " ".join((done.stdout + done.stderr).split()), done.stdout + done.stderr


MODEL_DAMAGE = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json in", "give the folder that `save_pretrained` wrote"),
    "pickle only": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        "holds pickled weights only (pytorch_model.bin)",
        "where you trust it, convert it once",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors in", "give the folder"),
    "truncated": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-1000]),
        "model.safetensors is truncated",
        "download or save the model again",
    ),
    "cut in its header": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:100]),
        "is not a safetensors file",
        "download or save the model again",
    ),
    "config is not JSON": (lambda f: (f / "config.json").write_text("{"), "is not JSON", "save the model again"),
    "code of its own": (
        lambda f: (f / "config.json").write_text((f / "config.json").read_text().replace("{", '{"auto_map": {"AutoModel": "x.Y"},', 1)),
        "contains code of its own",
        "read it, then pass --trust-remote-code",
    ),
    "unknown family": (
        lambda f: (f / "config.json").write_text((f / "config.json").read_text().replace('"bert"', '"bart"')),
        "unknown model family",
        "add a file",
    ),
    "no tokenizer": (
        lambda f: [p.unlink() for p in f.glob("tok*")],
        "no tokenizer in",
        "save the tokenizer beside the model: `tokenizer.save_pretrained(folder)`",
    ),
}


@pytest.mark.parametrize("damage", MODEL_DAMAGE)
def test_a_model_that_cannot_be_built_is_refused(tmp_path, teacher_folder, data_folder, damage):
    change, says, fix = MODEL_DAMAGE[damage]
    folder = shutil.copytree(teacher_folder, tmp_path / "model")
    change(folder)
    done = edgepack_here(
        "build", folder, "--data", data_folder, "--profile", "raspberry-pi", "--out", tmp_path / "out", "--cache", tmp_path / "cache"
    )
    refused(done, says, fix)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


DATA_DAMAGE = {
    "missing": (shutil.rmtree, "data not found", "give a file"),
    "empty": (lambda f: (f / "train.csv").write_text(""), "train.csv is empty", "give a file with at least one row"),
    "encoding": (lambda f: (f / "train.csv").write_bytes(b"text,intent\n\xff,call\n"), "train.csv:2 is not UTF-8", "convert it first"),
    "one class": (
        lambda f: (f / "train.csv").write_text("text,intent\na,call\nb,call\n"),
        "has only one class: 'call'",
        "give rows of at least two",
    ),
    "labels": (
        lambda f: (f / "test.csv").write_text("text,intent\na,call\nb,music_plya\n"),
        "test.csv:3: label 'music_plya' is not one of the model's",
        "if this is what you mean, name the pairs: --label-map music_plya=music_play",
    ),
}


@pytest.mark.parametrize("damage", DATA_DAMAGE)
def test_data_that_cannot_be_used_is_refused(tmp_path, teacher_folder, data_folder, damage):
    change, says, fix = DATA_DAMAGE[damage]
    data = shutil.copytree(data_folder, tmp_path / "data")
    change(data)
    done = edgepack_here(
        "build", teacher_folder, "--data", data, "--profile", "raspberry-pi", "--out", tmp_path / "out", "--cache", tmp_path / "cache"
    )
    refused(done, says, fix)
    assert not (tmp_path / "out").exists() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("flags", "says", "fix"),
    [
        (("--profile", "raspbery-pi"), "unknown profile: 'raspbery-pi'", "did you mean 'raspberry-pi'?"),
        (("--profile", "browser", "--format", "tflite"), "has no runtime for tflite: it runs onnxruntime-web", "use --format onnx"),
        (("--profile", "raspberry-pi", "--student", "30M"), "larger than its teacher", "choose a smaller one"),
        (("--profile", "raspberry-pi", "--student", "big"), "unknown student size: 'big'", "write a size as 13M"),
        (("--profile", "raspberry-pi", "--prune-heads", "150%"), "out of range: --prune-heads '150%'", "choose a fraction"),
        (("--profile", "raspberry-pi", "--file-mb", "0.05"), "no plan meets the budgets", "raise --file-mb"),
        (("--profile", "raspberry-pi", "--file-mb", "-3"), "wrong value for --file-mb: -3", "give a value greater than 0"),
        (
            ("--profile", "raspberry-pi", "--score-drop", "inf"),
            "wrong value for --score-drop: inf",
            "give a finite number, or leave it out",
        ),
        (("--profile", "raspberry-pi", "--label-column", "intnt"), "has no column 'intnt'", "did you mean 'intent'?"),
        (("--profile", "raspberry-pi", "--task", "token-classification"), "has no words for token-classification", "give CoNLL files"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(tmp_path, teacher_folder, data_folder, flags, says, fix):
    done = edgepack_here("build", teacher_folder, "--data", data_folder, "--out", tmp_path / "out", "--cache", tmp_path / "cache", *flags)
    refused(done, says, fix)
    assert not (tmp_path / "out").exists() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("build",), "Missing option '--profile'"),
        (("build", "--profile", "phone", "--studnet", "3M"), "No such option: --studnet"),
        (("plan", "--profile", "phone", "--seed", "x"), "Invalid value for '--seed'"),
        (("biuld",), "No such command 'biuld'"),
    ],
)
def test_a_wrong_flag_is_the_users_mistake_too(arguments, says):
    done = edgepack_here(*arguments)
    assert done.returncode == 1 and says in done.stderr and "fix: see `edgepack" in done.stderr and "Traceback" not in done.stderr


def test_an_output_that_is_not_empty_is_left_alone(tmp_path, teacher_folder):
    (tmp_path / "mine.txt").write_text("precious")
    done = edgepack_here("build", teacher_folder, "--profile", "raspberry-pi", "--out", tmp_path)
    refused(done, "output is not empty", "choose another --out")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_hub_id_that_cannot_be_reached_is_said(tmp_path):
    done = edgepack_here("plan", "nobody/nothing", "--profile", "raspberry-pi")
    refused(done, "no model folder and no hub model: 'nobody/nothing'", "check the path or the id, and the network")


def test_a_model_whose_head_was_never_trained_is_refused(tmp_path, data_folder):
    make_model(tmp_path / "base")
    weights = load_file(tmp_path / "base" / "model.safetensors")
    body = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    save_file(body, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    common = ("--data", data_folder, "--profile", "raspberry-pi", "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    done = edgepack_here("build", tmp_path / "base", "--task", "text-classification", "--precision", "fp32", *common)
    refused(done, "has no weights for", "fine-tune the model for the task first")


def test_a_flipped_byte_in_a_pack_ends_with_one(pack_folder, tmp_path):
    copy = shutil.copytree(pack_folder, tmp_path / "copy")
    content = bytearray((copy / "model.onnx.data").read_bytes())
    content[1234] ^= 8
    (copy / "model.onnx.data").write_bytes(content)
    for command in ("verify", "measure"):
        refused(edgepack_here(command, copy), "model.onnx.data in", "build or copy the pack again")
    refused(edgepack_here("verify", tmp_path), "it has no pack.json", "give the folder")


@pytest.mark.slow
def test_a_built_pack_over_its_budget_ends_with_two_and_prints_the_report_as_json(tmp_path, teacher_folder, data_folder, cache):
    flags = ("--student", "same", "--precision", "fp32", "--file-mb", "0.1", "--measure", "off", "--json")
    done = edgepack_warm(
        "build", teacher_folder, "--data", data_folder, "--profile", "raspberry-pi", "--out", tmp_path / "out", "--cache", cache, *flags
    )
    assert done.returncode == 2, done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"] == "over budget" and report == json.loads((tmp_path / "out" / "report.json").read_text())


@pytest.mark.slow
def test_a_good_pack_verifies_and_measures_from_the_command_line(pack_folder, tmp_path):
    assert "is whole" in edgepack_warm("verify", pack_folder).stdout
    done = edgepack_warm("measure", pack_folder, "--quick", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    assert "not measured" in done.stdout and "measured on" in done.stdout
