"""config_setfit.json and the head beside it: a SetFit model's classes, and the layer that scores them from the vector of a text.

The library keeps its head as a pickle, which can run any code and is never opened here. SCRIPT makes safetensors of it, once.
"""

from pathlib import Path
from typing import Any, NamedTuple

from edgepack.core.errors import EdgepackError
from edgepack.model.safetensors_file import check_safetensors
from edgepack.model.statements.sentence_record import Dense, Normalize, Part
from edgepack.model.statements.statement_file import check_keys, read_object, refusal, typed

FILE, PICKLE, WEIGHTS = "config_setfit.json", "model_head.pkl", "model_head.safetensors"
_KNOWN = ("labels", "normalize_embeddings", "head")
_FUNCTIONS = ("softmax", "sigmoid")

SCRIPT = """import json, joblib, numpy as np
from pathlib import Path
from safetensors.numpy import save_file
folder = Path("FOLDER")
head, config = joblib.load(folder / "model_head.pkl"), folder / "config_setfit.json"
stated = json.loads(config.read_text()) if config.is_file() else {}
several = hasattr(head, "estimators_") or getattr(head, "multitarget", False)  # labels that are decided one by one
if hasattr(head, "linear"):  # SetFit's own head in torch
    weight = head.linear.weight.detach().numpy() / (head.temperature + head.eps)
    bias = 0 * weight[:, 0] if head.linear.bias is None else head.linear.bias.detach().numpy() / (head.temperature + head.eps)
else:
    parts = getattr(head, "estimators_", [head])  # LogisticRegression, or one of it for each label
    assert all(type(part).__name__ == "LogisticRegression" and part.solver != "liblinear" for part in parts), parts
    weight, bias = np.concatenate([part.coef_ for part in parts]), np.concatenate([part.intercept_ for part in parts])
if len(weight) == 1 and not several:
    weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
ids = range(len(weight)) if several else getattr(head, "classes_", range(len(weight)))
labels = [str(stated["labels"][i] if stated.get("labels") and not isinstance(i, str) else i) for i in ids]
layer = {"linear.weight": np.ascontiguousarray(weight, "float32"), "linear.bias": np.ascontiguousarray(bias, "float32")}
save_file(layer, folder / "model_head.safetensors")
config.write_text(json.dumps(stated | {"labels": labels, "head": "sigmoid" if several else "softmax"}))
(folder / "model_head.pkl").unlink()"""


class SetFit(NamedTuple):
    """parts: behind the sentence-transformers model. function: `softmax`, or `sigmoid` where every label is decided by itself."""

    parts: tuple[Part, ...]
    labels: tuple[str, ...]
    function: str


def read_setfit(folder: Path) -> SetFit | None:
    """None: no SetFit model. EdgepackError: its head is a pickle, is not there, or does not fit what the file states."""
    if not (folder / WEIGHTS).is_file():
        if (folder / PICKLE).is_file() or (folder / FILE).is_file():
            raise EdgepackError(
                f"{folder} is a SetFit model whose head is a pickle ({PICKLE}): a pickle can run any code",
                "if you trust it, run these lines in Python once, with the folder's name in place of FOLDER, and build again:\n" + SCRIPT,
            )
        return None
    content = read_object(folder / FILE)
    check_keys(FILE, content, _KNOWN)
    classes, width = _shape(folder)
    function = typed(FILE, content, "head", str, "softmax")
    if function not in _FUNCTIONS:
        raise refusal(FILE, "head", function, "edgepack does not know this function", f"it knows {', '.join(_FUNCTIONS)}")
    normalize = typed(FILE, content, "normalize_embeddings", bool, False)
    layer = Dense(width_in=width, width_out=classes, bias=True, activation="Identity", residual=False, folder="", weights=WEIGHTS)
    return SetFit((*([Normalize()] if normalize else []), layer), _labels(content, classes), function)


def _shape(folder: Path) -> tuple[int, int]:
    shapes = check_safetensors(folder / WEIGHTS)
    weight, bias = shapes.get("linear.weight"), shapes.get("linear.bias")
    if set(shapes) != {"linear.weight", "linear.bias"} or weight is None or bias is None or len(weight) != 2 or list(bias) != [weight[0]]:
        raise EdgepackError(
            f"{WEIGHTS} holds {', '.join(sorted(shapes))}", "it holds linear.weight [classes, width] and linear.bias [classes] alone"
        )
    if weight[0] < 2:
        raise EdgepackError(f"{WEIGHTS} scores a single class", "give a row for each class; the row of the other class of two is zeros")
    return weight[0], weight[1]


def _labels(content: dict[str, Any], classes: int) -> tuple[str, ...]:
    labels = typed(FILE, content, "labels", list, [str(index) for index in range(classes)])
    if len(labels) != classes or len(set(map(str, labels))) != classes:
        raise refusal(FILE, "labels", labels, f"the head scores {classes} classes", "name each once, in the order of the head's rows")
    return tuple(str(label) for label in labels)
