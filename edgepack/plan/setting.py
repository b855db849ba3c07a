"""Setting: the description of a record's field. Flags, keys of recipe files, the docs' tables and errors follow from it."""

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from edgepack.core.errors import EdgepackError

if TYPE_CHECKING:
    from pydantic import BaseModel  # not loaded here: the headings below are all that some commands need

BUILD, STUDENT, PRUNING, FILE, BUDGETS, DATA, RUN = (
    "What to build", "Student and distillation", "Pruning", "Precision and format", "Budgets", "Data", "The run itself",
)  # fmt: skip


Settings = Mapping[str, Any]  # values of settings by their keys: {"precision": "int8", "training.epochs": 5}


@dataclass(frozen=True)
class Searched:
    """How `edgepack search` varies a setting. Its type says which values are legal; this says which of them are worth trying.

    values: those that are tried, None for "left out"; empty: every choice of the type, or the range. low, high, step: of a number;
    with logarithmic, equal factors are equally likely. by_itself: False where it is varied only if the file of --space names it.
    matters: whether the setting changes anything beside the others that were chosen; None: it always does.
    """

    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None
    logarithmic: bool = False
    by_itself: bool = True
    matters: Callable[[Settings], bool] | None = None


@dataclass(frozen=True)
class Setting:
    """Stands in a field's annotation: `epochs: Annotated[int, Setting("...", STUDENT)] = 5`.

    help: full sentences that make sense alone. panel: the heading that `--help` and the docs show it under.
    unset: what happens where it is left out and has no default. flag: its name on the command line where that is not the
    field's own. parse: reads the text of the command line, for values that people write otherwise than TOML does, such as 25%.
    searched: how a search varies it; None: it never does, for the setting says what is built and not how.
    """

    help: str
    panel: str
    unset: str | None = None
    flag: str | None = None
    parse: Callable[[str, str], Any] | None = None
    searched: Searched | None = None


@dataclass(frozen=True)
class SettingField:
    """One setting with its place: `path` is ("budget", "file_mb") for the key `file_mb` in the table `[budget]`."""

    path: tuple[str, ...]
    flag: str
    annotation: Any  # its type without None
    default: Any  # None: nothing is fixed
    setting: Setting

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values that it takes, where they are a list."""
        return get_args(self.annotation) if get_origin(self.annotation) is Literal else ()

    @property
    def is_whole(self) -> bool:
        """Whether it takes whole numbers only."""
        return self.annotation is int

    @property
    def default_text(self) -> str | None:
        """What happens where it is left out, for people."""
        if self.setting.unset is not None or self.default is None or self.default == "":
            return self.setting.unset
        return "no" if self.default is False else str(self.default)


def setting_fields(record: "type[BaseModel]", above: tuple[str, ...] = ()) -> Iterator[SettingField]:
    """Every setting of a record, those of records within it too, in the order in which they stand."""
    for name, field in record.model_fields.items():
        inner = _without_none(field.annotation)
        if hasattr(inner, "model_fields"):
            yield from setting_fields(inner, (*above, name))
            continue
        setting = next((note for note in field.metadata if isinstance(note, Setting)), Setting(field.description or "", RUN))
        flag = setting.flag or "--" + name.replace("_", "-")
        yield SettingField((*above, name), flag, inner, field.get_default(), setting)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        annotation = parts[0] if len(parts) == 1 else annotation
    while hasattr(annotation, "__metadata__"):  # Annotated: limits of the value
        annotation = annotation.__origin__
    return annotation


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
