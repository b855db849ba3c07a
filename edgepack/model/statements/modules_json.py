"""modules.json of sentence-transformers: the parts of a model in their order, each with a folder of its own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.showing import shown
from edgepack.model.statements.dense_config import read_dense, read_layer_norm
from edgepack.model.statements.pooling_config import read_pooling
from edgepack.model.statements.sentence_record import Normalize, Part, Pooling, Splade, TokenMean
from edgepack.model.statements.splade_config import read_splade
from edgepack.model.statements.statement_file import read_list, read_object, refusal

FILE = "modules.json"
_LIBRARY = "sentence_transformers."
_LONGEST_NAME = 255  # bytes, of a file or folder
_KEYS = {"idx", "name", "path", "type", "kwargs"}

# Parts that no pack has: what they are, and the way out.
_REFUSED = {
    "SparseStaticEmbedding": ("a weight for each token without a transformer is not reproduced", "give a SparseEncoder with SpladePooling"),
    "SparseAutoEncoder": ("the k largest values of a sparse code are not reproduced", "give the dense model that it was made of"),
    "WordWeights": ("weights of single words are not reproduced", "train the model with Pooling alone"),
    "WordEmbeddings": ("word vectors without a transformer are not reproduced", "give a model with a transformer"),
    "WeightedLayerPooling": ("a sum over the layers' outputs is not reproduced", "train the model with Pooling alone"),
    "LogitScore": ("a decoder that ranks by the logit of a word is not reproduced", "give a CrossEncoder with a head for classification"),
    "MultiVectorMask": ("a vector for each token (ColBERT) is not reproduced", "give a SentenceTransformer with one vector a text"),
    "Router": ("other parts for queries than for documents are not reproduced", "save the part for queries, or for documents, by itself"),
    "Asym": ("other parts for queries than for documents are not reproduced", "save the part for queries, or for documents, by itself"),
    "CLIPModel": ("images are not reproduced", "give a model for texts alone"),
    "BoW": ("counts of words without a transformer are not reproduced", "give a model with a transformer"),
    "CNN": ("convolutions over tokens are not reproduced", "train the model with Pooling alone"),
    "LSTM": ("a recurrent network over tokens is not reproduced", "train the model with Pooling alone"),
}  # fmt: skip


def transformer_folder(folder: Path) -> Path:
    """Where the transformer itself lies: in the folder, or below it as older versions of the library wrote it."""
    if not (folder / FILE).is_file():
        return folder
    entries = _entries(folder)
    return folder / entries[0]["path"] if entries else folder


def begins_with_table(folder: Path) -> bool:
    """Whether the first part is a StaticEmbedding: a table of tokens' vectors in the transformer's place."""
    entries = _entries(folder) if (folder / FILE).is_file() else []
    return bool(entries) and _kind(entries[0]) in _TABLES


def read_modules(folder: Path) -> tuple[Part, ...]:
    """The parts behind the transformer or the table. EdgepackError names one that is not reproduced, or in a place that it cannot have."""
    entries = _entries(folder)
    kinds = [_kind(entry) for entry in entries]
    if not kinds or kinds[0] not in (*_TRANSFORMERS, *_TABLES):
        first = entries[0]["type"] if entries else None
        why, fix = "a pack begins with a transformer or a StaticEmbedding", "give a model with a Transformer or a StaticEmbedding"
        raise refusal(FILE, "the first part", first, why, fix)
    parts: list[Part] = [TokenMean()] if kinds[0] in _TABLES else []
    for entry, kind in zip(entries[1:], kinds[1:], strict=True):
        if kind == "Dropout":  # it does nothing once the model is trained
            continue
        if (kind in _POOLINGS) != (not parts):
            why = "it stands before Pooling, or Pooling stands twice: only vectors of whole texts are reproduced"
            raise refusal(FILE, "type", entry["type"], why, "give a model whose parts are Transformer, Pooling and what follows it")
        if kind in (*_TRANSFORMERS, *_TABLES):
            raise refusal(FILE, "type", entry["type"], "it is a second transformer", "give a model with a single Transformer")
        parts.append(_READERS[kind](folder, entry["path"]))
    check_widths(parts)
    return tuple(parts)


def gives_logits(folder: Path) -> bool:
    """Whether the first part is a transformer with its head for masked words, whatever its own config says."""
    return _kind(_entries(folder)[0]) == "MLMTransformer"


def _read_normalize(folder: Path, path: str) -> Normalize:
    file = f"{path}/config.json"
    for key, value in read_object(folder / path / "config.json").items():
        if key not in ("module_input_name", "module_output_name") or value not in (None, "sentence_embedding"):
            raise refusal(file, key, value, "only vectors of whole texts are scaled to length 1", "save the model with a plain Normalize")
    return Normalize()


_TRANSFORMERS = ("Transformer", "MLMTransformer")
_TABLES = ("StaticEmbedding",)  # they give vectors of whole texts
_POOLINGS = ("Pooling", "SpladePooling")
_READERS: dict[str, Callable[[Path, str], Part]] = {
    "Pooling": read_pooling,
    "SpladePooling": read_splade,
    "Dense": read_dense,
    "LayerNorm": read_layer_norm,
    "Normalize": _read_normalize,
}


def _entries(folder: Path) -> list[dict[str, Any]]:
    content = read_list(folder / FILE)
    if not all(isinstance(entry, dict) for entry in content):
        raise EdgepackError(f"{folder / FILE} is not a list of parts", "save or download the model again")
    for entry in content:
        path = entry.get("path")
        if not isinstance(entry.get("type"), str) or not isinstance(path, str):
            raise EdgepackError(f"{folder / FILE}: a part has no type or no path: {entry}", "save or download the model again")
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise EdgepackError(f"{folder / FILE} names a path outside of the folder: {path!r}", "do not use this model")
        if len(path.encode(errors="replace")) > _LONGEST_NAME:
            problem = f"{folder / FILE} names a path that no file system takes: {shown(path)}"
            raise EdgepackError(problem, "save or download the model again")
        for key in entry.keys() - _KEYS:
            raise refusal(FILE, key, entry[key], "edgepack does not know this key", "save the model again with sentence-transformers")
        if entry.get("kwargs"):
            raise refusal(
                FILE, "kwargs", entry["kwargs"], "arguments for one part's call are not reproduced", "save the model without them"
            )
    names = [entry.get("name") for entry in content]
    for name in names:
        if name is not None and names.count(name) > 1:
            raise refusal(FILE, "name", name, "two parts have it, and the library keeps the last alone", "give each part a name of its own")
    return content


def _kind(entry: dict[str, Any]) -> str:
    name = entry["type"].rpartition(".")[2]
    if not entry["type"].startswith(_LIBRARY):
        raise refusal(FILE, "type", entry["type"], "a part that brings code of its own is not reproduced", "use the library's own parts")
    if name in _REFUSED:
        why, fix = _REFUSED[name]
        raise refusal(FILE, "type", entry["type"], why, fix)
    if name not in {*_TRANSFORMERS, *_TABLES, "Dropout", *_READERS}:
        raise refusal(FILE, "type", entry["type"], "edgepack does not know this part", f"it knows {', '.join(sorted(_READERS))}")
    return name


def check_widths(parts: Sequence[Part]) -> None:
    """Of parts behind one another; the first one's input is checked where the transformer is loaded."""
    width = None
    for part in parts:
        if isinstance(part, Pooling | TokenMean | Splade | Normalize):
            continue
        width_in = part.width_in if part.part == "dense" else part.width
        if width not in (None, width_in):
            raise EdgepackError(
                f"{part.folder} takes vectors of {width_in}, the part before it gives {width}", "save or download the model again"
            )
        width = part.width_out if part.part == "dense" else part.width
