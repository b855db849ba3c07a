"""Nothing in a pack becomes code: hostile values in every string of it, every platform, and a parser of each language that comes out."""

import json
import shutil
import subprocess
import tomllib
from xml.etree import ElementTree

import pytest
from hostile import HOSTILE, check_folder, check_reports, kotlin_strings, open_places, places, shipped_poisoned

from edgepack.core import escape
from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import MANIFEST_FILE, read_manifest, seal
from edgepack.ship.platforms import android, platform_names
from edgepack.ship.shipping import ship


@pytest.fixture(scope="module")
def content(pack_folder):
    return json.loads((pack_folder / MANIFEST_FILE).read_text())


def test_what_becomes_code_is_refused_where_the_pack_is_read(pack_folder, content):
    closed = {".".join(map(str, path)) for path in places(content)} - {".".join(map(str, path)) for path in open_places(content)}
    versions = {f"versions.{name}" for name in read_manifest(pack_folder).versions}
    assert versions | {"task", "model", "edgepack", "format", "files.0.name", "files.0.sha256"} <= closed


@pytest.mark.slow
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_of_a_pack_escapes_its_place_on_any_platform(pack_folder, content, tmp_path, value):
    pack = shutil.copytree(pack_folder, tmp_path / "pack")
    for platform in platform_names():
        assert shipped_poisoned(pack, content, value, platform, tmp_path / platform) > 10


@pytest.mark.parametrize("value", HOSTILE)
def test_texts_of_golden_vectors_are_values_in_a_sample(pack_folder, tmp_path, monkeypatch, value):
    monkeypatch.setattr(android, "classes_jar", lambda *_: None)
    pack = shutil.copytree(pack_folder, tmp_path / "pack")
    rows = [json.loads(line) for line in (pack / "golden.jsonl").read_text().splitlines()]
    (pack / "golden.jsonl").write_text("".join(json.dumps(row | {"text": f"{value}{number}"}) + "\n" for number, row in enumerate(rows)))
    seal(pack, read_manifest(pack))
    ship(pack, "android", tmp_path / "out", package="com.example.intents", with_sample=True)
    check_folder(tmp_path / "out")
    (code,) = (tmp_path / "out").rglob("Examples.kt")
    shown = [json.loads(f'"{string}"'.replace("\\$", "$")) for string in kotlin_strings(code.read_text())]  # JSON's escapes, and one more
    assert shown[::2] == [f"{value}{number}" for number in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_escapes_in_reports_and_in_the_card(content, tmp_path, value):
    assert check_reports(content, value, tmp_path) > 10


@pytest.mark.parametrize("value", HOSTILE)
def test_every_escaper_gives_back_the_value_when_its_language_is_read(value, tmp_path):
    assert tomllib.loads(f'a = "{escape.toml(value)}"')["a"] == value
    assert eval(f'"{escape.python(value)}"') == value  # what Python's own reader makes of it
    script = tmp_path / "a.mjs"
    script.write_text(f'process.stdout.write(JSON.stringify(["{escape.javascript(value)}"]));', encoding="utf-8")
    assert json.loads(subprocess.run(["node", str(script)], capture_output=True, text=True, check=True).stdout) == [value]
    for written in (escape.html(value), escape.xml(value)):
        assert ElementTree.fromstring(f'<a b="{written}">{written}</a>').text == escape.visible(value)
    assert "\n" not in escape.systemd(value)
    with pytest.raises(EdgepackError, match="is not a version of numpy"):
        escape.requirement("numpy", value)


@pytest.mark.skipif(not shutil.which("java"), reason="no java here: apt-get install default-jdk")
def test_javas_escaper_gives_back_every_value(tmp_path):
    strings = ", ".join(f'"{escape.java(value)}"' for value in HOSTILE)
    code = f'for (String s : new String[] {{{strings}}}) {{ System.out.println(s.length() + ":" + s.hashCode()); }}'
    source = tmp_path / "A.java"
    source.write_text(f"class A {{ public static void main(String[] a) {{ {code} }} }}", encoding="ascii")
    lines = subprocess.run(["java", str(source)], capture_output=True, text=True, check=True).stdout.split()
    assert lines == [f"{len(value)}:{_java_hash(value)}" for value in HOSTILE]


def _java_hash(text: str) -> int:
    total = 0
    for character in text:
        total = (31 * total + ord(character)) & 0xFFFFFFFF
    return total - (1 << 32) if total >> 31 else total
