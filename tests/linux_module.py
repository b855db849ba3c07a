"""A shipped Linux module: imported here, run as a program, and signed again as somebody does who has the key."""

import base64
import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path


def imported(folder: Path, name: str = "intents"):
    """A shipped package under a name of its own: several copies live in one test process."""
    unique = f"{name}_{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    place = folder / name
    spec = importlib.util.spec_from_file_location(unique, place / "__init__.py", submodule_search_locations=[str(place)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    spec.loader.exec_module(module)
    return module


def run(folder: Path, *arguments: str, **more):
    command = [sys.executable, "-m", "intents", *arguments]
    return subprocess.run(command, cwd=folder, env={"PATH": ""}, capture_output=True, text=True, check=False, **more)


def resign(folder: Path, key: Path) -> None:
    """As somebody does who has the key: new hashes, a new signature."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    manifest = json.loads((folder / "module.json").read_text())
    for entry in manifest["files"]:
        content = (folder / entry["name"]).read_bytes()
        entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps(manifest)
    (folder / "module.json").write_text(text)
    (folder / "module.sig").write_bytes(base64.b64encode(load_pem_private_key(key.read_bytes(), None).sign(text.encode())) + b"\n")
