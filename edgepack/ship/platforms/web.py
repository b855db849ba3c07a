"""An npm package for the browser: onnxruntime-web in a worker, weights kept by the browser under their hash, and a page to try it."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.escape import Verbatim, javascript
from edgepack.core.resources import shipped
from edgepack.plan.precision import precision_facts
from edgepack.plan.runtimes.onnxruntime_web import FACTS
from edgepack.ship.examples import example_texts
from edgepack.ship.module_files import code_bytes, write_model
from edgepack.ship.python_code import first_call
from edgepack.ship.release import with_constants
from edgepack.ship.shipment import Carried, Shipment, Size, Written, cache_warnings, chat_warnings, check_codec, check_known, renders_chats
from edgepack.tasks import all_tasks, task_named

_RUNTIME, _TOKENIZERS, _BUNDLER = FACTS.npm.name, "@huggingface/tokenizers", "esbuild"
_VERSIONS = {_RUNTIME: FACTS.npm.version, _TOKENIZERS: "0.2.0", _BUNDLER: "0.28.2"}  # those that the module is tested with
_RUNTIME_BYTES = 14_239_897 + 24_381 + 50_126  # ort-wasm-simd-threaded.wasm and .mjs, ort.wasm.min.mjs
_TOKENIZERS_BYTES = 36_601  # tokenizers.min.mjs
_MODELS = {"WordPiece", "BPE", "Unigram", "WordLevel"}
_POST_PROCESSORS = {"TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel"}
_LOCK = "package-lock.json"
_FILE_LIMIT_MB = 100
_FILE_LIMIT_SOURCE = "GitHub Pages and repositories take no larger file, docs.github.com: About large files on GitHub"


FORMATS = ("onnx",)
SERVES = frozenset({"browser", "javascript", "npm", "wasm"})
_PLACED = "WordPiece and byte-level BPE tokenizers"  # whose tokens' places in a text places.js finds
LIMITS = {task.name: _PLACED for task in all_tasks() if task.finds_places} | {
    task.name: f"{_PLACED}; others with `--words white-space`"
    for task in all_tasks()
    if task.answer_record and "words" in task.answer_record.model_fields
}


def tasks() -> tuple[str, ...]:
    return tuple(task.name for task in all_tasks() if task.in_browsers)


def check(shipment: Shipment) -> tuple[str, ...]:
    """Refuses TFLite files, and tokenizers without places where answers stand on them. Warns of what is slow or large."""
    check_known(shipment, tasks(), _MODELS)
    check_codec(shipment, {"deflate"})
    if shipment.manifest.format != "onnx":
        raise EdgepackError("the web module runs ONNX files, and the pack is a TFLite file", "build the pack with --format onnx")
    _check_places(shipment)
    added = json.loads((shipment.pack / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    if any(token.get("single_word") for token in added):
        raise EdgepackError(
            "the web module's tokenizer knows no added token that matches only whole words", "ship it --for python or linux"
        )
    unknown = set(shipment.tokenizing.post_processors) - _POST_PROCESSORS
    if unknown:
        raise EdgepackError(f"the web module has no post-processor {sorted(unknown)[0]}", "ship it --for python or linux")
    return (*_warnings(shipment), *chat_warnings(shipment, "JavaScript"), *cache_warnings(shipment))


def _check_places(shipment: Shipment) -> None:
    """EdgepackError where answers stand on tokens whose places the module cannot find: see places.js."""
    manifest, tokenizing = shipment.manifest, shipment.tokenizing
    tagged = (manifest.answers or {}).get("words") == "tokenizer"
    if not (tagged or task_named(manifest.task).finds_places):
        return
    by_word = tokenizing.model == "WordPiece" and set(tokenizing.normalizers) <= {"BertNormalizer"}
    by_byte = tokenizing.model == "BPE" and "ByteLevel" in tokenizing.pre_tokenizers and not tokenizing.normalizers
    if not (by_word or by_byte):
        raise EdgepackError(
            f"the web module cannot find where a token is in the text for this kind of {tokenizing.model} tokenizer",
            ("build the pack with --words white-space (or characters), or ship it" if tagged else "ship it")
            + " --for android, linux or python",
        )


def _warnings(shipment: Shipment) -> list[str]:
    problems = []
    if not precision_facts(shipment.manifest.precision).is_fast_in_browsers:
        problems.append(f"{shipment.manifest.precision} {_INT8_IS_BETTER}")
    if shipment.manifest.file_mb > _FILE_LIMIT_MB:
        problems.append(f"the model has {shipment.manifest.file_mb:.0f} MB; the limit is {_FILE_LIMIT_MB} MB: {_FILE_LIMIT_SOURCE}")
    return problems


# Measured by benchmarks/ship.py's modules in turns, Chromium and onnxruntime-web 1.30, MiniLM 6x384, one thread and two, 21 and 128
# tokens. A plain dynamic export is slower than fp32 there; edgepack's is not.
_INT8_IS_BETTER = (
    "is a larger download than int8, and slower in WebAssembly (int8 took half to nine tenths of fp32's time in Chromium):"
    " build with --precision int8 where its score is good enough"
)


def write(shipment: Shipment, folder: Path) -> Written:
    """package.json, the module's sources, build.mjs, serve.mjs, the lock of npm's packages, and dist/ with the model and the page."""
    web = shipped("targets") / "web"
    shutil.copytree(web / "src", folder / "src")
    for name in ("build.mjs", "serve.mjs"):
        shutil.copyfile(web / name, folder / name)
    dist = folder / "dist"
    shutil.copytree(web / "demo", dist)
    (dist / "examples.json").write_text(json.dumps(_examples(shipment), ensure_ascii=False) + "\n", encoding="utf-8")
    model = write_model(shipment, dist / "model")
    signer = folder / "src" / "signer.js"
    constants = {
        "PUBLIC_KEYS = []": f"PUBLIC_KEYS = {json.dumps(shipment.release.public_keys)}",
        'NAME = ""': f'NAME = "{javascript(shipment.name)}"',
        'MINIMUM_VERSION = "0.0.0"': f'MINIMUM_VERSION = "{javascript(shipment.release.minimum_version)}"',
    }
    signer.write_text(with_constants(signer.read_text(encoding="utf-8"), constants), encoding="utf-8")
    (folder / "package.json").write_text(json.dumps(_package(shipment), indent=2) + "\n")
    (folder / _LOCK).write_text(json.dumps(_lock(shipment, web), indent=2) + "\n")
    sizes = (
        *model,
        code_bytes(folder / "src", "*.js", "*.mjs"),
        Size(
            part="runtime",
            what=f"{_RUNTIME} {_VERSIONS[_RUNTIME]}, WebAssembly",
            bytes=_RUNTIME_BYTES,
            source="measured, before the server compresses",
        ),
        Size(part="tokenizer", what=f"{_TOKENIZERS} {_VERSIONS[_TOKENIZERS]}", bytes=_TOKENIZERS_BYTES, source="measured, minified"),
    )
    licences = {_RUNTIME: "MIT", _TOKENIZERS: "Apache-2.0", _BUNDLER: "MIT"}
    fetched = tuple(Carried(what=f"{name} {_VERSIONS[name]}", licence=licence, carried=False) for name, licence in licences.items())
    asked = first_call(shipment)
    context = {
        "example": _first_call(shipment),
        "asked": asked["call"],
        "message": asked["message"],
        "parity": _parity(shipment),
        "chats": renders_chats(shipment),
        "answer_class": task_named(shipment.manifest.task).answer_class,
    }
    return Written(sizes=sizes, licences=fetched, context=context)


def _examples(shipment: Shipment) -> list[list[str]]:
    """For the page: the pack's own texts, of a model for vectors two to compare; empty where there is only the task's own example."""
    pairs = example_texts(shipment)
    if len(pairs) == 1:
        return []
    if task_named(shipment.manifest.task).gives_vectors:
        return [[first, other] for (first, _), (other, _) in pairwise(pairs)]
    return [list(pair) for pair in pairs]


def _parity(shipment: Shipment) -> str:
    """On how many texts the web's token ids were compared for a tokenizer of this kind, and where they are known to differ."""
    texts = "more than 10,000" if shipment.tokenizing.model == "BPE" else "42,671"
    compared = f"{texts} texts of many languages and scripts (tests/parity_texts.py of edgepack)"
    if "BertNormalizer" not in shipment.tokenizing.normalizers:
        return compared
    return (
        f"{compared}, but for 25 made of random characters: those that Unicode added or moved after its version 8, all of them in rare"
        " scripts, are other kinds of characters to a browser"
    )


