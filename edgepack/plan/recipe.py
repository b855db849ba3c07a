"""Recipe: what the user brings (model, data) and wishes (student, budgets, fixed choices). Pure data."""

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.plan.formats import FormatWish
from edgepack.plan.profile import Budget

TaskName = Literal["text-classification", "token-classification", "question-answering", "feature-extraction", "text-generation"]

Importance = Literal["gradient", "activation", "magnitude", "random"]
Scope = Literal["layer", "model"]  # the same share in each layer, or the least important anywhere

_SIZES = {
    "params": re.compile(r"(\d+(?:\.\d+)?)M"),
    "percent": re.compile(r"(\d+(?:\.\d+)?)%"),
    "shape": re.compile(r"(\d+)x(\d+)"),
}
_HOW_TO_SIZE = "write a size as 13M (parameters), 50% (of the teacher), 3x384 (layers x hidden width) or same"


class StudentSize(Frozen):
    """What `--student` asks for; exactly one of the fields is set, none for `same`."""

    text: str
    params: float | None = None
    rounding: float | None = None  # a size written as 13M is met by what rounds to it: within half of the last digit
    percent: float | None = None
    layers: int | None = None
    hidden: int | None = None

    @property
    def is_same(self) -> bool:
        return self.text == "same"


def parse_student(text: str) -> StudentSize:
    """`13M`, `50%`, `3x384` or `same` as a StudentSize."""
    if text == "same":
        return StudentSize(text=text)
    if match := _SIZES["params"].fullmatch(text):
        decimals = len(match[1].partition(".")[2])
        return StudentSize(text=text, params=float(match[1]) * 1e6, rounding=0.5e6 * 10.0**-decimals)
    if match := _SIZES["percent"].fullmatch(text):
        if not 0 < float(match[1]) <= 100:
            raise EdgepackError(f"a student of {text} of its teacher", "choose a percentage above 0 and up to 100")
        return StudentSize(text=text, percent=float(match[1]))
    if match := _SIZES["shape"].fullmatch(text):
        return StudentSize(text=text, layers=int(match[1]), hidden=int(match[2]))
    raise EdgepackError(f"unknown student size: {text!r}", _HOW_TO_SIZE)


def parse_fraction(text: str, flag: str) -> float:
    """`25%` or `0.25` as 0.25; `flag` is named in the error."""
    number = text.removesuffix("%")
    try:
        value = float(number) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise EdgepackError(f"not a fraction: {flag} {text!r}", "write 25% or 0.25") from None
    if not 0 <= value < 1:
        raise EdgepackError(f"out of range: {flag} {text!r}", "choose a fraction from 0 to below 100%")
    return value


class Training(Frozen):
    """How a student is distilled. The defaults hold for encoders of 10 to 100 M parameters on thousands of texts."""

    epochs: int = Field(default=5, ge=0)  # 0 leaves a pruned model as it is
    batch_rows: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    temperature: float = Field(default=2.0, gt=0)
    soft_weight: float | None = Field(default=None, ge=0)  # of the teacher's outputs; None: the task's default
    hidden_weight: float | None = Field(default=None, ge=0)  # of its hidden states
    relation_weight: float | None = Field(default=None, ge=0)  # of its attention relations
    hard_weight: float | None = Field(default=None, ge=0)  # of the data's labels
    minutes: float | None = Field(default=None, gt=0)  # stops then, with the best checkpoint so far


# Minitron (Muralidharan 2024): logits alone are hard to beat where the student starts from its teacher's weights.
DEFAULT_WEIGHTS: dict[str, dict[str, float]] = {
    "text-classification": {"soft_weight": 1.0, "hidden_weight": 0.0, "relation_weight": 0.0, "hard_weight": 0.0},
    "token-classification": {"soft_weight": 1.0, "hidden_weight": 0.0, "relation_weight": 0.0, "hard_weight": 0.0},
    "question-answering": {"soft_weight": 1.0, "hidden_weight": 0.0, "relation_weight": 0.0, "hard_weight": 0.0},
    "feature-extraction": {"soft_weight": 1.0, "hidden_weight": 0.0, "relation_weight": 0.0, "hard_weight": 0.0},
    "text-generation": {"soft_weight": 1.0, "hidden_weight": 0.0, "relation_weight": 0.0, "hard_weight": 0.0},
}


