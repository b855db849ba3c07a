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
