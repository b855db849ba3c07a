"""The Python code of a module, copied from targets/: the same files that edgepack.load() runs."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.core.escape import Verbatim, python, requirement
from edgepack.core.resources import shipped
from edgepack.pack.examples import best_texts, question_of
from edgepack.pack.manifest import WEIGHT_CACHE
from edgepack.plan.runtime import facts_in_python, python_runtimes
from edgepack.ship.load import device_module
from edgepack.ship.module_files import code_bytes, versions_measured_with, write_model
from edgepack.ship.release import with_constants
from edgepack.ship.shipment import Carried, Shipment, Size, Written
from edgepack.ship.wheel_hashes import ELSEWHERE, EVERYWHERE, LINUX, Pinned, System, pinned
from edgepack.tasks import task_named

_SELF_TEST_S = 1800
# Of targets/ itself: what measures a pack and what an app runs share them.
_BESIDE = (
    "sampling.py",
    "penalties.py",
    "lookup.py",
    "machine.py",
    "hashing.py",
    "runnable.py",
    "coded.py",
    "weight_source.py",
    "weight_cache.py",
)
_OF_THE_SERVER = {"bodies.py", "metrics.py", "openai.py", "replies.py", "server.py"}
SERVER, SERVER_VERSION = "waitress", "3.0.2"
RENDERER = {"jinja2": "3.1.6", "markupsafe": "3.0.3"}  # of a pack that chats; older jinja2's sandbox has holes
DECODER, DECODER_VERSION = "zstandard", "0.25.0"  # of weights that are coded with zstd
CHECKER, CHECKER_VERSION = "cryptography", "50.0.2"  # asked for by a signed module alone

# Unpacked bytes of the wheels for CPython 3.11, summed from the wheels themselves: tokenizers 0.23.3, numpy 2.4.6 (1.26.4 where a
# runtime needs numpy 1), waitress 3.0.2. None: no such wheel. Each runtime's own stand in its file in plan/runtimes/.
_UNPACKED: dict[str, dict[str, int | None]] = {
    "tokenizers": {"aarch64": 11_502_579, "x86_64": 11_699_337, "armv7l": 10_345_256},
    "numpy": {"aarch64": 55_772_341, "x86_64": 57_360_224},
    "numpy 1": {"aarch64": 48_678_921, "armv7l": None},
}
_WAITRESS_BYTES = 171_375
_MESSAGE = "What can you do?"  # to a model that chats, where its data shows no other text
_ORIGIN = "summed from the wheel for CPython 3.11"


def write_package(shipment: Shipment, folder: Path, with_server: bool) -> Written:
    """NAME/ with the code and the model, and requirements.txt, into `folder`; what the module's README says of them."""
    package = folder / shipment.name
    copy_code(shipment, package, with_server)
    model = write_model(shipment, package / "model")
    pins = write_requirements(folder, requirements(shipment, with_server), LINUX if with_server else EVERYWHERE)
    sizes = (*model, code_bytes(package, "*.py"), *library_sizes(shipment, with_server))
    context = first_call(shipment) | {"no_hashes": pins.problem, "hashes_for": pins.covers, "elsewhere": ELSEWHERE}
    return Written(sizes=sizes, licences=fetched_licences(shipment, with_server), warnings=pins.warnings, context=context)


