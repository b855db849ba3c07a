"""A tiny model's builds for benchmarks/attack.py: the pack that each must give, and what is wrong with one that was disturbed."""

import contextlib
import hashlib
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from small import make_data, make_model

from edgepack.core.cache import stage
from edgepack.core.errors import EdgepackError
from edgepack.measure.measurement import Effort
from edgepack.pack.manifest import check_files, read_manifest
from edgepack.pipeline.build import build
from edgepack.pipeline.measure import measure_pack
from edgepack.plan.profile import load_profile
from edgepack.plan.recipe import Recipe
from edgepack.ship.shipping import ship

_SHORT = Effort(name="quick", sessions=1, runs=3, seconds=0.0, loads=1, force=True)
_BUILT = ("model.onnx", "model.onnx.data", "golden.jsonl", "tokenizer.json", "runnable.json", "labels.json")


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

    def measure(self) -> None:
        measure_pack(self.place / "reference", effort=_SHORT)

    def fault_of_measured(self) -> str:
        return check_pack(self.place / "reference", self.expected)

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
        found = [("pack", _files(pack), lambda: check_pack(pack, {}) == "")]
        found += [(f"cache {path.name}", _files(path), lambda path=path: self._is_intact(path)) for path in stages]
        module = self._module()
        return [*found, ("module", _files(module), lambda: self._opens(module))] if module else found

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
        package = next(path for path in (module, *module.parents) if (path / "__init__.py").is_file())
        done = subprocess.run([sys.executable, "-m", package.name, "--self-test"], cwd=package.parent, capture_output=True, check=False)
        return done.returncode == 0


class _Damaged(Exception):
    pass


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py" and path.stat().st_size)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
