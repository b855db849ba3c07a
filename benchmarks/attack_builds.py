"""A tiny model's builds for benchmarks/attack.py: the pack that each must give, and what is wrong with one that was disturbed."""

import contextlib
import hashlib
import importlib
import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from settings_tried import FIXED, SETTINGS, changed_setting
from small import make_data, make_model

from edgepack.core.cache import stage
from edgepack.core.errors import EdgepackError
from edgepack.core.renewal import finish_renewal
from edgepack.measure.measurement import Effort
from edgepack.pack.manifest import REPORT_FILES, check_files, read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.measure import measure_pack
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.shipping import ship

_SHORT = Effort(name="quick", sessions=1, runs=3, seconds=0.0, loads=1, force=True)
_TELL_S = 60.0
_BUILT = ("model.onnx", "model.onnx.data", "golden.jsonl", "tokenizer.json", "runnable.json", "labels.json")


class Row(NamedTuple):
    what: str
    tried: int
    faults: list[str]
    note: str = ""
    wall_s: int = 0
    cpu_s: int = 0  # its children's too


class Limit:
    """Where the loops of a row begin and when they end, so that a long row can be done in parts and says how far it came."""

    begins_with = 0
    ends_at = float("inf")


class Faults(list[str]):
    """Told as they come, so that an attack that is ended from outside has not found them for nothing."""

    def note(self, place: object, fault: str) -> None:
        if fault:
            self.append(f"{place}: {fault}")
            print(f"  FAULT {self[-1]}", file=sys.stderr, flush=True)


def within_limit(steps: Iterable[Any], name: str) -> Iterator[Any]:
    """Each of `steps` until the time is over, from the one on that the row begins with; tells once a minute how many are done."""
    told_at = time.monotonic()
    for number, step in enumerate(steps):
        if number < Limit.begins_with:
            continue
        if time.monotonic() > Limit.ends_at:
            return
        if time.monotonic() - told_at > _TELL_S:
            told_at = time.monotonic()
            print(f"  {name}: {number} done", file=sys.stderr, flush=True)
        yield step


def check_pack(out: Path, expected: dict[str, str]) -> str:
    """What is wrong with the pack in `out`; empty where it is whole and has the expected bytes."""
    try:
        check_files(out, read_manifest(out))
    except EdgepackError as error:
        return error.problem
    wrong = [name for name, digest in expected.items() if _digest(out / name) != digest]
    return f"other bytes in {wrong[0]}" if wrong else ""