def copy_code(shipment: Shipment, folder: Path, with_server: bool) -> None:
    """The package's modules into `folder`: one session, for the pack's format, and the server only where it is wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = shipped("targets")
    used = facts_in_python(shipment.manifest.plan.runtime).module_files
    of_runtimes = {name for runtime in python_runtimes() for name in runtime.module_files}
    unused = (of_runtimes - set(used)) | (set() if with_server else _OF_THE_SERVER)
    beside = [path for name in (*_BESIDE, *used) if (path := targets / name).is_file()]
    for path in [*sorted((targets / "module").glob("*.py")), *beside]:
        if path.name not in unused:
            shutil.copyfile(path, folder / path.name)
    signer = folder / "signer.py"
    constants = {
        "PUBLIC_KEYS = ()": f"PUBLIC_KEYS = {shipment.release.public_keys!r}",
        'NAME = ""': f'NAME = "{python(shipment.name)}"',
        'MINIMUM_VERSION = "0.0.0"': f'MINIMUM_VERSION = "{python(shipment.release.minimum_version)}"',
    }
    signer.write_text(with_constants(signer.read_text(encoding="utf-8"), constants), encoding="utf-8")


def self_tested(shipment: Shipment, folder: Path) -> str:
    """Runs the self-test of the package in `folder`, in a process of its own as an app would; what it found, as a sentence.

    EdgepackError: it fails. Where the runtime is not installed here, the sentence says so.
    """
    fields = "t.ok, t.problem, t.texts, t.ids_equal, t.ids_asked, t.from_ids, t.answers_equal"
    code = f"import json, {shipment.name} as m; t = m.self_test(threads=1); print(json.dumps([{fields}]))"
    command = [sys.executable, "-B", "-c", code]  # no compiled files beside what is shipped
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SELF_TEST_S, check=False)
    shutil.rmtree(folder / shipment.name / "model" / WEIGHT_CACHE, ignore_errors=True)  # of this machine
    lines = done.stdout.strip().split("\n")
    if done.returncode or not lines[-1]:
        last = (done.stderr.strip().split("\n") or ["no message"])[-1]
        raise EdgepackError(f"the module's self-test could not run: {last}", "this is a fault of edgepack: please report it")
    passed, problem, texts, equal, asked, from_ids, decided = json.loads(lines[-1])
    if passed:
        same = f"token ids of {equal} of {asked} and decisions of {decided} equal"
        same += f"; {from_ids} came as token ids, which no text gives" if from_ids else ""
        return f"self-test: {texts} golden texts answered as they were when the pack was built, {same}"
    if "not installed" in problem:
        return f"self-test not run here: {problem}. Run it on the device: python -m {shipment.name} --self-test"
    raise EdgepackError(f"the module fails its own self-test: {problem}", "build the pack again with this edgepack")


def requirements(shipment: Shipment, with_server: bool) -> tuple[Verbatim, ...]:
    """What pip is to install: the versions that the pack was measured with."""
    measured = versions_measured_with(shipment.manifest)
    lines = {name: requirement(name, version) for name, version in measured.items()}
    lines |= {name: Verbatim(name + pin) for name, pin in facts_in_python(shipment.manifest.plan.runtime).pins.items()}
    if with_server:
        lines[SERVER] = requirement(SERVER, SERVER_VERSION)
    if shipment.manifest.coded and shipment.manifest.coded.codec == "zstd":
        lines[DECODER] = requirement(DECODER, DECODER_VERSION)  # Python 3.14 would need none
    if (shipment.manifest.answers or {}).get("chat_template"):
        lines |= {name: requirement(name, version) for name, version in RENDERER.items()}
    if shipment.signer:
        lines |= {CHECKER: requirement(CHECKER, CHECKER_VERSION), "cffi": requirement("cffi", "2.1.1")}  # boards install no dependencies
    return tuple(line for _, line in sorted(lines.items()))


def write_requirements(folder: Path, lines: Sequence[Verbatim], systems: Sequence[System]) -> Pinned:
    """requirements.txt, with hashes where they are known or pip's index gives them."""
    pins = pinned(lines, systems)
    (folder / "requirements.txt").write_text(pins.text, encoding="utf-8")
    return pins


def library_sizes(shipment: Shipment, with_server: bool) -> tuple[Size, ...]:
    """What the libraries take on a disk by architecture, those that there is a runtime for."""
    runtime = facts_in_python(shipment.manifest.plan.runtime)
    sizes = []
    arrays = "numpy 1" if runtime.needs_numpy_1 else "numpy"
    unpacked = _UNPACKED | {runtime.name: runtime.unpacked_bytes}
    for part, library in (("runtime", runtime.name), ("tokenizer", "tokenizers"), ("arrays", arrays)):
        known = {arch: unpacked[library].get(arch) for arch in runtime.unpacked_bytes}
        sizes += [Size(part=part, what=f"{library}, {arch}", bytes=count, source=_ORIGIN if count else "") for arch, count in known.items()]
    if with_server:
        sizes.append(Size(part="server", what=SERVER, bytes=_WAITRESS_BYTES, source=_ORIGIN))
    return tuple(sizes)


def fetched_licences(shipment: Shipment, with_server: bool) -> tuple[Carried, ...]:
    """Of what pip installs beside the module."""
    known = {runtime.package: runtime.licence for runtime in python_runtimes()} | {
        "numpy": "BSD-3-Clause",
        "tokenizers": "Apache-2.0",
        SERVER: "ZPL-2.1",
        CHECKER: "Apache-2.0 OR BSD-3-Clause",
        "cffi": "MIT",
        DECODER: "BSD-3-Clause",
        "jinja2": "BSD-3-Clause",
        "markupsafe": "BSD-3-Clause",
    }
    lines = requirements(shipment, with_server)
    return tuple(Carried(what=line, licence=known[re.split("[=<>]", line)[0]], carried=False) for line in lines)


def first_call(shipment: Shipment) -> dict[str, Verbatim]:
    """For a README: a call as Python writes it, the same on the command line and as a request, and what to look at of the answer.

    message: what a user says to a model with a chat template, which all languages write in quotes; empty without such a template.
    """
    manifest = shipment.manifest
    example, field = question_of(shipment.pack, manifest.task, manifest.answers, len(manifest.labels))
    texts = [f'"{text}"' for _, text in example]
    request = json.dumps(dict(example), ensure_ascii=False)
    message = ""
    if (manifest.answers or {}).get("chat_template"):
        message = (best_texts(shipment.pack, 1) or (_MESSAGE,))[0]
    shown = {"call": ", ".join(texts), "attribute": field, "shell": " ".join(texts), "request": request, "message": message}
    return {name: Verbatim(code) for name, code in shown.items()}


def openai_place(shipment: Shipment) -> Verbatim | None:
    """Where the server answers as OpenAI's API does, as the server's own code says. None: a task without such a place.

    None too for a model that writes and has no chat template: the server would refuse every conversation.
    """
    task = shipment.manifest.task
    if task_named(task).decodes and not (shipment.manifest.answers or {}).get("chat_template"):
        return None
    places = import_module(f"{device_module().__name__}.openai").PLACES
    return Verbatim(places[task]) if task in places else None
