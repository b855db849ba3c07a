"""Whatever stands in place of a module's manifest: each platform says what is wrong with it, and opens nothing."""

import json
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import jvm
import pytest
from linux_module import imported
from module_manifests import TASKS, changes, is_read, whole_manifest

from edgepack.ship.load import device_module
from edgepack.ship.shipping import ship

TESTS = Path(__file__).parent.parent

FILE = {"name": "a", "bytes": 1, "sha256": "0" * 64}
WRONG = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe",
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "a number": b"1",
    "no files": b"{}",
    "a key twice": b'{"files": [], "files": []}',
    **{
        f"files as {files!r:.60}": json.dumps({"files": files}).encode()
        for files in (
            None, 1, "a", {}, [1], [None], [[]], [{}], [FILE | {"name": None}], [FILE | {"bytes": "1"}], [FILE | {"bytes": True}],
            [FILE | {"sha256": 1}], [FILE | {"name": "../a"}], [FILE | {"name": "/etc/passwd"}], [FILE | {"name": ".."}],
            [FILE | {"name": ""}], [FILE | {"name": "a\\b"}], [FILE | {"name": "a\x00"}],
            [FILE | {"name": "C:evil.bin"}], [FILE | {"name": "model.onnx:ads"}], [FILE | {"name": "a\nb"}], [FILE | {"name": ".hidden"}],
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("file", ["module.json", "pack.json"])
def test_what_is_no_manifest_is_a_changed_one(name, file, tmp_path):
    integrity = import_module(f"{device_module().__name__}.integrity")
    (tmp_path / file).write_bytes(WRONG[name])
    with pytest.raises(integrity.Changed) as error:
        integrity.read_manifest(tmp_path, file)
    assert file in error.value.problem and len(error.value.problem) < 400


def read(folder, manifest, file="module.json"):
    """What Python says of a manifest; empty where it is right."""
    return read_text(folder, json.dumps(manifest), file)


def read_text(folder, text, file="module.json"):
    integrity = import_module(f"{device_module().__name__}.integrity")
    (folder / file).write_bytes(text.encode())
    try:
        integrity.read_manifest(folder, file)
    except integrity.Changed as error:
        return error.problem
    return ""


def java(classes, texts):
    return list(jvm.answers_of(classes, "ManifestLines", [], texts))


def javascript(texts):
    command = ["node", str(TESTS / "javascript" / "manifests.mjs")]
    return json.loads(subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True).stdout)


def test_a_file_that_is_listed_and_is_not_there_is_named(tmp_path):
    integrity = import_module(f"{device_module().__name__}.integrity")
    with pytest.raises(integrity.Changed, match="a is missing"):
        integrity.check_files(tmp_path, {"files": [FILE]})


def listed(*names):
    return [FILE | {"name": name} for name in names]


ENCODER, CODED = whole_manifest("text-classification") | {"coded": None}, whole_manifest("text-classification")["coded"]
UNLISTED = {
    "nothing is listed": {"files": []},
    "no model": {"files": listed("tokenizer.json")},
    "a model elsewhere": {"model": "../other.onnx"},
    "a model that is not listed": {"model": "other.onnx"},
    "no tokenizer": {"files": listed("model.onnx")},
    "coded weights that are not listed": {"coded": CODED | {"coded": "other.coded"}},
    "coded weights without a name": {"coded": {"file": "model.onnx"}},
    "coded weights that are no record": {"coded": "weights.coded"},
    "a coded model elsewhere": {"model": "../other.onnx", "coded": CODED | {"file": "../other.onnx"}},
}


@pytest.mark.parametrize("name", UNLISTED)
def test_what_no_hash_is_compared_of_is_not_opened(name, tmp_path):
    module = device_module()
    (tmp_path / "module.json").write_text(json.dumps(ENCODER | UNLISTED[name]))
    with pytest.raises(module.Changed, match=r"module\.json"):
        module.load(tmp_path)


def test_a_model_that_is_listed_or_decoded_from_a_listed_file_may_be_opened(tmp_path):
    assert not read(tmp_path, ENCODER)
    assert not read(tmp_path, ENCODER | {"coded": CODED})
    assert not read(tmp_path, ENCODER | {"files": listed("tokenizer.json", "weights.coded"), "coded": CODED | {"file": "model.onnx"}})


@pytest.mark.parametrize("task", TASKS)
def test_every_key_that_is_gone_and_every_value_of_a_wrong_type_is_named(task, tmp_path):
    manifest = whole_manifest(task)
    assert not read(tmp_path, manifest)
    refused = 0
    for change, changed in changes(manifest):
        problem = read(tmp_path, changed)
        refused += bool(problem)
        assert len(problem) < 200 and (not problem or "module.json" in problem), (change, problem)
        if change.endswith(("is {'a': None}", "is [[]]")) and is_read(change) and not change.startswith("answers is"):
            assert problem, change  # right nowhere
    assert refused > 300


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": 5}, "module.json.task is not a text"),
        ({"session": None}, "module.json.session is not an object"),
        ({"pad_id": True}, "module.json.pad_id is not a whole number"),
        ({"labels": {"0": "a", "2": "b"}}, "module.json.labels has 2 labels, and none with the number 1"),
        ({"answers": {"function": "softmax", "multi_label": True}}, "module.json.answers.thresholds is not one number for each label"),
    ],
)
def test_the_message_names_the_field_and_what_it_should_be(change, says, tmp_path):
    assert says in read(tmp_path, ENCODER | change)


