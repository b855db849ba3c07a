"""Nothing in a pack becomes code: hostile values in every string of it, every platform, and a parser of each language that comes out."""

import configparser
import hashlib
import json
import re
import shutil
import subprocess
import tomllib
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from packaging.requirements import Requirement

from edgepack.core import escape
from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import MANIFEST_FILE, Manifest, read_manifest
from edgepack.report.judge import judge
from edgepack.report.junit import junit
from edgepack.report.model_card import write_model_card
from edgepack.report.write import html, markdown
from edgepack.ship.shipping import platform_names, ship

MARK = "hxstile"  # stands in every hostile value: where it comes out, it must be a value
HOSTILE = (
    f'{MARK}"; evil("x"); //',
    f"{MARK}' --index-url http://evil.example/simple",
    f"{MARK}\n[build-system]\nrequires = ['evil']\nExecStart=/bin/evil\n--index-url http://evil.example",
    f"${{{MARK}}} $({MARK}) `{MARK}` %n %h {{{{ {MARK} }}}} {{% {MARK} %}}",
    f"</script></title><img src=x onerror={MARK}> <script>{MARK}</script> ]]> <!-- {MARK}",
    f"| {MARK} | [{MARK}](http://evil.example) ![x](http://evil.example) **{MARK}** http://evil.example www.evil.example",
    f"# {MARK}\n\n```\n{MARK}\n```\n---\nlicense: evil\n---\n",
    f"{MARK}\u2028\u2029\u0085\x00\x07\x1b[31m\u202e\u2066\ufeff\\u000a\\",
    f"1.0; python_version<'3' @ http://evil.example/{MARK} -e .",
    f"../../{MARK}/../x",
)


def places(content, path=()):
    """The place of every string of a JSON value; those of a list's later entries are like those of its first."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from places(value, (*path, key))
    elif isinstance(content, list):
        yield from places(content[0], (*path, 0)) if content else ()
    elif isinstance(content, str):
        yield path


def poisoned(content, paths, value):
    copy = json.loads(json.dumps(content))
    for path in paths:
        part = copy
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
    return copy


@pytest.fixture(scope="module")
def open_places(pack_folder):
    """The places of pack.json that take any text: all others are refused where the pack is read."""
    content = json.loads((pack_folder / MANIFEST_FILE).read_text())
    return [path for path in places(content) if any(_is_read(poisoned(content, [path], value)) for value in HOSTILE)]


def _is_read(content) -> bool:
    try:
        Manifest.read(content, MANIFEST_FILE)
    except EdgepackError:
        return False
    return True


def test_what_becomes_code_is_refused_where_the_pack_is_read(pack_folder, open_places):
    closed = {".".join(map(str, path)) for path in places(json.loads((pack_folder / MANIFEST_FILE).read_text()))}
    closed -= {".".join(map(str, path)) for path in open_places}
    versions = {f"versions.{name}" for name in read_manifest(pack_folder).versions}
    assert versions | {"task", "model", "edgepack", "format", "files.0.name", "files.0.sha256"} <= closed


@pytest.mark.slow
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_of_a_pack_escapes_its_place_on_any_platform(pack_folder, open_places, tmp_path, monkeypatch, value):
    node = shutil.which("node")
    monkeypatch.setenv("PATH", str(tmp_path))  # no javac: the Java sources, which are read below, hold no value of a pack
    pack = shutil.copytree(pack_folder, tmp_path / "pack")
    content = json.loads((pack / MANIFEST_FILE).read_text())
    taken = [path for path in open_places if _is_read(poisoned(content, [path], value))]
    assert (("labels", "0") in taken) and len(taken) > 10
    taken = [path for path in taken if not _stops(pack, content, path, value, "python", tmp_path / "python")]
    shipped = [platform for platform in platform_names() if _ships(pack, content, taken, value, platform, tmp_path / platform)]
    assert shipped == platform_names()
    for platform in shipped:
        _check_folder(tmp_path / platform, node)


def _write(pack: Path, content) -> None:
    """As somebody does who seals the pack anew: with its own hash."""
    unsealed = "0" * 64
    text = json.dumps(content | {"sha256": unsealed})
    (pack / MANIFEST_FILE).write_text(text.replace(unsealed, hashlib.sha256(text.encode()).hexdigest(), 1))


def _ships(pack: Path, content, taken, value, platform, out) -> bool:
    """With every place poisoned that does not stop the platform by name; a crash is a failure of the test."""
    kept = list(taken)
    while kept:
        _write(pack, poisoned(content, kept, value))
        try:
            ship(pack, platform, out, package="com.example.intents")
            return True
        except EdgepackError as error:  # the runtime of the plan and the like decide which code is shipped
            stops = [path for path in kept if _stops(pack, content, path, value, platform, out)]
            assert stops, error
            kept = [path for path in kept if path not in stops]
    return False


def _stops(pack, content, path, value, platform, out) -> bool:
    _write(pack, poisoned(content, [path], value))
    trial = out.with_name(f"{platform}-trial")
    shutil.rmtree(trial, ignore_errors=True)
    try:
        ship(pack, platform, trial, package="com.example.intents")
    except EdgepackError:
        return True
    return False


def _check_folder(folder: Path, node: str | None) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name in CHECKS:
            CHECKS[path.name](path.read_text(encoding="utf-8"))
        elif path.is_file() and path.suffix in CHECKS:
            CHECKS[path.suffix](path.read_text(encoding="utf-8"))
        elif path.suffix == ".aar":
            with zipfile.ZipFile(path) as archive:
                ElementTree.fromstring(archive.read("AndroidManifest.xml"))
        elif path.suffix in (".java", ".js", ".mjs", ".py"):
            assert MARK not in path.read_text(encoding="utf-8"), path
    if node and (folder / "src" / "signer.js").is_file():
        subprocess.run([node, "--check", str(folder / "src" / "signer.js")], check=True, capture_output=True)


def _toml(text: str) -> None:
    content = tomllib.loads(text)
    assert content["build-system"] == {"requires": ["hatchling>=1.26"], "build-backend": "hatchling.build"}
    assert set(content) == {"build-system", "project", "tool"}
    _requirements("\n".join(content["project"]["dependencies"]))


def _requirements(text: str) -> None:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            found = Requirement(line.split(" \\")[0])
            assert found.url is None and found.marker is None and found.name in KNOWN, line


KNOWN = {"numpy", "onnxruntime", "tokenizers", "waitress", "cryptography", "cffi", "ai-edge-litert", "tflite-runtime"}


def _unit(text: str) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str
    unit.read_string(text)
    assert set(unit) == {"DEFAULT", "Unit", "Service", "Install"} and MARK not in str(dict(unit["Service"]))


def _gradle(text: str) -> None:
    """What is left of the file without comments and strings is the template's own code; no string interpolates."""
    strings = re.findall(r'"(?:[^"\\\n]|\\.)*"', re.sub(r"//.*", "", text))
    assert not any(re.search(r"(?<!\\)\$", string) for string in strings)
    assert MARK not in re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)


