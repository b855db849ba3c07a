"""Runs the trials of a search, one generation after the other, and keeps what came out: which of them are good."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import Bar, say
from edgepack.plan.plan import Plan
from edgepack.plan.shape import ModelShape
from edgepack.plan.steps import Distill
from edgepack.plan.student import likeness
from edgepack.search.candidates import Factors, Maker
from edgepack.search.clock import Clock, Spent
from edgepack.search.drawing import Drawing
from edgepack.search.pareto import ranked
from edgepack.search.pool import Pool
from edgepack.search.rows import WORST_DROP, Asked, Row, record, rows_of_study
from edgepack.search.rungs import Rung
from edgepack.search.study import Study
from edgepack.search.trials import Bench, Outcome
from edgepack.search.wish import SearchWish

_FACTOR = 3
_LONGER_SHARE, _SIBLINGS_SHARE = 0.4, 0.2  # of the time that is left after the short trials
_OVER_BUDGET, _LEAST_DROP = 2.0, 1.0  # times the score's budget, and points: what loses as much as both is worth no pack
_USUAL_DROP = 2.0  # points: trials that lie farther apart are told apart, however few rows have judged them
_MOST_LOSSES = 2  # of a trial in one run of the search: then it is the trial that ends its machines


@dataclass
class Tries:
    """rows: the trials that have ended. longer: the outcomes of the second rung, by trial. losses: how often a trial's machines ended."""

    study: Study
    maker: Maker
    bench: Bench
    pool: Pool
    rungs: tuple[Rung, ...]
    clock: Clock
    wish: SearchWish
    rows: list[Row] = field(default_factory=list)
    longer: dict[int, Outcome] = field(default_factory=dict)
    losses: dict[int, int] = field(default_factory=dict)
    bar: Bar | None = field(default=None)  # that shows which trial runs

    def __post_init__(self) -> None:
        noted = self.study.noted(self._noted_as)
        if noted:
            self.maker = replace(self.maker, factors=Factors.read(noted, "the study"))
        self._read()
        for number, outcome in self.study.noted("longer").items():
            self.longer[int(number)] = Outcome.read(outcome, "the study")
        self._set_clock()

    @property
    def drawing(self) -> Drawing:
        return Drawing(self.study, self.maker, self.wish.sampler)

    def correct(self, factors: Factors) -> None:
        """Takes over what a target has measured: for the costs of all trials, and for the predictions of all later candidates."""
        self.maker = replace(self.maker, factors=factors)
        self.study.note(self._noted_as, factors.as_json())
        self._read()

    @property
    def _noted_as(self) -> str:
        """What one target has measured corrects no predictions for another, nor for another machine that has its name now."""
        target = self.wish.target
        return f"factors of {target.name} at {target.address}" if target else "factors of no target"

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
        return (WORST_DROP, whole.latency_ms, whole.file_mb)

    def generation(self, limit: int, has_time: Callable[[], bool] = lambda: True) -> bool:
        """The next trials, up to `limit` of them all. False: there is no candidate left that the predictions allow.

        has_time: asked after each trial; the others of the generation wait for a run that has time.
        """
        asked = list(self.drawing.of_generation(self.rows, limit - self.count))
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
                spent_s += self.clock.training_s(work) + self.clock.initialization_s + self.clock.rest_s
                if spent_s > free_s * _LONGER_SHARE:
                    break
                rows.append(row)
        tasks = [(self.maker.candidate(row.settings).recipe, self.rungs[1]) for row in rows]
        self._name([row.number for row in rows], 0, "longer trial")
        for done, (index, outcome) in enumerate(self.pool.outcomes(tasks, lambda: self.clock.left_s > reserved_s), 1):
            self._name([row.number for row in rows], done, "longer trial")
            if outcome.lost:  # a search that goes on trains it
                continue
            self.longer[rows[index].number] = outcome
            self.study.note("longer", {str(number): each.as_json() for number, each in self.longer.items()})
            say(f"trial {rows[index].number + 1}, trained longer: {_result(outcome)}, {outcome.seconds:.0f} s")
        self._set_clock()

    def siblings(self, most: int, reserved_s: float = 0.0) -> None:
        """Other files of the best students: they need no training, so they are judged at once. reserved_s: see second_rung."""
        left = most - sum(row.kind == "sibling" for row in self.rows)
        if self.clock.minutes is not None and self.clock.rest_s:
            free_s = max(0.0, self.clock.left_s - reserved_s)
            left = min(left, int(free_s * _SIBLINGS_SHARE / self.clock.rest_s))
        asked = self.drawing.siblings(self.rows, self.best_rows(most, with_siblings=False))
        self._run(list(islice(asked, max(0, left))), lambda: self.clock.left_s > reserved_s)

    def best_rows(self, count: int, by_short: bool = False, with_siblings: bool = True, most_drop: float = WORST_DROP) -> list[Row]:
        """The trials that span the largest hypervolume together. A longer training says more than a short one, unless `by_short`.

        most_drop: points lost at which a model is worth nothing.
        """
        rows = [row for row in self.rows if with_siblings or row.kind != "sibling"]
        good = [row for row in rows if row.outcome.failure is None and row.outcome.score_drop is not None]
        points = [row.values if by_short else (self._drop(row), *row.values[1:]) for row in good]
        return [good[index] for index in ranked(points, (most_drop, *self.reference[1:]), count)]

    def rows_worth_a_pack(self, count: int) -> list[Row]:
        """The surest trial first, then those that span most beside it; without those that lose far too much, unless all do.

        What is fast and small would span most by itself, and a front of such packs might not hold one that keeps the score's budget.
        """
        limit = self.maker.budget.score_drop
        most_drop = WORST_DROP if limit is None else min(WORST_DROP, max(_LEAST_DROP, _OVER_BUDGET * limit))
        rows = self.best_rows(len(self.rows), most_drop=most_drop)
        rows = [row for row in rows if self._drop(row) < most_drop] or rows
        surest = self._surest(rows, min(_USUAL_DROP, _USUAL_DROP if limit is None else limit))
        return [*surest, *(row for row in rows if row not in surest)][:count]

    def _surest(self, rows: Sequence[Row], most: float) -> list[Row]:
        """Of the trials within one standard error of the best one, `most` points at most: the one most like its teacher, if there is any.

        Some hundred rows of the dev split do not tell these apart, and the deeper and wider one is less likely to have been lucky. (The
        rule of one standard error: Breiman et al. 1984, Classification and Regression Trees, 3.4.3.)
        """
        if not rows:
            return []
        best = min(rows, key=self._drop)
        apart = min(most, self._judged(best).standard_error or 0.0)
        near = [row for row in rows if self._drop(row) <= self._drop(best) + apart]
        return sorted(near, key=lambda row: (-self._likeness(row), self._drop(row)))[:1]

    def _likeness(self, row: Row) -> float:
        return likeness(self.maker.candidate(row.settings).plan.student, self.maker.space.teacher)

    def work(self, plan: Plan, texts: float) -> float:
        """Of a training: texts times the weights that multiply. A teacher beside it runs forwards only, a third of a training."""
        steps = [step for step in plan.steps if isinstance(step, Distill)]
        if not steps:
            return 0.0
        runs_beside = any(step.hidden_weight or step.relation_weight for step in steps)
        return texts * (_weights(plan.student) + (_weights(self.maker.space.teacher) / 3 if runs_beside else 0))

    def _judged(self, row: Row) -> Outcome:
        """Of the longer training, where there was one."""
        longer = self.longer.get(row.number)
        return row.outcome if longer is None or longer.score_drop is None else longer

    def _drop(self, row: Row) -> float:
        drop = self._judged(row).score_drop
        return row.values[0] if drop is None else drop

    def _run(self, asked: Sequence[Asked], has_time: Callable[[], bool] = lambda: True) -> None:
        """Where the time is up, nothing more begins; what runs is recorded still. A trial whose machines ended waits for the next call."""
        lost, numbers = {}, [each.number for each in asked]
        self._name(numbers, 0)
        outcomes = self.pool.outcomes([(each.candidate.recipe, self.rungs[0]) for each in asked], has_time)
        for done, (index, outcome) in enumerate(outcomes, 1):
            self._name(numbers, done)
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
            number = asked[index].number
            self.losses[number] = self.losses.get(number, 0) + 1
            if self.losses[number] >= _MOST_LOSSES:
                self._record(asked[index], outcome)
            else:
                again = "when the same command is started again" if asked[index].kind == "sibling" else "with the next trials"
                say(f"trial {number + 1} is not finished: the machines that ran it ended. It runs again {again}")

    def _name(self, numbers: Sequence[int], done: int, kind: str = "short trial") -> None:
        """Says which trial runs, after `done` of these."""
        if self.bar is None or done >= len(numbers):
            return
        workers = min(self.wish.workers, len(numbers) - done)
        self.bar.rename(f"{kind} {numbers[done] + 1}" if workers == 1 else f"{workers} {kind}s at once, the first is {numbers[done] + 1}")

    def _record(self, asked: Asked, outcome: Outcome) -> None:
        wished = self.rungs[0].texts // self.maker.space.base.training.batch_rows
        if outcome.steps * 2 < wished and self.rungs[0].minutes and outcome.training_s > self.rungs[0].minutes * 30 and self.good:
            # What it scores says how busy the machine was: a sampler would learn to avoid such students.
            failure = f"its time ended after {outcome.steps} of {wished} steps, which is too early to judge it"
            outcome = outcome.model_copy(update={"failure": failure, "score": None, "score_drop": None})
        costs = record(self.study, asked, outcome)
        self._read()
        shape = f"{asked.candidate.plan.student.name()} in {asked.candidate.plan.precision}"
        written = "predicted" if outcome.file_mb is None else "written"
        figures = f"{costs['latency_ms']:.1f} ms predicted, {costs['file_mb']:.1f} MB {written}" if outcome.failure is None else ""
        trained = f"{outcome.steps} steps on {outcome.texts} texts" if outcome.steps else "not trained"
        say(f"trial {asked.number + 1}: {shape}, {_result(outcome)}, {trained}, {figures}, {outcome.seconds:.0f} s")

    def _read(self) -> None:
        """The rows of what the study holds."""
        self.rows = rows_of_study(self.study, self.maker.factors)
        self._set_clock()

    def _set_clock(self) -> None:
        """What trainings took. Parts of a shared model are not trained, so only longer trials say how long a training takes.

        A sibling finds its student trained already, and a failed trial ended early: neither says how long one takes.
        """
        trained = [row for row in self.good if row.kind != "sibling"]
        outcomes = [(row, row.outcome, self.rungs[0]) for row in trained]
        outcomes = [(row, self.longer[row.number], self.rungs[-1]) for row in trained if row.number in self.longer] + outcomes
        self.clock.trials = [self._spent(row, outcome, rung) for row, outcome, rung in outcomes if outcome.failure is None]
        self.clock.teacher_s = max((self._whole_teacher_s(outcome, rung) for _, outcome, rung in outcomes), default=0.0)

    def _spent(self, row: Row, outcome: Outcome, rung: Rung) -> Spent:
        """Parts of a shared model are not trained."""
        plan = self.maker.candidate(row.settings).plan
        if self.wish.shared_training and rung.index == 0:
            return Spent(0.0, 0.0, outcome.rest_s or outcome.seconds)
        work = self.work(plan, outcome.steps * self.maker.space.base.training.batch_rows)
        return Spent(work, outcome.training_s, outcome.rest_s or outcome.seconds, outcome.initialization_s)

    def _whole_teacher_s(self, outcome: Outcome, rung: Rung) -> float:
        """What asking the teacher about all rows takes, by what it took for the rung's."""
        whole = self.bench.materials.whole
        return outcome.teacher_s * (len(whole.rows("train")) + len(whole.rows("test"))) / max(1, rung.rows + rung.judge_rows)


def _weights(shape: ModelShape) -> int:
    return sum(shape.linear_weights(layer) for layer in shape.layers)


def _result(outcome: Outcome) -> str:
    return f"{outcome.score_drop:+.2f} points lost" if outcome.score_drop is not None else outcome.failure or "no score on this data"