@jvm.needs_java
@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_java_and_javascript_refuse_what_python_refuses_and_nothing_else(classes, tmp_path):
    tried = [(f"{task}: {change}", changed) for task in TASKS for change, changed in changes(whole_manifest(task))]
    tried += [(name, ENCODER | change) for name, change in UNLISTED.items()]
    texts = [json.dumps(changed) for _, changed in tried]
    for (change, changed), in_java, in_javascript in zip(tried, java(classes, texts), javascript(texts), strict=True):
        problem = read(tmp_path, changed)
        assert bool(problem) == bool(in_java) == bool(in_javascript), (change, problem, in_java, in_javascript)


TEXT = json.dumps(whole_manifest("text-generation"))
SPELLED = {  # what other writers than json.dumps may write, and whether it is refused
    "as it is": (TEXT, False),
    "with blanks and escapes": ("\r\n\t " + TEXT.replace('"schema"', '"\\u0073chema"').replace(", ", " ,\n") + "\n", False),
    "a byte order mark": ("\ufeff" + TEXT, True),
    "another blank": ("\u00a0" + TEXT, True),
    "a key twice": ('{"task": "x", ' + TEXT[1:], True),
    "a key twice, once with an escape": ('{"t\\u0061sk": "x", ' + TEXT[1:], True),
    "a key twice further in": (TEXT.replace('"heads": 2', '"heads": 2, "heads": 2'), True),
    "a key twice where nothing is read": (TEXT.replace('"versions": {', '"versions": {"a": 1, "a": 2, '), True),
    "a number's own key in two lists": (TEXT.replace('"versions": {', '"versions": {"a": [{"b": 1}, {"b": 1}], '), False),
    "a schema of 1.0": (TEXT.replace('"schema": 1', '"schema": 1.0'), True),
    "a length with a fraction": (TEXT.replace('"max_length": 64', '"max_length": 64.0'), True),
    "a length with an exponent": (TEXT.replace('"max_length": 64', '"max_length": 64e0'), True),
    "an id with a large exponent": (TEXT.replace('"pad_id": 0', '"pad_id": 0E0'), True),
    "a size with a fraction": (TEXT.replace('"bytes": 1,', '"bytes": 1.0,', 1), True),
    "an id of a list with a fraction": (TEXT.replace('"stop_ids": [2]', '"stop_ids": [2, 2.0]'), True),
    "a tolerance with an exponent": (TEXT.replace('"golden_tolerance": 0.1', '"golden_tolerance": 1e0'), False),
    "a number too large where nothing is read": (TEXT.replace('"versions": {', '"versions": {"a": 1e400, '), True),
    "NaN where nothing is read": (TEXT.replace('"versions": {', '"versions": {"a": NaN, '), True),
    "NaN among the special tokens": (TEXT.replace('"bos_token": "<s>"', '"bos_token": NaN'), True),
    "infinity where nothing is read": (TEXT.replace('"versions": {', '"versions": {"a": -Infinity, '), True),
    "half a character where nothing is read": (TEXT.replace('"versions": {', '"versions": {"a": "\\ud83d", '), True),
    "half a character in a key": (TEXT.replace('"versions": {', '"versions": {"\\udd25": 1, '), True),
    "a whole character as two escapes": (TEXT.replace('"versions": {', '"versions": {"a": "\\ud83d\\udd25", '), False),
    "a key as of every JavaScript object": (TEXT.replace('"versions": {', '"versions": {"__proto__": {"a": 1.5}, '), False),
    "brackets and quotes within a text": (TEXT.replace('"versions": {', '"versions": {"a": "}{][,\\"\\\\", '), False),
    "as deep as may be": (TEXT.replace('"versions": {', '"versions": {"a": ' + "[" * 199 + "]" * 199 + ", "), False),
    "too deep": (TEXT.replace('"versions": {', '"versions": {"a": ' + "[" * 200 + "]" * 200 + ", "), True),
    "text behind the end": (TEXT + "x", True),
}