class Builder:
    """place: where model, data, caches and packs lie."""

    def __init__(self, place: Path) -> None:
        self.place = place
        make_model(place / "model")
        data = make_data(place / "data", {"train": 20, "dev": 10, "test": 10})
        self.recipe = Recipe(model=str(place / "model"), data=str(data), student="same", prune_heads=0.0, precision="fp32")
        self.expected: dict[str, str] = {}

    def build(self, out: Path, cache: Path) -> None:
        build(self.recipe, load_profile("raspberry-pi"), out, cache, None, "edgepack build")

    def reference(self) -> float:
        """Builds what all others must equal. Returns the seconds that it took."""
        began = time.monotonic()
        with contextlib.redirect_stderr(io.StringIO()):
            self.build(self.place / "reference", self.place / "used")
        self.expected = {name: _digest(self.place / "reference" / name) for name in _BUILT}
        return time.monotonic() - began

    def measure(self, out: Path | None) -> None:
        """Into the pack, or into a folder of reports."""
        measure_pack(self.place / "reference", effort=_SHORT, out=out)

    def fault_of_measured(self, out: Path | None, before: dict[str, str]) -> str:
        """before: hashes of the reports in `out`. All are the old ones, or all are new; the pack is whole."""
        fault = check_pack(self.place / "reference", self.expected)
        if fault or out is None:
            return fault
        finish_renewal(out, REPORT_FILES)  # as whoever reads them next does
        after = self.reports(out)
        is_mixed = len({after.get(name) == digest for name, digest in before.items()}) > 1 or after.keys() != before.keys()
        return "old reports beside new ones" if is_mixed else ""

    def reports(self, out: Path) -> dict[str, str]:
        return {name: _digest(out / name) for name in REPORT_FILES if (out / name).is_file()}

    def fault_after_kill(self, out: Path, cache: Path) -> str:
        """No half pack; and the same build, started again, ends well with the same bytes and nothing beside them."""
        if out.exists():
            half = check_pack(out, self.expected)
            if half:
                return f"half a pack: {half}"
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                self.build(out, cache)
        except EdgepackError as error:
            return f"the rerun fails: {error.problem}"
        left = [path.name for path in out.parent.glob(f".{out.name}*")]
        return check_pack(out, self.expected) or (f"{left[0]} is left" if left else "")

    def checked_folders(self) -> list[tuple[str, list[Path], Callable[[], bool]]]:
        """Name, files, and whether they are accepted as they are now: a pack, a stage of the cache, a signed module."""
        pack = self.place / "reference"
        stages = sorted((self.place / "used" / "stages").iterdir())
        subjects = [("pack", _files(pack), lambda: check_pack(pack, {}) == "")]
        subjects += [(f"cache {path.name}", _files(path), lambda path=path: self._is_intact(path)) for path in stages]
        module = self._module()
        return [*subjects, ("module", _files(module), lambda: self._opens(module))] if module else subjects

    def _is_intact(self, folder: Path) -> bool:
        """On a copy, for a damaged stage is removed."""
        root = self.place / "copy"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(folder, root / "stages" / folder.name)
        with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(_Damaged), stage(root, folder.name) as place:
            if not place.is_finished:
                raise _Damaged
            return True
        return False

    def _module(self) -> Path | None:
        """The model's files in a signed Python module: its code is the app's, and not what a signature is for."""
        try:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError:
            return None
        key = self.place / "key.pem"
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key.write_bytes(Ed25519PrivateKey.generate().private_bytes(*plain))
        key.chmod(0o600)
        ship(self.place / "reference", "python", self.place / "module", name="attacked", sign=key)
        return next(path.parent for path in (self.place / "module").rglob("module.json"))

    def _opens(self, module: Path) -> bool:
        """The module's own self-test, in a fork: what it needs is imported before, so that only its work is repeated."""
        package = next(path for path in (module, *module.parents) if (path / "__init__.py").is_file())
        for name in ("numpy", "tokenizers", "onnxruntime", "cryptography.hazmat.primitives.asymmetric.ed25519"):
            importlib.import_module(name)
        process = os.fork()
        if process == 0:
            code = 1
            try:
                sys.path.insert(0, str(package.parent))
                code = 0 if importlib.import_module(package.name).self_test(threads=1).ok else 1
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


class WarmBuilds:
    """One cache that every build of before has filled, beside an empty one for each build."""

    def __init__(self, place: Path) -> None:
        self.place = place
        make_model(place / "model")
        data = make_data(place / "data", {"train": 32, "dev": 12, "test": 12})
        short = {"epochs": 1}
        self.stated = {"model": str(place / "model"), "data": str(data), "training": short, "budget": {}, "columns": {}} | FIXED
        self._built(self.stated, "base", self.place / "used")

    def fault_of(self, name: str) -> str:
        """The recipe with another value for one setting: the warm build's pack and its scores are those of the fresh one."""
        folder = self.place / f"other {name}"
        folder.mkdir()
        changed = changed_setting(self.stated, name, folder)
        warm, fresh = (
            self._built(changed, f"{folder.name}/{kind}", cache) for kind, cache in (("warm", self.place / "used"), ("fresh", folder / "c"))
        )
        shutil.rmtree(folder)
        if warm.keys() != fresh.keys():
            return f"warm: {sorted(warm)}, fresh: {sorted(fresh)}"
        return ", ".join(sorted(key for key, value in warm.items() if fresh[key] != value))

    def _built(self, stated: dict[str, Any], name: str, cache: Path) -> dict[str, str]:
        out = self.place / name
        out.parent.mkdir(exist_ok=True)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                build(Recipe.read(stated, "attack"), load_profile("raspberry-pi"), out, cache, None, "edgepack build")
        except EdgepackError as error:
            return {f"refused: {error.problem}": ""}
        ladder = [row.model_copy(update={"seconds": 0.0}) for row in read_manifest(out).ladder]
        return {each: _digest(out / each) for each in _BUILT} | {"ladder": str(ladder)}


def settings() -> list[str]:
    """Those with another value to try; the others belong to models of another task."""
    return [name for name, (value, _) in SETTINGS.items() if value is not None]


class _Damaged(Exception):
    pass


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py" and path.stat().st_size)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
