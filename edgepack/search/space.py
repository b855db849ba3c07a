"""The space of a search: which settings of Recipe vary, and between which values. The fields of Recipe themselves say so."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgepack.core.errors import EdgepackError
from edgepack.core.records import Frozen
from edgepack.plan.plan import make_plan
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.plan.setting import Searched, SettingField, Settings, setting_fields
from edgepack.plan.shape import ModelShape
from edgepack.plan.student import candidate_students
from edgepack.plan.tables import OF_LAYERS
from edgepack.search.space_file import Narrowed

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

LAYERS, HIDDEN = "student.layers", "student.hidden"  # the two dimensions of `student`
_WIDE, _LANES, _BLOCK = 256, 8, 32  # widths are multiples of a kernel's lanes, and of its block where the teacher is as wide as that
_ALWAYS = Searched()
_PLANNED = ("precision", "format")  # settings whose legal values the profile decides


@dataclass(frozen=True)
class Dimension:
    """One thing that varies: `values`, or the numbers from low to high. searched: says when it matters."""

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    logarithmic: bool = False
    searched: Searched = _ALWAYS

    @property
    def is_ordered(self) -> bool:
        """Whether the values are numbers, so that neighbours are alike."""
        return bool(self.values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    def suggested(self, trial: "BaseTrial") -> Any:
        """The value that optuna draws for this trial."""
        if self.is_ordered:
            return self.values[trial.suggest_int(self.key, 0, len(self.values) - 1)]
        if self.values:
            return trial.suggest_categorical(self.key, self.values)
        return trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.logarithmic)

    def param(self, value: Any) -> Any:
        """How optuna writes the value."""
        return self.values.index(value) if self.is_ordered else value

    def nearest(self, value: Any) -> Any:
        """The value of this dimension that is most like another one. KeyError: none is."""
        if value in self.values:
            return value
        if self.is_ordered and value is not None:
            return min(self.values, key=lambda each: abs(each - value))
        if self.values or value is None:
            raise KeyError(value)
        step = self.step or (self.high - self.low)
        bounded = min(self.high, max(self.low, value))
        return bounded if self.logarithmic or not self.step else round(self.low + round((bounded - self.low) / step) * step, 10)

    def __len__(self) -> int:
        """How many values it has; a range without steps counts as many."""
        return len(self.values) or (1_000_000 if not self.step else 1 + round((self.high - self.low) / self.step))


@dataclass(frozen=True)
class Space:
    """The dimensions, in the order in which Recipe has them; `base` is what the user has fixed, `wished` what the file of --space names."""

    base: Recipe
    teacher: ModelShape
    dimensions: tuple[Dimension, ...]
    wished: frozenset[str] = frozenset()

    def suggested(self, trial: "BaseTrial") -> dict[str, Any]:
        """A value for each dimension that matters beside those before it."""
        settings: dict[str, Any] = {}
        for dimension in self.dimensions:
            if self._matters(dimension, settings):
                settings[dimension.key] = dimension.suggested(trial)
        return settings

    def snapped(self, wished: Settings) -> dict[str, Any]:
        """The values of this space that are nearest to those wished for; a value that nothing is like is the dimension's first."""
        settings: dict[str, Any] = {}
        for dimension in self.dimensions:
            if not self._matters(dimension, settings):
                continue
            first = dimension.values[0] if dimension.values else dimension.low
            try:
                settings[dimension.key] = dimension.nearest(wished[dimension.key])
            except KeyError:
                settings[dimension.key] = first
        return settings

    def recipe(self, settings: Settings) -> Recipe:
        """The user's recipe with the chosen values. What is left open is fixed too, so that no plan compresses further by itself."""
        changes = {key: value for key, value in settings.items() if key not in (LAYERS, HIDDEN)}
        if LAYERS in settings:
            layers, hidden = settings[LAYERS], settings[HIDDEN]
            is_same = (layers, hidden) == (len(self.teacher.layers), self.teacher.hidden)
            changes["student"] = "same" if is_same else f"{layers}x{hidden}"
        content = self.base.as_json()
        content["student"] = content["student"] or "same"
        content["prune_heads"] = content["prune_heads"] or 0.0
        for key, value in changes.items():
            table = content
            *above, name = key.split(".")
            for part in above:
                table = table[part]
            table[name] = value
        return Recipe.read(content, "a candidate of the search")

    def _matters(self, dimension: Dimension, settings: Mapping[str, Any]) -> bool:
        matters = dimension.searched.matters
        fixed = {"precision": self.base.precision, "student": self.base.student or "same"}
        return matters is None or matters(fixed | {"prune_heads": self.base.prune_heads, "prune_ffn": self.base.prune_ffn} | dict(settings))


class DimensionRow(Frozen):
    """A dimension as the page and front.json show it."""

    key: str
    values: str


