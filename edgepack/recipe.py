"""Recipe: what the user brings (model, data) and wishes (student, budgets, fixed choices). Pure data."""

import re
from typing import Literal

from pydantic import Field, field_validator

from edgepack.errors import EdgepackError
from edgepack.frozen import Frozen
from edgepack.profile import Budget

TaskName = Literal["text-classification", "token-classification", "question-answering", "feature-extraction", "text-generation"]

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
        raise EdgepackError(f"out of range: {flag} {text!r}", "choose a fraction from 0 to below 100%: every layer keeps a head")
    return value


class Training(Frozen):
    """How a student is distilled. The defaults hold for encoders of 10 to 100 M parameters on thousands of texts."""

    epochs: int = Field(default=5, ge=1)
    batch_rows: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    temperature: float = Field(default=2.0, gt=0)


class Columns(Frozen):
    """Names of the data's columns where guessing is not wanted."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None


NO_COLUMNS = Columns()


class Recipe(Frozen):
    """model: a folder or hub id. Whatever is None is chosen by the plan or read from the model and the data."""

    model: str
    task: TaskName | None = None
    data: str | None = None
    vocabulary: str | None = Field(default=None, min_length=1)  # `data`: cut to the train split; a path: to that file too
    student: str | None = None
    prune_heads: float | None = Field(default=None, ge=0, lt=1)
    precision: Literal["fp32", "int8"] | None = None
    length: int = Field(default=128, ge=1)  # tokens for which the latency budget holds
    max_length: int | None = Field(default=None, ge=1)  # tokens after which a text is cut
    budget: Budget = Budget()
    training: Training = Training()
    columns: Columns = NO_COLUMNS
    seed: int = Field(default=0, ge=0)
    trust_remote_code: bool = False

    @field_validator("student")
    @classmethod
    def _student_can_be_read(cls, value: str | None) -> str | None:
        if value is not None:
            parse_student(value)
        return value