def training_for(task: str, training: Training) -> Training:
    """The same with the task's own weights where none are given. EdgepackError: nothing to learn from."""
    defaults = DEFAULT_WEIGHTS[task]
    weights = {name: own if (own := getattr(training, name)) is not None else value for name, value in defaults.items()}
    if not any(weights.values()):
        raise EdgepackError("every weight of the loss is 0: nothing to learn from", "leave out --soft-weight 0, or give another weight")
    if task == "feature-extraction" and weights["hard_weight"]:
        raise EdgepackError(f"sentence embeddings have no labels: --hard-weight {weights['hard_weight']:g}", "leave --hard-weight out")
    return training.model_copy(update=weights)


class Columns(Frozen):
    """Names of the data's columns where guessing is not wanted."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None


NO_COLUMNS = Columns()
DEFAULT_LENGTH = 128  # where a model has fewer positions, texts are as long as those


class Recipe(Frozen):
    """model: a folder or hub id. Whatever is None is chosen by the plan or read from the model and the data."""

    model: str = ""  # without one, the demo's
    task: TaskName | None = None
    data: str | None = None
    vocabulary: str | None = Field(default=None, min_length=1)  # `data`: cut to the train split; a path: to that file too
    student: str | None = None
    prune_heads: float | None = Field(default=None, ge=0, lt=1)
    prune_ffn: float | None = Field(default=None, ge=0, lt=1)
    prune_layers: str | None = None
    drop_attention: int | None = Field(default=None, ge=0)
    prune_weights: float | None = Field(default=None, ge=0, lt=1)
    importance: Importance | None = None
    scope: Scope | None = None
    refit: bool = False  # heads and neurons that stay take over, by least squares, what is cut
    iterations: int = Field(default=1, ge=1, le=20)  # prune and recover so many times, a part of the way each
    precision: Literal["fp32", "fp16", "int8", "int4"] | None = None
    activations: Literal["dynamic", "static"] | None = None  # scales of int8: each text's own, or those of calibration texts
    prepack: bool | None = None  # matrices are packed for the kernels as the session opens; None: unless that breaks the load budget
    smoothing: float | None = Field(default=None, ge=0, le=1)  # of activations before int8; None: chosen on calibration texts
    sensitive: int | None = Field(default=None, ge=0)  # groups of products that stay in float; None: where the gate fails without
    embedding_bits: Literal[8, 4] | None = None
    format: FormatWish | None = None  # None: ONNX where the profile runs it
    length: int = Field(default=DEFAULT_LENGTH, ge=1)  # tokens for which the latency budget holds
    max_length: int | None = Field(default=None, ge=1)  # tokens after which a text is cut
    budget: Budget = Budget()
    training: Training = Training()
    unlabelled: str | None = None  # a file of texts that the student learns on beside the data
    columns: Columns = NO_COLUMNS
    seed: int = Field(default=0, ge=0)
    trust_remote_code: bool = False

    @property
    def prunes(self) -> bool:
        """Whether anything is cut beside what a smaller student leaves out."""
        return any((self.prune_heads, self.prune_ffn, self.prune_layers, self.drop_attention, self.prune_weights))

    @field_validator("student")
    @classmethod
    def _student_can_be_read(cls, value: str | None) -> str | None:
        if value is not None:
            parse_student(value)
        return value


def read_recipe(path: Path | None, given: dict[str, Any]) -> Recipe:
    """A Recipe from a TOML file and from what was given beside it, which comes first; None is not given.

    Paths in the file are relative to it. EdgepackError names the key of the file that is wrong.
    """
    stated: dict[str, Any] = {}
    if path is not None:
        stated = _read_toml(path)
        Recipe.read(stated, path.name)
        stated |= {key: _beside(path, stated[key]) for key in ("model", "data", "unlabelled") if stated.get(key)}
    return Recipe.read(_merged(stated, given), "the command line")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EdgepackError(f"recipe file not found: {str(path)!r} ({error.strerror})", "give the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EdgepackError(f"{path.name} is not TOML: {error}", "see examples/edgepack.toml") from None
    for key in ("prune_heads", "prune_ffn", "prune_weights"):
        if isinstance(stated.get(key), str):
            stated[key] = parse_fraction(stated[key], key)
    return stated


def _beside(path: Path, name: str) -> str:
    """A file or folder beside the recipe file, or else what it says: a hub id, an absolute path."""
    beside = path.parent / name
    return str(beside) if beside.exists() else name


def _merged(stated: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(stated)
    for key, value in given.items():
        if isinstance(value, dict):
            merged[key] = _merged(merged.get(key, {}), value)
        elif value is not None:
            merged[key] = value
    return merged
