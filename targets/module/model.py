"""load(): a folder becomes a callable that answers. Every file is checked before the model is opened."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path

from .coded import Damaged
from .errors import Changed, Closed, ModuleError
from .integrity import check_files, read_manifest
from .machine import usable_cores
from .manifest import AGAIN
from .texts import Texts
from .weight_cache import started
from .weight_source import Weights, weights_of

MODULE_FILE = "module.json"
_SESSIONS = {"onnx": "session_onnxruntime", "tflite": "session_litert"}


def load(folder=None, threads: int | None = None, manifest_file: str = MODULE_FILE, exact: bool = False, cache=None) -> Model:
    """The model in `folder`, by default the one that this module carries, on `threads` threads, by default one for each core.

    exact: the model was measured where u8 x s8 products do not saturate; a shipped module knows that by itself.
    cache: where coded weights are kept decoded, if the pack says `expand`, and packed ones, if it says `weight_cache`: by default in the
    model's own folder, or in the user's cache.
    Changed, before anything is loaded, where a file is not the one that was shipped; ModuleError where the runtime is not installed.
    """
    folder = Path(folder) if folder is not None else Path(__file__).parent / "model"
    manifest = read_manifest(folder, manifest_file)
    manifest["exact"] = exact or manifest.get("exact", False)
    checked = _Checking(folder, manifest)
    texts = _loaded_texts(folder, manifest, checked)
    session = _session_module(manifest["format"])
    checked.wait()
    threads = threads or len(usable_cores())
    weights = _decoded(folder, manifest, threads, cache)
    return Model(folder, manifest, texts, session.Session(weights, manifest, threads, _starting(folder, manifest, cache)))


def opened(folder, manifest, place, threads) -> Model:
    """As load(), of files that the caller has just written: nothing is checked. place: the folder of tokenizer.json."""
    session = _session_module(manifest["format"])
    opened_session = session.Session(_decoded(folder, manifest, threads, None), manifest, threads, _starting(folder, manifest, None))
    return Model(folder, manifest, Texts(place, manifest), opened_session)


class Model:
    """Call it with what its task takes: see tasks.py and writing.py. Threads may share it. Use it in `with`, or close() it."""

    def __init__(self, folder, manifest, texts, session) -> None:
        self.folder, self.manifest, self.texts = folder, manifest, texts
        self.task = manifest["task"]
        self.labels = [name for _, name in sorted((int(index), name) for index, name in manifest["labels"].items())]
        self._session = session
        self._answer = _answer_of(self.task)

    def __call__(self, *texts, **settings):
        return self._answer(self, *texts, **settings)

    def stream(self, prompt=None, **settings):
        """Pieces of text as they are certain, of a model that writes: see writing.stream."""
        if self.task != "text-generation":
            raise ModuleError("a model for {} writes no text".format(self.task), "call it instead")
        return import_module(".writing", __package__).stream(self, prompt, **settings)

    def index(self, saved=None):
        """An empty index of vectors, or the saved one (a path, or its bytes), of a model that is built with --vectors: see search.py."""
        index = import_module(".search", __package__).Index(self)
        return index if saved is None else index.restore(saved)

    def similarity(self, first, second) -> float:
        """How alike two of the model's vectors are, by cosine, dot product or distance, as its folder states: more is more alike."""
        return import_module(".similarity", __package__).similarity(self, first, second)

    def run(self, encoded) -> list:
        """Outputs of one text, without the axis of the batch."""
        return self.session.run(encoded.ids, encoded.type_ids)

    @property
    def session(self):
        session = self._session
        if session is None:
            raise Closed("the model is closed", "load() it again")
        return session

    def close(self) -> None:
        """Frees the model when the calls that run now are through. Calls that come later are refused; closing again does nothing."""
        self._session = None

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


class _Checking(threading.Thread):
    """Hashes the model beside the imports of the libraries; wait() raises what it found."""

    def __init__(self, folder, manifest) -> None:
        super().__init__(daemon=True)
        self._folder, self._manifest, self._error = folder, manifest, None
        check_files(folder, manifest, names=("tokenizer.json",))
        self.start()

    def run(self) -> None:
        listed = {entry["name"] for entry in self._manifest["files"]}
        try:
            check_files(self._folder, self._manifest, names={name for name in listed if self._is_opened(name)})
        except Exception as error:
            self._error = error

    def _is_opened(self, name) -> bool:
        """Weights that are expanded are checked by what they decode to, when they are."""
        stated = self._manifest.get("coded")
        return name.startswith(self._manifest["model"]) or bool(stated and name == stated["coded"] and stated["start"] == "stream")

    def wait(self) -> None:
        self.join()
        if self._error is not None:
            raise self._error


def _answer_of(task: str):
    """Imported late, as it needs numpy: whose import takes as long as the files' hashes, which are under way by then."""
    if task == "text-generation":
        return import_module(".writing", __package__).write
    answers = import_module(".tasks", __package__).ANSWERS
    if task not in answers:
        raise Changed("{!r} is no task that this module answers".format(task[:40]), AGAIN)
    return answers[task]


def _loaded_texts(folder, manifest, checked) -> Texts:
    try:
        return Texts(folder, manifest)
    except ImportError:
        checked.wait()
        raise ModuleError("tokenizers is not installed", "pip install -r requirements.txt") from None


def _decoded(folder, manifest, threads, cache) -> Weights:
    """Changed where coded weights are not those that were shipped."""
    try:
        return weights_of(folder, manifest, threads, place=cache)
    except Damaged as error:
        raise Changed(error.problem, error.fix) from None


def _starting(folder, manifest, cache):
    """weight_cache.started, of this model."""

    def opened_by(open_session, version, names, unless=False):
        return started(open_session, folder, manifest, version, names, cache, unless)

    return opened_by


def _session_module(kind: str):
    try:
        return import_module("." + _SESSIONS[kind], __package__)
    except ImportError as error:
        raise ModuleError("the runtime for {} files is not installed: {}".format(kind, error), "pip install -r requirements.txt") from None