def _markdown(text: str) -> None:
    """No tag, no link and no image but the template's own, and no hostile mark: `hxstile` stands in plain text or in code."""
    front = re.match(r"---\n(.*?)\n---\n", text, re.S)
    if front:
        import yaml

        assert set(yaml.safe_load(front[1])) <= {"license", "library_name", "pipeline_tag", "tags"}
        text = text[front.end() :]
    for token in _tokens(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)):
        assert token.type not in ("html_block", "html_inline", "image"), token.content
        if token.type == "link_open":
            assert "evil" not in token.attrs["href"]
        if token.type in ("fence", "code_block"):
            assert MARK not in token.content
    assert not re.search("[\x00\x07\x1b\u202e\u2066\u2028]", text)


def _tokens(tokens):
    for token in tokens:
        yield token
        yield from _tokens(token.children or [])


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def _page(text: str) -> None:
    page = _Page()
    page.feed(text)
    assert not page.tags & {"script", "img"} and "onerror" not in page.attributes
    assert not re.search("[\x00\x07\x1b\u202e\u2066\u2028]", text)


CHECKS = {
    "pyproject.toml": _toml,
    "requirements.txt": _requirements,
    "build.gradle.kts": _gradle,
    ".service": _unit,
    ".xml": ElementTree.fromstring,
    ".json": json.loads,
    ".md": _markdown,
}


@pytest.mark.slow
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_escapes_in_reports_and_in_the_card(pack_folder, open_places, tmp_path, value):
    content = json.loads((pack_folder / MANIFEST_FILE).read_text())
    taken = [path for path in open_places if _is_read(poisoned(content, [path], value)) and not _breaks(content, path, value, tmp_path)]
    manifest = Manifest.read(poisoned(content, taken, value), MANIFEST_FILE)
    report = judge(manifest, None).model_copy(update={"notes": (value,), "headline": value, "device": value})
    _markdown(markdown(report))
    _page(html(report))
    ElementTree.fromstring(junit(report))
    write_model_card(tmp_path, manifest)
    _markdown((tmp_path / "README.md").read_text(encoding="utf-8"))


def _breaks(content, path, value, tmp_path) -> bool:
    """A place that selects code here, such as the plan's runtime, and not text that is shown."""
    try:
        manifest = Manifest.read(poisoned(content, [path], value), MANIFEST_FILE)
        judge(manifest, None)
        write_model_card(tmp_path, manifest)
    except (EdgepackError, KeyError):
        return True
    return False


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
