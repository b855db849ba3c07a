"""Transport browser://chromium: onnxruntime-web in a new headless browser on this machine for each job, driven by playwright."""

import contextlib
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError, did_you_mean
from edgepack.core.host import is_alive
from edgepack.core.resources import shipped
from edgepack.measure.machines import processes
from edgepack.measure.machines.javascript import ABILITIES, completed, emulated_by, facts_of, host, pushed_nothing
from edgepack.measure.machines.job_answers import checked
from edgepack.measure.machines.jobs import refusal, too_long
from edgepack.measure.machines.machine import Facts, Pushed
from edgepack.measure.machines.npm import check_fetchable, fetched
from edgepack.measure.machines.page_server import PageServer, page_server
from edgepack.measure.machines.targets import Target
from edgepack.pack.manifest import MANIFEST_FILE, Manifest
from edgepack.pack.runnable import RUNNABLE_FILE
from edgepack.plan.runtimes.onnxruntime_web import FACTS

EXAMPLE = "browser://chromium"
TAKES = frozenset({"time_out_s"})
EXTRA = "measure in a browser (`--on browser://chromium`)"
NO_SETUP = "a browser fetches its runtime from edgepack's cache"
_BROWSERS = {"chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")}
_FLAGS = (
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_PAGE = "targets/javascript/page.html"
_DONE = "edgepack has a result"
_START = f"job => {{ run(job).then((result) => {{ globalThis.result = result; console.info('{_DONE}'); }}); }}"
_START_S, _CLEAN_UP_S = 60, 10
_FOLDER = "edgepack-browser"
_INSTALL = "install one (Debian: apt-get install chromium), or let playwright bring its own: playwright install chromium"


def check(target: Target) -> None:
    """EdgepackError: another address, playwright missing, onnxruntime-web neither in the cache nor to be fetched."""
    name = target.address.removeprefix("browser://").rstrip("/")
    if not target.address.startswith("browser://") or name not in _BROWSERS:
        raise EdgepackError(f"edgepack knows no browser {name!r}: {target.address!r}", did_you_mean(name, list(_BROWSERS)))
    if importlib.util.find_spec("playwright") is None:
        raise EdgepackError(f"{target.address} needs playwright, which is not installed", "pip install 'edgepack[browser]'")
    check_fetchable(FACTS.npm.name)


@contextlib.contextmanager
def opened(target: Target) -> Iterator["Browser"]:
    """A driver and a server on loopback. Both end with the block, and with them every browser that was started."""
    from playwright.sync_api import sync_playwright

    _sweep()
    runtime = fetched(FACTS.npm.name) / "dist"
    with page_server() as server, sync_playwright() as playwright:
        server.files |= {f"runtime/{name}": runtime / name for name in FACTS.npm.files}
        for folder in ("javascript", "web/src"):
            files = sorted((shipped("targets") / folder).iterdir())
            server.files |= {f"targets/{folder}/{path.name}": path for path in files if path.is_file()}
        yield Browser(target, playwright, server)


class Browser:
    """See machine.Machine. Nothing is pushed: the browser fetches the pack from the server, where a load is cold."""

    can = ABILITIES

    def __init__(self, target: Target, playwright: Any, server: PageServer) -> None:
        self.target, self.place = target, f"at {target.address}"
        self._playwright, self._server = playwright, server
        self._name = ""

    def facts(self) -> Facts:
        machine = self._done({"kind": "facts"})["machine"]
        return facts_of(self._beside_its_host(machine), FACTS.npm.name, FACTS.npm.version, self.target.name)

    def emulated_by(self) -> str | None:
        return emulated_by()

    def push(self, folder: Path, manifest: Manifest) -> Pushed:
        return pushed_nothing(self.place, manifest)

    def run_job(self, folder: Path, runtime: str, job: dict[str, Any]) -> dict[str, Any]:
        """One job in a browser that has never been started; but for a warm load, in one that kept the model's files and was ended."""
        self._server.files = {name: path for name, path in self._server.files.items() if not name.startswith("pack/")}
        self._server.files |= {f"pack/{path.name}": path for path in folder.iterdir() if path.is_file()}
        result = completed(self._done(job), self._beside_its_host, self.place)
        if "read_bytes" in result:
            about = {f"pack/{name}" for name in (RUNNABLE_FILE, MANIFEST_FILE)}  # they are read before the load begins
            sent = self._server.sent.items()
            result["read_bytes"] = sum(count for name, count in sent if name.startswith("pack/") and name not in about)
        return checked(result, job, self.place)

    def _done(self, job: dict[str, Any]) -> dict[str, Any]:
        with _profile_folder() as profile:
            if job["kind"] == "load" and not job["cold"]:
                self._in_page(profile, {"kind": "keep"})
            self._server.sent.clear()
            return self._in_page(profile, job)

    def _in_page(self, profile: Path, job: dict[str, Any]) -> dict[str, Any]:
        from playwright.sync_api import Error, TimeoutError

        with self._started(profile) as context:
            page = context.pages[0]
            page.set_default_timeout(self.target.time_out_s * 1e3)
            page.expose_function("probe", _probe)
            try:
                page.goto(f"{self._server.url}/{_PAGE}")
                with page.expect_console_message(lambda message: message.text == _DONE):
                    page.evaluate(_START, job)
                result = page.evaluate("globalThis.result")
            except TimeoutError:
                raise too_long(job, self.target) from None
            except Error as error:
                raise EdgepackError(
                    f"{self.target.name} ended while it did {job['kind']}: {_first_line(error)}",
                    "the cause is most often too little memory: compare what the pack needs with what other programs use here",
                ) from None
        if "error" in result:
            raise refusal(result)
        return result

    @contextlib.contextmanager
    def _started(self, profile: Path) -> Iterator[Any]:
        from playwright.sync_api import Error

        name = self.target.address.removeprefix("browser://").rstrip("/")
        as_root = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []  # its sandbox refuses to start for root
        folders = {"XDG_CONFIG_HOME": str(profile / "config"), "XDG_CACHE_HOME": str(profile / "cache")}
        try:
            context = self._playwright.chromium.launch_persistent_context(
                profile / "user",
                executable_path=_executable(name),
                args=[*_FLAGS, *as_root],
                env={**os.environ, **folders},
                timeout=_START_S * 1e3,
            )
        except Error as error:
            raise EdgepackError(f"{self.target.name} does not start: {_first_line(error)}", _INSTALL) from None
        try:
            self._name = self._name or _version(context, name)
            yield context
        finally:
            with contextlib.suppress(Error):
                context.close()

    def _beside_its_host(self, page: dict[str, Any]) -> dict[str, Any]:
        """What the page said of itself, and of this machine what the page cannot read: its load, clock, temperature and free memory."""
        here = host().machine
        return here | page | {"cpu": f"{self._name} on {here['cpu'] or 'an unknown CPU'}"}


@contextlib.contextmanager
def _profile_folder() -> Iterator[Path]:
    """A browser's own folder, which vanishes with what it kept."""
    place = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}-{os.getpid()}-"))
    try:
        yield place
    finally:
        until = time.monotonic() + _CLEAN_UP_S
        while place.exists() and time.monotonic() < until:  # what is left of a browser that was killed still writes for a moment
            shutil.rmtree(place, ignore_errors=True)
            time.sleep(0.05 * place.exists())


def _sweep() -> None:
    """Removes folders that an edgepack left which was killed. Another user's are not ours to remove, and stay."""
    for path in Path(tempfile.gettempdir()).glob(f"{_FOLDER}-*-*"):
        process = path.name.removeprefix(f"{_FOLDER}-").partition("-")[0]
        if process.isdecimal() and not is_alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _executable(name: str) -> str | None:
    """The system's browser; None leaves it to playwright to find its own."""
    return next((path for path in map(shutil.which, _BROWSERS[name]) if path), None)


def _version(context: Any, name: str) -> str:
    product = context.new_cdp_session(context.pages[0]).send("Browser.getVersion")["product"]
    return f"{name.capitalize()} {product.partition('/')[2]}"


def _probe(what: str) -> Any:
    """Of the machine, or of the process that the page's worker runs in, while that waits for the answer."""
    if what == "cpu_seconds":
        return processes.cpu_seconds()
    workers = [process for process in processes.find_descendants(os.getpid()) if processes.has_thread(process, "DedicatedWorker")]
    process = workers[0] if len(workers) == 1 else None
    return processes.reset_peak(process) if what == "reset_peak" else processes.resident_mb(process)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].removeprefix("Page.evaluate: ").removeprefix("Page.goto: ")