def rows_of(space: Space) -> tuple[DimensionRow, ...]:
    """What varies, in words."""
    return tuple(DimensionRow(key=dimension.key, values=_in_words(dimension)) for dimension in space.dimensions)


def _in_words(dimension: Dimension) -> str:
    if dimension.values:
        return ", ".join("left out" if value is None else str(value) for value in dimension.values)
    step = f" in steps of {dimension.step:g}" if dimension.step else ", logarithmic" if dimension.logarithmic else ""
    return f"{dimension.low:g} to {dimension.high:g}{step}"


def space_of(recipe: Recipe, profile: Profile, teacher: ModelShape, narrowed: Mapping[str, Narrowed | bool]) -> Space:
    """What the recipe leaves open, as its fields say and as the file of --space narrows it. EdgepackError: nothing is left to search."""
    dimensions: list[Dimension] = []
    for field in setting_fields(Recipe):
        key, searched = ".".join(field.path), field.setting.searched
        wish = narrowed.get(key)
        is_idle = teacher.family.is_table and key in OF_LAYERS
        if searched is None or wish is False or (wish is None and (is_idle or not searched.by_itself)):
            continue
        if _value_at(recipe, field.path) != field.default:
            if wish is not None:
                raise EdgepackError(f"{key} is fixed by {field.flag} and searched by the file of --space", "leave one of them out")
            continue
        dimensions += _of_field(field, searched, wish if isinstance(wish, Narrowed) else None, recipe, profile, teacher)
    dimensions = [dimension for dimension in dimensions if len(dimension) > 1 or _says_something(dimension)]
    if not any(len(dimension) > 1 for dimension in dimensions):
        raise EdgepackError(
            "the space of the search is empty: every setting that could vary is fixed or has one value only",
            "leave flags out, or list more values in the file of --space",
        )
    return Space(recipe, teacher, tuple(dimensions), frozenset(narrowed))


def _says_something(dimension: Dimension) -> bool:
    """Of a dimension with one value: whether that value is another than leaving the setting out."""
    return dimension.values not in ((), (None,))


def _of_field(
    field: SettingField, searched: Searched, wish: Narrowed | None, recipe: Recipe, profile: Profile, teacher: ModelShape
) -> Iterator[Dimension]:
    key = ".".join(field.path)
    if key == "student" and not (wish and wish.values):
        yield from _depth_and_width(searched, wish, teacher)
        return
    if wish is not None and wish.values:
        values: tuple[Any, ...] = wish.values
    elif wish is not None and wish.low is not None:
        yield Dimension(
            key,
            (),
            wish.low,
            wish.high or wish.low,
            wish.step or (None if wish.logarithmic else searched.step),
            wish.logarithmic or False,
            searched,
        )
        return
    elif searched.values or searched.low is None:
        values = searched.values or field.choices or (False, True)
    else:
        yield Dimension(key, (), searched.low, searched.high or searched.low, searched.step, searched.logarithmic, searched)
        return
    if key in _PLANNED:
        values = tuple(value for value in values if _is_planned(recipe, key, value, profile, teacher))
        if wish is not None and not values:
            raise EdgepackError(f"profile {profile.name!r} takes none of the values of {key} in the file of --space", "list others")
    if values:
        yield Dimension(key, values, searched=searched)


def _depth_and_width(searched: Searched, wish: Narrowed | None, teacher: ModelShape) -> Iterator[Dimension]:
    shapes = candidate_students(teacher)
    depths = {len(shape.layers) for shape in shapes} | {len(teacher.layers)}
    widths = {shape.hidden for shape in shapes} | {teacher.hidden}
    multiple = _BLOCK if teacher.hidden >= _WIDE else _LANES
    liked = {width for width in widths if width % multiple == 0} | {teacher.hidden}
    for key, legal, asked in ((LAYERS, depths, wish and wish.layers), (HIDDEN, liked, wish and wish.hidden)):
        if asked and (wrong := sorted(set(asked) - (depths if key == LAYERS else widths))):
            raise EdgepackError(
                f"{key} in the file of --space lists {wrong[0]}, which no student of this model can have",
                f"choose from {', '.join(map(str, sorted(legal)))}",
            )
        yield Dimension(key, tuple(sorted(asked or legal, reverse=True)), searched=searched)


def _is_planned(recipe: Recipe, key: str, value: Any, profile: Profile, teacher: ModelShape) -> bool:
    """Whether the profile's runtime takes the value, whatever the budgets are."""
    try:
        make_plan(profile, recipe.model_copy(update={"student": "same", key: value}), teacher)
    except EdgepackError:
        return False
    return True


def _value_at(recipe: Recipe, path: tuple[str, ...]) -> Any:
    value: Any = recipe
    for name in path:
        value = getattr(value, name)
    return value
