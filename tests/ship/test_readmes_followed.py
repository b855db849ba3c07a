"""Each module is used as its README says: its code runs as it stands there, for every task, and so do its commands where they can here."""

import functools
import re
import shlex
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import browsers
import pytest
import type_checker
from jvm import needs_java
from jvm_module import built, main, started
from kotlin_compiler import compile_all, library
from small import make_model

from edgepack.pipeline.build import build
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.shipping import ship
from edgepack.tasks import task_named, task_names

pytestmark = pytest.mark.slow
ADDRESS = "http://127.0.0.1:8090/"
_RUN_S = 120


@pytest.fixture(scope="module")
def packs(pack_folder, stories_pack, cache, tmp_path_factory) -> dict[str, Path]:
    """A pack of each task."""
    made = {"text-classification": pack_folder, "text-generation": stories_pack}
    for task in set(task_names()) - set(made):
        place = tmp_path_factory.mktemp(task)
        (place / "model").mkdir()
        make_model(place / "model", task=task, labels=("O", "B-LOC", "I-LOC"))
        recipe = Recipe(model=str(place / "model"), task=task, student="same", prune_heads=0.0, precision="fp32")
        build(recipe, load_profile("raspberry-pi"), place / "pack", cache, effort=None)
        made[task] = place / "pack"
    return made


def shipped(pack: Path, platform: str, out: Path) -> str:
    """Its README."""
    ship(pack, platform, out, name="intents", **({"package": "com.example.intents"} if platform in ("android", "jvm") else {}))
    return (out / "README.md").read_text(encoding="utf-8")


def blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"(?m)^```{language}\n(.*?)^```", readme, re.S)