def _first_call(shipment: Shipment) -> tuple[Verbatim, Verbatim]:
    """For a README: a call as JavaScript writes it, and what to look at of the answer."""
    call = first_call(shipment)
    return Verbatim(f"await model.ask({call['call']})"), call["attribute"]


def _lock(shipment: Shipment, web: Path) -> dict[str, Any]:
    """package-lock.json: the hash of every package that `npm ci` fetches, as the registry gave it when the versions were chosen."""
    content: dict[str, Any] = json.loads((web / _LOCK).read_text(encoding="utf-8"))
    if content["packages"][""]["devDependencies"] != _VERSIONS:
        raise RuntimeError(f"targets/web/{_LOCK} locks other versions than {_VERSIONS}")
    facts = {"name": shipment.name, "version": shipment.release.version}
    return content | facts | {"packages": content["packages"] | {"": content["packages"][""] | facts}}


def _package(shipment: Shipment) -> dict[str, Any]:
    return {
        "name": shipment.name,
        "version": shipment.release.version,
        "description": f"{shipment.manifest.task} in the browser, pack {shipment.manifest.pack_id}",
        "type": "module",
        "main": "dist/index.js",
        "types": "dist/index.d.ts",
        "exports": {".": {"types": "./dist/index.d.ts", "default": "./dist/index.js"}, "./dist/*": "./dist/*"},
        "files": ["dist", "README.md", "LICENCES.md"],
        "scripts": {"build": "node build.mjs", "prepack": "node build.mjs", "start": "node serve.mjs"},
        "devDependencies": _VERSIONS,
    }
