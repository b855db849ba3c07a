"""Which candidates are tried next: first points, what the sampler draws, even draws as a baseline, and other files of good students."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgepack.core.errors import EdgepackError
from edgepack.plan.budget_words import exceeded_in_words
from edgepack.plan.recipe import Recipe
from edgepack.plan.setting import setting_fields
from edgepack.search.candidates import Candidate, Factors, Maker
from edgepack.search.front import Kind
from edgepack.search.rows import Asked, Row
from edgepack.search.study import SamplerName, Study

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

_RANDOM_EVERY = 4  # each fourth trial is drawn evenly: the baseline that the search has to beat
_SIBLINGS = ("precision", "embedding_bits", "bits", "codec", "sensitive", "activations", "prepack")  # other files of the same student
_MORE_FILES = (("embedding_bits", 4), ("codec", "deflate"), ("codec", "zstd"))  # of the same student, without a training
_SLOWER_FILE = ("bits", 5.0)  # rounding to a coarse grid takes longer than all else that makes a file


@dataclass
class Drawing:
    """What draws candidates of one search. Corrections of a target decide which of them are allowed, and change no trial's number."""

    study: Study
    maker: Maker
    sampler: SamplerName

    def of_generation(self, rows: Sequence[Row], left: int) -> Iterator[Asked]:
        """Those trials of the next generation that have not ended yet, `left` at most.

        EdgepackError: the predictions allow no candidate at all.
        """
        next_number, size = self.study.next_number(), self.study.generation
        first = self.study.first_of_generation(next_number)
        ended = {row.number: row for row in rows}
        known = self.signatures([row for row in rows if row.number < first])
        points = self._first_points()
        refused: dict[str, float] = {}
        for number in range(first, first + size):
            if number in ended:
                known.add(self.maker.candidate(ended[number].settings).signature)
                continue
            if not left:
                return
            left -= 1
            asked = self._point(number, points, known) or self._by_sampler(number, known, refused)
            if asked is None:
                if not known:
                    raise self._nothing_allowed(refused)
                return
            known.add(asked.candidate.signature)
            yield asked

    def siblings(self, rows: Sequence[Row], best: Sequence[Row]) -> Iterator[Asked]:
        """Other files of the best students. rows: all trials that have ended."""
        number = max((row.number for row in rows), default=-1) + 1
        known = self.signatures(rows)
        for row in best:
            for settings in self._other_files(row):
                candidate = self.allowed(settings)
                if candidate is not None and candidate.signature not in known:
                    known.add(candidate.signature)
                    yield Asked(number, "sibling", row.name, self.fixed(settings), candidate, 0)
                    number += 1

    def more_files(self, settings: dict[str, Any]) -> Iterator[Candidate]:
        """Other files of a student, beyond the space: narrower embeddings, coded weights, other precisions.

        What the user has fixed or narrowed stays.
        """
        space = self.maker.space
        precisions = next(field.choices for field in setting_fields(Recipe) if field.path == ("precision",))
        files = [*_MORE_FILES, *(("precision", each) for each in precisions), _SLOWER_FILE]
        free = [{key: value} for key, value in files if getattr(space.base, key) is None and key not in space.wished]
        pairs = [first | second for at, first in enumerate(free) for second in free[at + 1 :] if len(first | second) == 2]
        for changes in sorted([*free, *pairs], key=lambda each: _SLOWER_FILE[0] in each):
            candidate = self.allowed(settings | changes)
            if candidate is not None:
                yield candidate

    def signatures(self, rows: Sequence[Row]) -> set[str]:
        return {self.maker.candidate(row.settings).signature for row in rows}

    def allowed(self, settings: dict[str, Any]) -> Candidate | None:
        """The candidate, where its settings go together and its predictions meet the budgets."""
        candidate = self._candidate(settings)
        return candidate if candidate is not None and candidate.is_allowed else None

    def fixed(self, settings: dict[str, Any]) -> "BaseTrial":
        """As if optuna had drawn these values."""
        from optuna.trial import FixedTrial

        dimensions = {dimension.key: dimension for dimension in self.maker.space.dimensions}
        trial = FixedTrial({key: dimensions[key].param(value) for key, value in settings.items()})
        self.maker.space.suggested(trial)
        return trial

    def _point(self, number: int, points: Sequence[tuple[str, Candidate]], known: set[str]) -> Asked | None:
        """The first point of this number; None where there is none, or where it is known or refused by now."""
        if number >= len(points):
            return None
        name, candidate = points[number]
        if candidate.signature in known or self.allowed(candidate.settings) is None:
            return None
        return Asked(number, "first", name, self.fixed(candidate.settings), candidate, 0)

    def _by_sampler(self, number: int, known: set[str], refused: dict[str, float]) -> Asked | None:
        is_random = number % _RANDOM_EVERY == _RANDOM_EVERY - 1 or self.sampler == "random"
        kind: Kind = "random" if is_random else "sampler"
        ruled_out = 0
        for trial in self.study.ask(number, self.maker.space.suggested, "random" if is_random else None):
            candidate = self._candidate(self.maker.space.suggested(trial))
            if candidate is not None and candidate.is_allowed and candidate.signature not in known:
                return Asked(number, kind, "", trial, candidate, ruled_out)
            if candidate is None or not candidate.is_allowed:
                ruled_out += 1
            if candidate is not None and (not refused or max(candidate.over.values(), default=1.0) < max(refused.values())):
                refused.clear()
                refused.update(candidate.over)
        return None

    def _first_points(self) -> list[tuple[str, Candidate]]:
        """Those that the predictions allow without corrections, each once: their numbers stay what they were."""
        plain = replace(self, maker=replace(self.maker, factors=Factors()))
        points: list[tuple[str, Candidate]] = []
        for name, settings in self.maker.first_points():
            candidate = plain.allowed(settings)
            if candidate is not None and candidate.signature not in {each.signature for _, each in points}:
                points.append((name, candidate))
        return points

    def _candidate(self, settings: dict[str, Any]) -> Candidate | None:
        try:
            return self.maker.candidate(settings)
        except EdgepackError:  # settings that do not go together
            return None

    def _other_files(self, row: Row) -> Iterator[dict[str, Any]]:
        for dimension in self.maker.space.dimensions:
            if dimension.key in _SIBLINGS and dimension.key in row.settings:
                for value in dimension.values:
                    if value != row.settings[dimension.key]:
                        yield self.maker.space.snapped(row.settings | {dimension.key: value})

    def _nothing_allowed(self, refused: dict[str, float]) -> EdgepackError:
        budget = self.maker.budget.model_dump()
        over = " and ".join(exceeded_in_words(name, share * budget[name], budget[name]) for name, share in refused.items())
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in refused)
        return EdgepackError(
            f"no candidate of the space is predicted to meet the budgets of {self.maker.profile.name}: "
            f"the nearest one exceeds {over or 'them'}",
            f"raise {flags or 'the budgets'}, or widen the space with --space",
        )
