"""config.json of a Dense or a LayerNorm behind the pooling, and where their weights lie."""

from pathlib import Path

from edgepack.core.errors import EdgepackError
from edgepack.model.statements.sentence_record import Dense, LayerNorm
from edgepack.model.statements.statement_file import check_keys, read_object, refusal, typed

WEIGHTS = "model.safetensors"
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU")  # classes of torch.nn, as they are without arguments
_KNOWN = ("in_features", "out_features", "bias", "activation_function", "module_input_name", "module_output_name", "use_residual")


def read_dense(folder: Path, path: str) -> Dense:
    """The Dense part in folder/path. EdgepackError: a key or an activation that edgepack does not reproduce."""
    file, content = f"{path}/config.json", read_object(folder / path / "config.json")
    check_keys(file, content, _KNOWN)
    for key in ("module_input_name", "module_output_name"):
        if content.get(key) not in (None, "sentence_embedding"):
            raise refusal(file, key, content[key], "only a Dense of the vectors of whole texts is reproduced", "give another model")
    stated = typed(file, content, "activation_function", str, "torch.nn.modules.activation.Tanh")
    name = stated.rpartition(".")[2]
    if not stated.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise refusal(file, "activation_function", stated, "this activation is not reproduced", f"edgepack knows {', '.join(ACTIVATIONS)}")
    _check_weights(folder / path)
    return Dense(
        width_in=typed(file, content, "in_features", int, 0),
        width_out=typed(file, content, "out_features", int, 0),
        bias=typed(file, content, "bias", bool, True),
        activation=name,
        residual=typed(file, content, "use_residual", bool, False),
        folder=path,
    )


def read_layer_norm(folder: Path, path: str) -> LayerNorm:
    """The LayerNorm part in folder/path. EdgepackError: an unknown key, or no weights."""
    file, content = f"{path}/config.json", read_object(folder / path / "config.json")
    check_keys(file, content, ("dimension",))
    _check_weights(folder / path)
    return LayerNorm(width=typed(file, content, "dimension", int, 0), folder=path)


def _check_weights(folder: Path) -> None:
    if (folder / WEIGHTS).is_file():
        return
    if (folder / "pytorch_model.bin").is_file():
        raise EdgepackError(
            f"{folder} holds pickled weights only (pytorch_model.bin): a pickle can run any code",
            "where you trust it, convert it once: SentenceTransformer(folder).save_pretrained(folder) writes safetensors",
        )
    raise EdgepackError(f"no {WEIGHTS} in {folder}", "save or download the model again")
