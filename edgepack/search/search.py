"""search(): the whole way from a recipe and a profile to a front of packs and its page."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgepack.core.cache import cache_folder
from edgepack.core.errors import EdgepackError, border_of_rust
from edgepack.core.files import check_disk, disk_full_is_said
from edgepack.core.locks import only_one
from edgepack.core.progress import bar, say
from edgepack.core.showing import message_without_folders
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.search.candidates import Maker
from edgepack.search.clock import Clock
from edgepack.search.finals import Builder, Final, check_answers, point_of, without_dominated
from edgepack.search.front import Front
from edgepack.search.lengths import FEWEST_PACKS, PACKS_SHARE, Lengths
from edgepack.search.packs import built_packs
from edgepack.search.pareto import front_of
from edgepack.search.place import check_front_place, write_front, write_pick
from edgepack.search.pool import pool_of
from edgepack.search.rungs import materials_of, pinned, rungs_of
from edgepack.search.shared import SharedBench, check_shared, one_width
from edgepack.search.space import space_of
from edgepack.search.space_file import read_space
from edgepack.search.story import story
from edgepack.search.study import check_optuna, open_study, quiet_optuna
from edgepack.search.study_key import study_key
from edgepack.search.trials import Bench
from edgepack.search.tries import Tries
from edgepack.search.wish import SearchWish

_NO_LIMIT = 1_000_000  # trials


@border_of_rust()
def search(
    recipe: Recipe,
    profile: Profile,
    out: Path,
    wish: SearchWish,
    cache: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Front:
    """A front of packs in `out`, with a page. `tell` is called with what is kept, for whoever stops the search.

    A search that was stopped goes on where it was, whenever it is started again with the same recipe, profile, data, space and seed.
    EdgepackError, before any work: no data, an empty space, budgets that no candidate meets, an `out` that holds something else.
    """
    check_optuna()
    wish, cache, clock = wish.checked(), cache or cache_folder(), Clock(wish.minutes)
    check_format(recipe)
    if not recipe.data:
        raise EdgepackError("a search needs data: its trials are trained and judged", "give --data, a file or folder with a train split")
    narrowed = read_space(wish.space)
    with only_one(out, "the output"):
        materials = pinned(materials_of(recipe), recipe)
        recipe = recipe.model_copy(update={"revision": materials.whole.recipe.revision, "base": materials.whole.recipe.base})
        if not materials.whole.rows("train") or not materials.whole.rows("dev"):
            raise EdgepackError(f"no train split in {recipe.data!r}: a search trains", "give data with a train split")
        teacher = materials.whole.source.shape(materials.whole.task.name)
        space = space_of(recipe, profile, teacher, narrowed)
        if wish.shared_training:
            check_shared(materials, wish.workers, wish.ray, narrowed)
            space = one_width(space)
        maker = Maker(space, profile, materials).usable(bool(narrowed.get("vocabulary")))
        key = study_key(maker, wish)
        check_front_place(out, key)
        check_disk(cache, 200, "the search's results")
        if wish.target:
            check_answers(wish.target)
        place = cache / "searches" / key
        with only_one(place, "the study", "wait for it, or search with another --seed"), quiet_optuna(), disk_full_is_said():
            study = open_study(place / "study.sqlite3", 3, wish.sampler, recipe.seed, wish.generation)
            rungs = rungs_of(recipe, materials.whole.data, wish.minutes)
            bench = Bench(materials, profile, cache)
            judge = SharedBench(bench) if wish.shared_training else bench
            with pool_of(recipe, judge, bench, wish.workers, wish.ray) as pool:
                return _Run(out, place, key, Tries(study, maker, bench, pool, rungs, clock, wish), tell).front()


def check_format(recipe: Recipe) -> None:
    """EdgepackError where the recipe asks for more than one format."""
    if recipe.format in ("auto", "both"):
        raise EdgepackError(
            f"--format {recipe.format} makes packs in two formats, and each pack of a search has one",
            "give --format onnx or tflite, or leave the flag out and let the file of --space vary it",
        )


@dataclass
class _Run:
    """One run of a search."""

    out: Path
    place: Path
    key: str
    tries: Tries
    tell: Callable[[str], None]
    notes: list[str] = field(default_factory=list)

    def front(self) -> Front:
        tries = self.tries
        self._tell()
        if not tries.rows:
            say("the first trial takes longest: it also asks the teacher for its answers, which all others share")
        self._short_trials()
        say(f"{len(tries.rows)} short trials, {self._front_size()} on their front, {tries.ruled_out} candidates ruled out by prediction")
        self._refuse_without_scores()
        with bar("longer trials", 1, tries.clock.left) as tries.bar:
            tries.second_rung(self._reserved_s())
            tries.siblings(tries.wish.packs, self._reserved_s())
        return self._written()

    def _short_trials(self) -> None:
        """Generations until trials or time are used up. The bar counts trials, or seconds where only the time is limited."""
        tries, limit = self.tries, self.tries.wish.trials or _NO_LIMIT

        def position() -> float:
            return float(tries.count) if tries.wish.trials else tries.clock.spent_s

        total, at = tries.wish.trials or tries.clock.short_s, 0.0
        with bar("search", total, tries.clock.left) as tries.bar:
            while tries.count < limit and (not tries.count or self._has_time()):
                tries.bar.advance(position() - at)
                at = position()
                if not tries.generation(limit, self._has_time):
                    self.notes.append("Every candidate of the space that the predictions allow was tried.")
                    break
                self._tell()

    def _refuse_without_scores(self) -> None:
        if self.tries.best_rows(1):
            return
        failure = next((row.outcome.failure for row in self.tries.rows if row.outcome.failure), None)
        if failure is None:
            raise EdgepackError(
                "no trial has a score: the rows of the dev split have no labels", "give --data with labels in its dev split"
            )
        raise EdgepackError(f"no trial could be judged; the first one said: {failure}", "correct that, or narrow the space with --space")

    def _has_time(self) -> bool:
        """Whether another trial can run beside the packs that come after it."""
        return self.tries.clock.goes_on(1, self._reserved_s())

    def _tell(self) -> None:
        count = f"{len(self.tries.rows)} finished trials are kept in {self.place}"
        self.tell(f"{count}: start the same command again and the search goes on from there.")

    def _front_size(self) -> int:
        return len(front_of([row.values for row in self.tries.good]))

    def _reserved_s(self) -> float:
        """Seconds that the packs need with one of the shortest full trainings."""
        best = [
            Final(0, row.number, row.name, self.tries.maker.candidate(row.settings)) for row in self.tries.rows_worth_a_pack(FEWEST_PACKS)
        ]
        lengths = Lengths(self.tries)
        return lengths.needed_s(best, lengths.short()) / PACKS_SHARE

    def _finals(self, lengths: Lengths) -> list[Final]:
        """The best candidates with the longest training that the time allows, and other files of them where they are too few."""
        tries = self.tries
        best = [(row, tries.maker.candidate(row.settings)) for row in tries.rows_worth_a_pack(tries.wish.packs)]
        finals = lengths.selection([Final(number, row.number, row.name, candidate) for number, (row, candidate) in enumerate(best, 1)])
        steps = finals[0].candidate.recipe.training.training_steps
        if steps != tries.maker.space.base.training.training_steps:
            say(f"the time is short: the packs are trained for {steps} steps at most")
        return finals

    def _written(self) -> Front:
        tries, lengths = self.tries, Lengths(self.tries)
        finals = self._finals(lengths)
        builder = Builder(
            self.place / "packs",
            tries.bench.cache,
            tries.bench.profile,
            self.out,
            tries.wish.effort,
            tries.wish.target,
            tries.wish.profile_file,
        )
        packs = built_packs(tries, builder, finals, lengths)
        built = [(replace(final, number=number), manifest, report) for number, (final, manifest, report) in enumerate(packs, 1)]
        self.notes += _about_time(tries, len(finals), [final for final, *_ in built])
        factors = tries.maker.factors
        points = [point_of(final, manifest, report, factors, builder.command(final.number)) for final, manifest, report in built]
        if builder.silent:
            self.notes.append(message_without_folders(builder.silent, builder.target.files if builder.target else ()))
        full = {point.trial: point.score_drop for point in reversed(points) if point.score_drop is not None}
        front = story(tries, self.key, without_dominated(points), self.notes, full)
        folders = {final.number: builder.pack_folder(final) for final, _, _ in built}
        write_front(self.out, front, {final.number: final for final, _, _ in built}, folders)
        return write_pick(self.out, front, tries.wish.pick) if tries.wish.pick else front


def _about_time(tries: Tries, wished: int, built: Sequence[Final]) -> Iterator[str]:
    """What the page says of packs that had little time."""
    shortened = {final.candidate.recipe.training.training_steps for final in built} - {tries.maker.space.base.training.training_steps}
    if shortened:
        most = max(steps for steps in shortened if steps is not None)
        yield f"The time was short, so packs were trained for {most} steps at most: with more minutes they are better."
    if len(built) < wished:
        yield f"{len(built)} of {wished} packs were built: the time, or an error that the search has printed, left the others out."
