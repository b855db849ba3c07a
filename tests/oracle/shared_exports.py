"""One export for all rows of a session whose graph is the same: rows differ in tokenizers, prompts, names and texts far more often.

The first row exports with edgepack's own functions, and each other one gets a copy of the file. Everything behind it is each row's:
the comparison with torch, packing, golden texts, modules and answers. What cannot be described wholly is exported by its row alone.
"""

import hashlib
import importlib
import shutil
from collections.abc import Callable, Iterable
from functools import partial, singledispatch
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType

import torch
from session_folders import made_once
from torch import nn
from transformers import GenerationConfig, PretrainedConfig

from edgepack.core.records import Frozen
from edgepack.tasks.common.task import Task

# The functions that write a model's file: the module, the function, and whether its last argument is the file or a folder.
WRITERS = (
    ("edgepack.export.onnx_export", "export_onnx", True),
    ("edgepack.export.onnx_decoder", "export_decoder", False),
    ("edgepack.export.tflite_export", "export_tflite", True),
    ("edgepack.export.tflite_decoder", "export_tflite_decoder", True),
)
_PLAIN = (str, int, float, bool, bytes, type(None), type, torch.dtype, torch.device)
# Of a model and its config: where the folder lies, and names of labels. No graph holds any of them.
_BESIDE_THE_GRAPH = ("_name_or_path", "name_or_path", "id2label", "label2id")


class NotDescribed(Exception):
    """A value that no text describes wholly: models with it share no export."""


def shared(writer: Callable, is_file: bool, tmp_path_factory) -> Callable:
    """The same function, which runs once in a session for arguments that are equal but for their last, the place."""

    def write(*arguments: object) -> None:
        *asked, place = arguments
        try:
            key = hashlib.sha256(repr([writer.__name__, *map(described, asked)]).encode()).hexdigest()[:32]
        except NotDescribed:
            return writer(*arguments)
        files = made_once(tmp_path_factory, f"export-{key}", partial(_into, writer, asked, place.name if is_file else None))
        shutil.copytree(files, place.parent if is_file else place, dirs_exist_ok=True)

    return write


def _into(writer: Callable, asked: list[object], name: str | None, folder: Path) -> None:
    folder.mkdir()
    writer(*asked, folder / name if name else folder)


def share_exports(monkeypatch, tmp_path_factory) -> None:
    for module, name, is_file in WRITERS:
        monkeypatch.setattr(f"{module}.{name}", shared(getattr(importlib.import_module(module), name), is_file, tmp_path_factory))


@singledispatch
def described(value: object) -> object:
    """A value as texts and lists of them, the same in every process of a session. NotDescribed: it cannot be."""
    if isinstance(value, _PLAIN):
        return repr(value)
    raise NotDescribed(f"a {type(value)}")


@described.register
def _(value: torch.Tensor) -> object:
    content = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return [str(value.dtype), list(value.shape), hashlib.sha256(content).hexdigest()]


@described.register
def _(value: nn.Module) -> object:
    """Its parameters, buffers, modules and plain attributes, but for those that are empty."""
    stated = {name: each for name, each in vars(value).items() if each is not None and not (isinstance(each, dict) and not each)}
    return [type(value).__qualname__, described(_of_the_graph(stated))]


@described.register
def _(value: PretrainedConfig) -> object:
    return [type(value).__qualname__, described(_of_the_graph(vars(value)))]


@described.register
def _(value: GenerationConfig) -> object:
    return ""  # `runnable_decoder` reads it, for each row; no graph does


@described.register
def _(value: Frozen) -> object:
    return described(value.model_dump(mode="json"))


@described.register
def _(value: Task) -> object:
    return [value.name, value.outputs, described(value.forward)]


@described.register
def _(value: dict) -> object:
    return sorted(([described(key), described(each)] for key, each in value.items()), key=repr)


@described.register(set)
@described.register(frozenset)
def _(value: Iterable) -> object:
    return sorted(map(described, value), key=repr)


@described.register(list)
@described.register(tuple)
@described.register(range)
def _(value: Iterable) -> object:
    return [described(each) for each in value]


@described.register
def _(value: partial) -> object:
    return ["partial", described(value.func), described(value.args), described(value.keywords)]


@described.register
def _(value: MethodType) -> object:
    return value.__qualname__  # its object is the module whose attribute it is


@described.register
def _(value: FunctionType) -> object:
    closed = [described(cell.cell_contents) for cell in value.__closure__ or ()]
    return [f"{value.__module__}.{value.__qualname__}", value.__code__.co_firstlineno, closed, described(value.__defaults__)]


@described.register
def _(value: BuiltinFunctionType) -> object:
    return f"{value.__module__}.{value.__qualname__}"


def _of_the_graph(stated: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in stated.items() if name not in _BESIDE_THE_GRAPH}