def commands(readme: str, start: str) -> list[list[str]]:
    """The words behind `start` of each line of the README's commands, without its comment."""
    lines = [line for block in blocks(readme, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[len(start.split()) :] for line in lines if line.startswith(start)]


def printed(command: list[str], place: Path) -> str:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_RUN_S, check=False)
    assert done.returncode == 0 and done.stdout.strip(), (command, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.parametrize("task", task_names())
def test_the_python_modules_readme_is_followed(task, packs, tmp_path):
    readme = shipped(packs[task], "python", tmp_path / "out")
    tested, asked = commands(readme, "python -m intents")
    assert '"ok": true' in printed([sys.executable, "-m", "intents", *tested], tmp_path / "out")
    printed([sys.executable, "-m", "intents", *asked], tmp_path / "out")
    (code,) = blocks(readme, "python")
    printed([sys.executable, "-c", code], tmp_path / "out")


def test_the_python_modules_commands_install_it_on_a_bare_machine(packs, tmp_path):
    readme = shipped(packs["text-classification"], "python", tmp_path / "out")
    (block,) = blocks(readme, "sh")
    done = subprocess.run(["bash", "-ec", block], cwd=tmp_path / "out", capture_output=True, text=True, timeout=600, check=False)
    if "Could not find a version" in done.stderr or "No matching distribution" in done.stderr:
        pytest.skip("pip has no index here")
    assert done.returncode == 0, done.stderr
    assert '"ok": true' in done.stdout and '"label": ' in done.stdout
    (code,) = blocks(readme, "python")
    printed([str(tmp_path / "out" / ".venv" / "bin" / "python"), "-c", code], tmp_path)  # from anywhere, as it is installed


@contextmanager
def served(folder: Path):
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "intents", "--serve", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
@pytest.mark.parametrize("task", task_names())
def test_the_linux_modules_commands_and_requests_are_answered(task, packs, tmp_path):
    readme = shipped(packs[task], "linux", tmp_path / "out")
    tested, asked = commands(readme, ".venv/bin/python -m intents")
    assert '"ok": true' in printed([sys.executable, "-m", "intents", *tested], tmp_path / "out")
    printed([sys.executable, "-m", "intents", *asked], tmp_path / "out")
    (code,) = re.findall(r"In Python: `(.*)`\.$", readme, re.M)
    printed([sys.executable, "-c", f"{code.rpartition('; ')[0]}; print({code.rpartition('; ')[2]})"], tmp_path / "out")
    requests = commands(readme, "curl")
    assert requests and all(any(word.startswith(ADDRESS) for word in request) for request in requests)
    with served(tmp_path / "out") as address:
        for request in requests:
            answered = printed(["curl", "--fail-with-body", "-sS", *(word.replace(ADDRESS, address) for word in request)], tmp_path)
            assert "error" not in answered, answered


SNIPPET = """{imports}
public final class Snippet {{
    public static void main(String[] arguments) throws Exception {{
{code}
    }}
}}
"""


def halves(code: str) -> tuple[str, str]:
    """The imports of a piece of code, and the rest."""
    lines = code.splitlines()
    return tuple("\n".join(line for line in lines if line.startswith("import ") is wanted) for wanted in (True, False))


@needs_java
@pytest.mark.parametrize("task", task_names())
def test_the_jvm_modules_code_and_commands_run(task, packs, tmp_path):
    readme, model = shipped(packs[task], "jvm", tmp_path / "out"), tmp_path / "out" / "model"
    (code,) = blocks(readme, "java")
    imports, rest = halves(code)
    (tmp_path / "Snippet.java").write_text(SNIPPET.format(imports=imports, code=rest), encoding="utf-8")
    classes = built(tmp_path / "out", tmp_path, tmp_path / "Snippet.java")
    answered = started(classes, model, "Snippet", place=tmp_path / "out")
    assert answered.returncode == 0 and answered.stdout.strip(), answered
    tested, asked = commands(readme, "java -cp")
    assert main(classes, model, *tested[3:]).stdout.startswith("yes:")
    assert main(classes, model, *asked[3:]).returncode == 0


@needs_java
def test_the_android_modules_kotlin_compiles_for_every_task(packs, tmp_path):
    if library() is None:
        pytest.skip("npm does not give Kotlin's compiler")
    java, kotlin = [], []
    for task, pack in packs.items():
        name, out = task_named(task).java_method, tmp_path / task
        ship(pack, "android", out, package=f"com.example.{name}")
        code = next(block for block in blocks((out / "README.md").read_text(encoding="utf-8"), "kotlin") if "Assets.open" in block)
        imports, rest = halves(code)
        kotlin.append(tmp_path / f"{name.capitalize()}Snippet.kt")
        kotlin[-1].write_text(f"{imports}\n\nfun {name}Snippet(context: android.content.Context) {{\n{rest}\n}}\n", encoding="utf-8")
        java += (out / "src").rglob("*.java")
        kotlin += (out / "kotlin").rglob("*.kt")
    (tmp_path / "classes").mkdir()
    assert compile_all(java, kotlin, tmp_path / "classes") == ""


@contextmanager
def shown(folder: Path):
    """The address of a folder, as any server of files shows it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("task", task_names())
def test_the_web_modules_code_is_typescript_too(task, packs, tmp_path):
    if type_checker.packages() is None:
        pytest.skip("npm does not give TypeScript's compiler")
    readme = shipped(packs[task], "web", tmp_path / "out")
    (code,), (answer,) = blocks(readme, "js"), re.findall(r"`model\.ask<(\w+)>\(", readme)
    (tmp_path / "out" / "dist" / "index.d.ts").write_bytes((tmp_path / "out" / "src" / "index.d.ts").read_bytes())
    typed = code.replace(".ask(", f".ask<{answer}>(")
    (tmp_path / "out" / "page.ts").write_text(f"import type {{ {answer} }} from './dist/index.js';\n{typed}", encoding="utf-8")
    assert type_checker.complaints(tmp_path / "out" / "page.ts") == ""


def test_the_page_on_wrapping_modules_shows_typescript_that_react_native_takes(tmp_path):
    if type_checker.packages() is None:
        pytest.skip("npm does not give TypeScript's compiler")
    page = Path(__file__).parents[2] / "docs" / "guides" / "wrap-a-module.md"
    (code,) = blocks(page.read_text(encoding="utf-8"), "typescript")
    (tmp_path / "node_modules").symlink_to(type_checker.packages())
    (tmp_path / "bridge.ts").write_text(code, encoding="utf-8")
    assert type_checker.complaints(tmp_path / "bridge.ts", "--skipLibCheck") == ""


@pytest.mark.parametrize("task", task_names())
def test_the_web_modules_code_runs_in_a_page(task, packs, tmp_path):
    if reason := browsers.missing():
        pytest.skip(reason)
    readme, out = shipped(packs[task], "web", tmp_path / "out"), tmp_path / "out"
    install = blocks(readme, "sh")[0].splitlines()[0]
    done = subprocess.run(["bash", "-ec", install], cwd=out, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"the packages are not to be had: {done.stderr[-300:]}")
    (code,) = blocks(readme, "js")
    page_text = f'<!doctype html><meta charset="utf-8"><script type="module">{code}\ndocument.title = "done";</script>'
    (out / "page.html").write_text(page_text, encoding="utf-8")
    lines: list[str] = []
    with shown(out) as address, browsers.browser() as chromium:
        page = chromium.new_page()
        page.on("console", lambda message: lines.append(message.text))
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.goto(f"{address}page.html")
        page.wait_for_function("document.title === 'done'", timeout=_RUN_S * 1000)
    assert "ok: true" in lines[-1] and len(lines) > 2, lines
