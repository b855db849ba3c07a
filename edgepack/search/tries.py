"""The trials of a search, one generation after the other: which candidates are tried, and which of them are good."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.plan.plan import Plan
from edgepack.search.candidates import Candidate, Maker
from edgepack.search.clock import Clock
from edgepack.search.front import Kind
from edgepack.search.pareto import ranked
from edgepack.search.pool import Pool
from edgepack.search.rungs import Rung
from edgepack.search.study import Study
from edgepack.search.trials import Bench, Outcome
from edgepack.search.wish import SearchWish

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

_RANDOM_EVERY = 4  # each fourth trial is drawn evenly: the baseline that the search has to beat
_WORST_DROP = 25.0  # points lost at which a model is worth nothing, for the hypervolume
_FACTOR = 3
_LONGER_SHARE, _SIBLINGS_SHARE = 0.4, 0.2  # of the time that is left after the short trials
_SIBLINGS = ("precision", "embedding_bits", "bits", "codec", "sensitive", "activations", "prepack")  # other files of the same student


@dataclass(frozen=True)
class Row:
    """A finished trial with what the study holds of it."""

    number: int
    kind: Kind
    name: str
    settings: dict[str, Any]
    outcome: Outcome
    costs: dict[str, float]
    values: tuple[float, ...]
    ruled_out: int


@dataclass(frozen=True)
class _Asked:
    number: int
    kind: Kind
    name: str
    trial: "BaseTrial"
    candidate: Candidate
    ruled_out: int


@dataclass
class Tries:
    """rows: the trials that have ended. longer: the outcomes of the second rung, by trial."""

    study: Study
    maker: Maker
    bench: Bench
    pool: Pool
    rungs: tuple[Rung, ...]
    clock: Clock
    wish: SearchWish
    rows: list[Row] = field(default_factory=list)
    longer: dict[int, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read()
        for number, outcome in self.study.noted("longer").items():
            self.longer[int(number)] = Outcome.read(outcome, "the study")
        self._set_clock()

    @property
    def count(self) -> int:
        """Trials that count as such: siblings are other files of students that are there already."""
        return sum(row.kind != "sibling" for row in self.rows)

    @property
    def good(self) -> list[Row]:
        return [row for row in self.rows if row.outcome.failure is None]

    @property
    def ruled_out(self) -> int:
        return sum(row.ruled_out for row in self.rows)

    @property
    def reference(self) -> tuple[float, ...]:
        """The worst that counts: a model worth nothing, as slow and as large as the teacher in fp32."""
        whole = self.maker.teacher_prediction()
        return (_WORST_DROP, whole.latency_ms, whole.file_mb)

    def generation(self, limit: int, has_time: Callable[[], bool] = lambda: True) -> bool:
        """The next trials, up to `limit` of them all. False: there is no candidate left that the predictions allow.

        has_time: asked after each trial; the others of the generation wait for a run that has time.
        """
        asked = list(self._asked(limit))
        self._run(asked, has_time)
        return bool(asked)

    def second_rung(self, reserved_s: float = 0.0) -> None:
        """The best third trains three times as long, where there is time and such a rung. reserved_s: what the packs need after it."""
        if len(self.rungs) < 2:
            return
        rows, spent_s, free_s = [], 0.0, max(0.0, self.clock.left_s - reserved_s)
        for row in self.best_rows(max(2, self.count // _FACTOR), by_short=True):
            if row.number not in self.longer:
                work = self.work(self.maker.candidate(row.settings).plan, self.rungs[1].texts)
                spent_s += self.clock.training_s(work) + self.clock.overhead_s
                if spent_s > free_s * _LONGER_SHARE:
                    break
                rows.append(row)
        tasks = [(self.maker.candidate(row.settings).recipe, self.rungs[1]) for row in rows]
        for index, outcome in self.pool.outcomes(tasks):
            self.longer[rows[index].number] = outcome
            self.study.note("longer", {str(number): each.as_json() for number, each in self.longer.items()})
        self._set_clock()

    def siblings(self, most: int, reserved_s: float = 0.0) -> None:
        """Other files of the best students: they need no training, so they are judged at once. reserved_s: see second_rung."""
        number = max((row.number for row in self.rows), default=-1) + 1
        known, asked = self._signatures(), []
        left = most - sum(row.kind == "sibling" for row in self.rows)
        if self.clock.minutes is not None and self.clock.overhead_s:
            free_s = max(0.0, self.clock.left_s - reserved_s)
            left = min(left, int(free_s * _SIBLINGS_SHARE / self.clock.overhead_s))
        for row in self.best_rows(most, with_siblings=False):
            for settings in self._other_files(row):
                candidate = self._allowed(settings)
                if candidate is not None and candidate.signature not in known:
                    known.add(candidate.signature)
                    asked.append(_Asked(number + len(asked), "sibling", row.name, self._fixed(settings), candidate, 0))
        self._run(asked[: max(0, left)])

    def best_rows(self, count: int, by_short: bool = False, with_siblings: bool = True) -> list[Row]:
        """The trials that span the largest hypervolume together. A longer training says more than a short one, unless `by_short`."""
        rows = [row for row in self.rows if with_siblings or row.kind != "sibling"]
        good = [row for row in rows if row.outcome.failure is None and row.outcome.score_drop is not None]
        points = [row.values if by_short else (self._drop(row), *row.values[1:]) for row in good]
        return [good[index] for index in ranked(points, self.reference, count)]

    def best(self, count: int) -> list[Candidate]:
        return [self.maker.candidate(row.settings) for row in self.best_rows(count)]

    def work(self, plan: Plan, texts: float) -> float:
        """Of a training: texts times the weights that multiply."""
        if not any(step.verb == "distill" for step in plan.steps):
            return 0.0
        return texts * sum(plan.student.linear_weights(layer) for layer in plan.student.layers)

    def _drop(self, row: Row) -> float:
        longer = self.longer.get(row.number)
        if longer is not None and longer.score_drop is not None:
            return longer.score_drop
        return row.values[0]

    def _asked(self, limit: int) -> Iterator[_Asked]:
        """Those trials of the next generation that have not ended yet."""
        number, size = self.study.next_number(), self.study.generation
        first = self.study.first_of_generation(number)
        ended = {row.number: row for row in self.rows}
        known = self._signatures(before=first)
        points = self._first_points()
        refused: dict[str, float] = {}
        left = limit - self.count
        for number in range(first, first + size):
            if number in ended:
                known.add(self.maker.candidate(ended[number].settings).signature)
                continue
            if not left:
                return
            left -= 1
            if number < len(points):
                name, candidate = points[number]
                asked: _Asked | None = _Asked(number, "first", name, self._fixed(candidate.settings), candidate, 0)
            else:
                is_random = number % _RANDOM_EVERY == _RANDOM_EVERY - 1 or self.wish.sampler == "random"
                asked = self._drawn(number, "random" if is_random else "sampler", known, refused)
            if asked is None:
                if not known:
                    raise self._nothing_allowed(refused)
                return
            known.add(asked.candidate.signature)
            yield asked

    def _drawn(self, number: int, kind: Kind, known: set[str], refused: dict[str, float]) -> _Asked | None:
        ruled_out = 0
        for trial in self.study.ask(number, self.maker.space.suggested, "random" if kind == "random" else None):
            candidate = self._candidate(self.maker.space.suggested(trial))
            if candidate is not None and candidate.is_allowed and candidate.signature not in known:
                return _Asked(number, kind, "", trial, candidate, ruled_out)
            if candidate is None or not candidate.is_allowed:
                ruled_out += 1
            if candidate is not None and (not refused or max(candidate.over.values(), default=1.0) < max(refused.values())):
                refused.clear()
                refused.update(candidate.over)
        return None

    def _nothing_allowed(self, refused: dict[str, float]) -> EdgepackError:
        budget = self.maker.budget.model_dump()
        over = " and ".join(
            f"{name} {share * budget[name]:.4g} (budget {budget[name]:g}, {share - 1:.0%} over it)" for name, share in refused.items()
        )
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in refused)
        return EdgepackError(
            f"no candidate of the space is predicted to meet the budgets of {self.bench.profile.name}: "
            f"the nearest one needs {over or 'more'}",
            f"raise {flags or 'the budgets'}, or widen the space with --space",
        )

    def _first_points(self) -> list[tuple[str, Candidate]]:
        """Those that the predictions allow, each once."""
        points: list[tuple[str, Candidate]] = []
        for name, settings in self.maker.first_points():
            candidate = self._allowed(settings)
            if candidate is not None and candidate.signature not in {each.signature for _, each in points}:
                points.append((name, candidate))
        return points

    def _allowed(self, settings: dict[str, Any]) -> Candidate | None:
        candidate = self._candidate(settings)
        return candidate if candidate is not None and candidate.is_allowed else None

    def _candidate(self, settings: dict[str, Any]) -> Candidate | None:
        try:
            return self.maker.candidate(settings)
        except EdgepackError:  # settings that do not go together
            return None

    def _fixed(self, settings: dict[str, Any]) -> "BaseTrial":
        """As if optuna had drawn these values."""
        from optuna.trial import FixedTrial

        dimensions = {dimension.key: dimension for dimension in self.maker.space.dimensions}
        trial = FixedTrial({key: dimensions[key].param(value) for key, value in settings.items()})
        self.maker.space.suggested(trial)
        return trial

    def _signatures(self, before: int | None = None) -> set[str]:
        """Of the trials that have ended; of those with a number before this one."""
        return {self.maker.candidate(row.settings).signature for row in self.rows if before is None or row.number < before}

    def _other_files(self, row: Row) -> Iterator[dict[str, Any]]:
        for dimension in self.maker.space.dimensions:
            if dimension.key in _SIBLINGS and dimension.key in row.settings:
                for value in dimension.values:
                    if value != row.settings[dimension.key]:
                        yield self.maker.space.snapped(row.settings | {dimension.key: value})

    def _run(self, asked: Sequence[_Asked], has_time: Callable[[], bool] = lambda: True) -> None:
        """Where the time is up, nothing more begins; what runs is recorded still."""
        lost = {}
        for index, outcome in self.pool.outcomes([(each.candidate.recipe, self.rungs[0]) for each in asked], has_time):
            if outcome.lost:
                lost[index] = outcome
            else:
                self._record(asked[index], outcome)
        if len(lost) == len(asked) > 1:
            raise EdgepackError(
                f"a generation of {len(asked)} trials lost all its machines, so none of it is recorded",
                "look after the machines, and start the same command again: it goes on from there",
            )
        for index, outcome in lost.items():
            self._record(asked[index], outcome)

    def _record(self, asked: _Asked, outcome: Outcome) -> None:
        costs = {name: getattr(asked.candidate.prediction, name) for name in ("latency_ms", "file_mb", "ram_mb", "load_ms")}
        if outcome.file_mb is not None:
            costs["file_mb"] = outcome.file_mb
        failed = outcome.failure is not None or outcome.score_drop is None
        values = None if failed else (outcome.score_drop, costs["latency_ms"], costs["file_mb"])
        notes = {
            "kind": asked.kind,
            "name": asked.name,
            "settings": asked.candidate.settings,
            "outcome": outcome.as_json(),
            "costs": costs,
            "ruled_out": asked.ruled_out,
        }
        self.study.record(asked.number, asked.trial, values, notes)
        self._read()
        lost = f"{outcome.score_drop:+.2f} points lost" if outcome.score_drop is not None else outcome.failure or "no score on this data"
        shape = f"{asked.candidate.plan.student.name()} in {asked.candidate.plan.precision}"
        written = "predicted" if outcome.file_mb is None else "written"
        figures = f"{costs['latency_ms']:.1f} ms predicted, {costs['file_mb']:.1f} MB {written}" if outcome.failure is None else ""
        say(f"trial {asked.number + 1}: {shape}, {lost}, {figures}, {outcome.seconds:.0f} s")

    def _read(self) -> None:
        """The rows of what the study holds."""
        self.rows = []
        for trial in self.study.finished():
            notes = trial.notes
            outcome = Outcome.read(notes["outcome"], "the study")
            values = trial.values or (_WORST_DROP, notes["costs"]["latency_ms"], notes["costs"]["file_mb"])
            row = Row(
                trial.number, notes["kind"], notes["name"], notes["settings"], outcome, notes["costs"], tuple(values), notes["ruled_out"]
            )
            self.rows.append(row)
        self._set_clock()

    def _set_clock(self) -> None:
        """What trainings took. Parts of a shared model are not trained, so only longer trials say how long a training takes.

        A sibling finds its student trained already, and a failed trial ended early: neither says how long one takes.
        """
        trained = [row for row in self.good if row.kind != "sibling"]
        plans = {row.number: self.maker.candidate(row.settings).plan for row in trained}
        texts = 0 if self.wish.shared_training else self.rungs[0].texts
        self.clock.short = [(self.work(plans[row.number], texts), row.outcome.seconds) for row in trained]
        longer = [(number, outcome) for number, outcome in self.longer.items() if number in plans and len(self.rungs) > 1]
        self.clock.short = [(self.work(plans[number], self.rungs[1].texts), each.seconds) for number, each in longer] + self.clock.short