@jvm.needs_java
@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_all_platforms_read_the_same_spellings_of_a_manifest(classes, tmp_path):
    texts = [text for text, _ in SPELLED.values()]
    assert len(set(texts)) == len(texts)
    wanted = {name: is_refused for name, (_, is_refused) in SPELLED.items()}
    for problems in ([read_text(tmp_path, text) for text in texts], java(classes, texts), javascript(texts)):
        assert {name: bool(problem) for name, problem in zip(SPELLED, problems, strict=True)} == wanted


@jvm.needs_java
@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_java_and_javascript_name_what_is_no_json(classes):
    texts = ["", "{", "[]", "1", "[" * 100_000, "null"]
    assert all(java(classes, texts)) and all(javascript(texts))


def test_all_platforms_state_the_same_fields():
    python = import_module(f"{device_module().__name__}.manifest")
    wanted = [line for line in (python.FIELDS + python.MODULE_FIELDS).split("\n") if line]
    javascript_lines = re.search(r"FIELDS = `\n(.*?)`", (TESTS.parent / "targets/web/src/manifest.js").read_text(), re.DOTALL)
    java_text = (jvm.JAVA / "core" / "ManifestTable.java").read_text()
    assert javascript_lines.group(1).split("\n")[:-1] == wanted
    assert re.findall(r'^        "(.*)",$', java_text, re.MULTILINE) == wanted


@pytest.fixture(scope="module")
def module(pack_folder, tmp_path_factory):
    """A Python module whose manifest a test may change: its other files are those that it lists."""
    out = tmp_path_factory.mktemp("module") / "out"
    ship(pack_folder, "python", out, name="intents")
    return out


@pytest.mark.parametrize("task", ["", "text-regression", "__class__"])
def test_a_task_that_the_module_does_not_answer_is_named(module, tmp_path, task):
    copy = shutil.copytree(module, tmp_path / "copy")
    path = copy / "intents" / "model" / "module.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"task": task}))
    code = imported(copy)
    with pytest.raises(code.ModuleError, match="is no task that this module answers"):
        code.load(threads=1)


@pytest.mark.slow
def test_a_real_module_answers_or_says_what_is_wrong_whatever_is_changed_in_its_manifest(module):
    code, path = imported(module), module / "intents" / "model" / "module.json"
    whole = path.read_text()
    try:
        for change, changed in changes(json.loads(whole)):
            if not change.endswith(("is gone", "is [[]]")) or change.startswith(("files", "versions")):
                continue  # the others are read by the same lines
            path.write_text(json.dumps(changed))
            try:
                with code.load(threads=1) as model:
                    model("turn on the light")
                    assert model.task == "text-classification", change
            except code.ModuleError as error:
                assert len(str(error)) < 500, change
    finally:
        path.write_text(whole)
    assert code.self_test(threads=1).ok


def test_the_self_test_reads_no_golden_vectors_that_are_not_listed(module, tmp_path):
    copy = shutil.copytree(module, tmp_path / "copy")
    path = copy / "intents" / "model" / "module.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"files": [entry for entry in manifest["files"] if entry["name"] != "golden.jsonl"]}))
    assert "lists no golden.jsonl" in imported(copy).self_test(threads=1).problem
