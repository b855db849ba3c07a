"""Whatever stands in place of a module's manifest: the module says that it was changed, and opens nothing."""

import json
from importlib import import_module

import pytest

from edgepack.ship.load import device_module

FILE = {"name": "a", "bytes": 1, "sha256": "0" * 64}
WRONG = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe",
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "a number": b"1",
    "no files": b"{}",
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


def test_a_file_that_is_listed_and_is_not_there_is_named(tmp_path):
    integrity = import_module(f"{device_module().__name__}.integrity")
    (tmp_path / "pack.json").write_text(json.dumps({"files": [FILE]}))
    with pytest.raises(integrity.Changed, match="a is missing"):
        integrity.check_files(tmp_path, integrity.read_manifest(tmp_path, "pack.json"))


LISTED = [FILE | {"name": name} for name in ("tokenizer.json", "model.onnx", "weights.coded")]
CODED = {"file": "model.onnx.data", "coded": "weights.coded", "bytes": 1, "sha256": "0" * 64, "start": "expand"}
UNLISTED = {
    "nothing is listed": {"files": []},
    "no model": {"files": LISTED},
    "a model that is no text": {"files": LISTED, "model": ["model.onnx"]},
    "a model elsewhere": {"files": LISTED, "model": "../other.onnx"},
    "a model that is not listed": {"files": LISTED, "model": "other.onnx"},
    "no tokenizer": {"files": LISTED[1:], "model": "model.onnx"},
    "coded weights that are not listed": {"files": LISTED, "model": "model.onnx", "coded": CODED | {"coded": "other.coded"}},
    "coded weights without a name": {"files": LISTED, "model": "model.onnx", "coded": {"file": "model.onnx"}},
    "coded weights that are no record": {"files": LISTED, "model": "model.onnx", "coded": "weights.coded"},
    "a coded model elsewhere": {"files": LISTED, "model": "../other.onnx", "coded": CODED | {"file": "../other.onnx"}},
}


@pytest.mark.parametrize("name", UNLISTED)
def test_what_no_hash_is_compared_of_is_not_opened(name, tmp_path):
    module = device_module()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "module.json").write_text(json.dumps(UNLISTED[name]))
    with pytest.raises(module.Changed, match=r"module\.json"):
        module.load(tmp_path / "model")


def test_a_model_that_is_listed_or_decoded_from_a_listed_file_may_be_opened():
    integrity = import_module(f"{device_module().__name__}.integrity")
    integrity.check_opened({"files": LISTED, "model": "model.onnx"}, "module.json")
    integrity.check_opened({"files": LISTED, "model": "model.onnx", "coded": CODED}, "module.json")
    integrity.check_opened(
        {"files": LISTED[:1] + LISTED[2:], "model": "model.onnx", "coded": CODED | {"file": "model.onnx"}}, "module.json"
    )
