"""How much a trial trains and how many rows judge it: successive halving over rows and epochs (Jamieson and Talwalkar 2016).

A trial never sees the test split. It is trained on rows of the train split and judged on rows of the dev split, so that the test split
judges the packs of the front without favour.
"""

import random
from dataclasses import dataclass, field, replace
from typing import Any

from edgepack.model.course import SHORT_RATE, most_steps
from edgepack.model.data import Data
from edgepack.model.material import Material, gather
from edgepack.plan.recipe import Recipe

_FACTOR = 3  # each rung trains three times as long as the one before, for a third of its trials
_TRAINING_SHARE = 0.06  # of a search's minutes is what a training on the first rung gets at most: so some trials end on any machine
_LEAST_BATCHES = 40  # of a short training; a model that has seen less says little
_JUDGE_ROWS = (500, 1000)  # of the dev split, on the first rung and on later ones
_GATE_ROWS = 200  # that choose among the candidates of a quantization
# What a material computes once and the settings that a search varies do not change.
_SHARED = ("labels", "id2label", "tokenizer", "train", "dev", "test", "training", "unlabelled_rows", "sample")


@dataclass(frozen=True)
class Rung:
    """rows of the train split, epochs over them, rows of the dev split that judge. index: 0 is the shortest.

    minutes: of a training at most, after which its best checkpoint is judged; None: no limit, so that a trial always gives the same.
    """

    index: int
    rows: int
    epochs: int
    judge_rows: int
    minutes: float | None = None

    @property
    def texts(self) -> int:
        """How many texts a training reads."""
        return self.rows * self.epochs

    def recipe(self, recipe: Recipe) -> Recipe:
        """The candidate's recipe with this rung's training. A recipe that does not train goes on to not train."""
        if recipe.training.epochs == 0:
            return recipe
        limits = [limit for limit in (self.minutes, recipe.training.minutes) if limit is not None]
        rate = recipe.training.learning_rate or SHORT_RATE
        changes = {"epochs": self.epochs, "minutes": min(limits, default=None), "learning_rate": rate}
        return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})


def full_texts(recipe: Recipe, rows: int) -> int:
    """How many texts a full training reads; where no epochs are stated, at most."""
    epochs = recipe.training.epochs
    return rows * max(1, epochs) if epochs is not None else most_steps(rows, recipe.training.batch_rows) * recipe.training.batch_rows


def rungs_of(recipe: Recipe, data: Data, minutes: float | None = None, count: int = 2) -> tuple[Rung, ...]:
    """The short trainings before the full one, the shortest first. minutes: of the whole search; None: no limit."""
    rows, dev = len(data.splits.get("train", ())), len(data.splits.get("dev", ()))
    whole = full_texts(recipe, rows)
    least = min(whole, _LEAST_BATCHES * recipe.training.batch_rows)
    rungs = []
    for index in range(count):
        texts = max(least, whole // _FACTOR ** (count - index))
        used = min(rows, texts)
        judge_rows = min(dev, _JUDGE_ROWS[min(index, len(_JUDGE_ROWS) - 1)])
        limit = None if minutes is None else round(minutes * _TRAINING_SHARE * _FACTOR**index, 4)
        rungs.append(Rung(index, used, max(1, round(texts / max(1, used))), judge_rows, limit))
    return tuple(rung for at, rung in enumerate(rungs) if at == 0 or rung.texts > rungs[at - 1].texts)


@dataclass
class Materials:
    """The material of each rung, with what all trials share computed once. `whole` has all rows."""

    whole: Material
    shared: dict[tuple[int, str | None], Material] = field(default_factory=dict)
    cuts: dict[str, Material] = field(default_factory=dict)

    def at(self, rung: Rung, recipe: Recipe) -> Material:
        """A trial's material: this rung's rows, and the vocabulary that the whole train split needs."""
        key = (rung.index, recipe.vocabulary)
        if key not in self.shared:
            self.shared[key] = replace(self.whole, recipe=recipe, data=_rows_of(rung, self.whole.data, recipe.seed))
        return carried(self.shared[key], recipe, self.with_cut(recipe))

    def with_cut(self, recipe: Recipe) -> dict[str, Any]:
        """Corpus and vocabulary of the whole train split, where the recipe cuts it. EdgepackError: a cut would save almost nothing."""
        if not recipe.cuts_vocabulary or recipe.vocabulary is None:
            return {}
        if recipe.vocabulary not in self.cuts:
            self.cuts[recipe.vocabulary] = replace(self.whole, recipe=recipe)
        whole = self.cuts[recipe.vocabulary]
        return {"corpus": whole.corpus, "vocabulary_cut": whole.vocabulary_cut}


def materials_of(recipe: Recipe) -> Materials:
    """EdgepackError: what is wrong with model or data."""
    return Materials(gather(recipe.model_copy(update={"vocabulary": None})))


def pinned(materials: Materials, recipe: Recipe) -> Materials:
    """With the commits of hub models in the recipe, so that whoever builds a pack again gets the same weights."""
    whole = materials.whole
    pins = {"revision": whole.source.revision or recipe.revision}
    if (base := whole.source.base) is not None and base.revision is not None:
        pins["base"] = f"{base.name}@{base.revision}"
    return replace(materials, whole=replace(whole, recipe=whole.recipe.model_copy(update=pins)))


def carried(shared: Material, recipe: Recipe, more: dict[str, Any]) -> Material:
    """The shared material with another recipe, and with what it has computed already."""
    material = replace(shared, recipe=recipe)
    material.__dict__.update({name: getattr(shared, name) for name in _SHARED} | more)  # as cached_property keeps them
    return material


def _rows_of(rung: Rung, data: Data | None, seed: int) -> Data:
    assert data is not None, "a search is refused without data"
    train, dev = data.splits["train"], data.splits["dev"]
    picked = sorted(random.Random(seed).sample(range(len(train)), len(train))[: rung.rows])
    judges = sorted(random.Random(seed).sample(range(len(dev)), len(dev))[: rung.judge_rows])
    judge_rows = [dev[index] for index in judges]
    splits = {"train": [train[index] for index in picked], "dev": judge_rows[:_GATE_ROWS], "test": judge_rows}
    return replace(data, splits=splits)
