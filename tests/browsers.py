"""A built web module, its server and a real Chromium, for tests and benchmarks; says what is missing where one of them is."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
NODE_SHORT_RUN = ("--liftoff-only",)  # WebAssembly by V8's first compiler alone: the second costs more than a short run gains
_INSTALL_S = 300


def missing() -> str | None:
    """What a web test needs and this machine has not."""
    for command in ("node", "npm"):
        if not shutil.which(command):
            return f"{command} is not installed"
    if not Path(CHROMIUM).exists():
        return "Chromium is not installed"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return None


def build(module: Path) -> str | None:
    """As the module's README says; what went wrong, None where nothing did."""
    for command in (["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], ["npm", "run", "build"]):
        done = subprocess.run(command, cwd=module, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
        if done.returncode != 0:
            return f"{' '.join(command)}: {done.stderr.strip()[-300:]}"
    return None


@contextmanager
def served(module: Path, threads: bool = True) -> Iterator[str]:
    """The address at which the module's own server shows dist/."""
    more = [] if threads else ["--one-thread"]
    process = subprocess.Popen(["node", "serve.mjs", "--port=0", *more], cwd=module, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        result = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield result
        finally:
            result.close()
