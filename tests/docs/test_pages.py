"""Pages say what is true: links lead somewhere, generated pages are current, commands exist, words are those of the glossary."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from pages import DOCS, PAGES, ROOT, blocks_of

from edgepack.cli.app import app

README = ROOT / "README.md"
TEXTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", *PAGES]
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_readme_is_short_and_leads_to_a_success_within_12_lines():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert any(line.startswith("make demo") for line in lines[:12])


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_a_link_to_a_file_leads_to_one(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, _ in _LINK.findall(text):
        if not re.match(r"\w+:", target):
            assert (page.parent / target).resolve().exists(), target


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path):
    """A dead link, a page that no table of contents names, and a heading that is skipped are warnings."""
    folders = [str(DOCS), str(tmp_path / "site")]
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees"), *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()


def test_pages_that_come_from_the_code_are_current():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert not list(generate.outdated()), "run `python docs/generate.py`"


def commands() -> dict[str, set[str]]:
    """Each command with its flags, as the command line has them."""
    result: dict[str, set[str]] = {}

    def walk(path: str, command) -> None:
        result[path] = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
        for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
            walk(f"{path} {name}", command.get_command(None, name))

    walk("edgepack", typer.main.get_command(app))
    return result


def written_commands(page: Path) -> list[list[str]]:
    """The words of each `edgepack ...` in a page: in blocks for a shell, and in running text where flags follow."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks_of(page) if block.info.startswith("sh") for line in block.body.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(edgepack [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    result = []
    for line in lines:
        for part in re.split(r"&&|;|\|", re.sub(r"(^|\s)#.*", "", line)):
            words = part.split()
            if words[:1] == ["edgepack"]:
                result.append(words)
    return result


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_a_command_in_a_page_exists_with_its_flags(page: Path):
    known = commands()
    for words in written_commands(page):
        path = "edgepack"
        for word in words[1:]:
            if f"{path} {word}" not in known:
                break
            path += f" {word}"
        assert path != "edgepack" or len(words) == 1 or words[1].startswith(("-", "...")), words
        for flag in (word.split("=")[0] for word in words if re.match(r"--\w", word)):
            assert flag in known[path] or _adds(page, flag), (flag, words)


def _adds(page: Path, flag: str) -> bool:
    """Whether the page itself tells how to add the setting that the flag follows from."""
    name = flag.removeprefix("--").replace("-", "_")
    return any(block.how == "becomes" and f"    {name}: " in block.body for block in blocks_of(page))


# The glossary's words, and what other projects call the same thing.
FORBIDDEN = {
    r"device files?": "profile",
    r"inference engines?": "runtime",
    r"plug-?ins?": "module",
    r"feed-forward part": "FFN",
    r"(?:the )?edge devices?": "device",
    r"teacher network": "teacher",
    r"hyper-?parameters?": "settings",
    r"megabytes?": "MB",
    r"latencies of": "latency of",
    r"sanity checks?": "check",
    r"utili[sz]es?": "use",
    r"leverages?": "use",
    r"seamless(?:ly)?": "",
    r"blazing(?:ly)?": "",
    r"simply|obviously|of course|just works": "",
    r"director(?:y|ies)": "folder",
    r"hidden sizes?": "hidden width",
    r"text lengths?": "sequence length",
    r"(?:was|were) at hand": "was available",
    r"otherwise than": "differently from",
    r"mend": "correct",
    r"so many": "this many",
    r"chose nothing": "held-out texts",
}


@pytest.mark.parametrize("page", [page for page in TEXTS if page.name != "glossary.md" and "reference" not in page.parts], ids=name_of)
def test_a_page_keeps_to_the_words_of_the_glossary(page: Path):
    text = re.sub(r"(?m)^import [\w.]+$", "", page.read_text(encoding="utf-8"))  # names of others' packages
    for pattern, word in FORBIDDEN.items():
        if page.name == "wrap-a-module.md" and "plug" in pattern:
            continue  # Flutter has plugins
        match = re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE)
        assert not match, f"{match[0]!r}: write {word!r}" if word else f"{match[0]!r}: leave it out"


def messages() -> list[tuple[str, str]]:
    """Texts of edgepack's code that users may see, with their place: literals of several words, without docstrings."""
    texts = []
    for path in sorted((ROOT / "edgepack").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
            if is_text and " " in node.value.strip():
                texts.append((f"{name_of(path)}:{node.lineno}", node.value))
    return texts


def test_a_message_keeps_to_the_words_of_the_glossary():
    wrong = [
        f"{place}: {match[0]!r}: write {word!r}"
        for place, text in messages()
        for pattern, word in FORBIDDEN.items()
        if pattern != r"plug-?ins?"  # qemu has plugins
        if (match := re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE))
    ]
    assert not wrong


def test_the_glossary_has_the_words_that_pages_use():
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    words = (
        "target", "profile", "platform", "stage", "step", "budget", "head", "FFN", "student", "teacher", "smoothing", "sequence length",
        "calibration", "gate", "session", "pack", "module", "golden vectors", "p90", "measured, emulated, throttled, predicted",
    )  # fmt: skip
    for word in words:
        assert re.search(rf"\*\*[^*]*\b{re.escape(word)}\b[^*]*\*\*", text), word
