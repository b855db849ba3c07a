"""A folder as transformers saves it: config.json, weights and a tokenizer. table_folder.py does the same for another kind. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import as_object, is_there, read_json_object
from edgepack.core.showing import shown
from edgepack.model.adapter_base import TOKENIZERS
from edgepack.model.statements.model_config import check_with_library
from edgepack.model.statements.tokenizer_config import check_tokenizer_statements

if TYPE_CHECKING:
    from torch import nn

    from edgepack.model.source import Source

CONFIG_BYTES = 16_000_000
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_OTHER_WEIGHTS = (".gguf", ".h5", ".msgpack", ".onnx", ".tflite", ".safetensors")


def read_config(folder: Path) -> dict[str, Any]:
    """config.json. EdgepackError: there is none."""
    path = folder / "config.json"
    if not is_file(path):
        raise EdgepackError(f"no config.json in {folder}", _inner_model(folder) or "give the folder that `save_pretrained` wrote")
    return read_json_object(path, CONFIG_BYTES, "save the model again")


def weight_files(folder: Path) -> list[Path]:
    """model.safetensors, or its shards. EdgepackError: there is none of them, and what lies there instead."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        fix = "download or save the model again"
        placed = as_object(read_json_object(index, fix=fix).get("weight_map"), f"{index} weight_map", fix).values()
        for name in (name for name in placed if not isinstance(name, str)):
            raise EdgepackError(f"{index} names {shown(name)}, which is not a file name", fix)
        names = sorted(set(placed))
        for name in names:
            if Path(name).name != name or not is_file(folder / name):
                raise EdgepackError(f"{index} names {name!r}, which is not in the folder", "download or save the model again")
        return [folder / name for name in names]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    raise no_weights(folder, "transformers")


def is_file(path: Path) -> bool:
    """False also for a name that no file system takes."""
    return is_there(path) and path.is_file()


def no_weights(folder: Path, library: str) -> EdgepackError:
    """What lies in a folder without model.safetensors. library: what reads such a folder, and writes it again."""
    if not _is_folder(folder):
        return EdgepackError(f"no folder {folder}", "download or save the model again")
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        return EdgepackError(
            f"{folder} holds pickled weights only ({pickles[0]}): a pickle can run any code",
            f"where you trust it, convert it once: load it with {library} and `save_pretrained` writes safetensors",
        )
    others = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _OTHER_WEIGHTS)
    if others:
        return EdgepackError(
            f"no model.safetensors in {folder}, but {others[0]}, which edgepack does not read",
            f"give the model as {library} saves it: `save_pretrained` writes safetensors",
        )
    return EdgepackError(f"no model.safetensors in {folder}", "give the folder that `save_pretrained` wrote")


def check_tokenizer(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Lines for people about what is peculiar. EdgepackError: no tokenizer, of which transformers would make an empty one; or something
    that changes token ids and is not reproduced."""
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise EdgepackError(f"no tokenizer in {folder}", "save the tokenizer beside the model: `tokenizer.save_pretrained(folder)`")
    return check_tokenizer_statements(folder, config)


def tokenizer_of(folder: Path, lower_case: bool) -> Any:
    """transformers' fast tokenizer of the folder."""
    from edgepack.model.checkpoint import load_tokenizer

    return load_tokenizer(folder, lower_case)


def config_of_library(folder: Path, config: Mapping[str, Any], trust_remote_code: bool) -> Any:
    """transformers' config. EdgepackError: it does not take what config.json states."""
    return check_with_library(folder, config, trust_remote_code)


def load_model(source: "Source", task: str, dimensions: int | None, trust_remote_code: bool) -> "nn.Module":
    """The model with its head for the task, and the parts that its folder states behind it."""
    from edgepack.model.checkpoint import from_pretrained

    return from_pretrained(source, task, dimensions, trust_remote_code)


def _inner_model(folder: Path) -> str | None:
    """The way out where a folder within holds a model, such as a trainer's checkpoint."""
    inner = sorted(path.name for path in folder.iterdir() if (path / "config.json").is_file()) if _is_folder(folder) else []
    return f"give one of the folders in it that hold a model: {', '.join(inner[-3:])}" if inner else None


def _is_folder(path: Path) -> bool:
    return is_there(path) and path.is_dir()
