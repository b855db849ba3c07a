"""Where trials run: in this process, in several processes of this machine, or on the machines of a Ray cluster.

A trial gives an Outcome and leaves its stages in the cache, whose locks keep two workers from doing the same stage. A worker that dies
costs its trial only: the others' trials are run again, from the stages that they have finished.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

from edgepack.core.progress import bar
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.search.placement import needs_of
from edgepack.search.rungs import Rung, materials_of
from edgepack.search.trials import Bench, Outcome

Task = tuple[Recipe, Rung]
_DIED = "the process that ran this trial ended without a word, as one does that the system kills for its memory"


GoesOn = Callable[[], bool]


def always() -> bool:
    """A search without a limit of time goes on."""
    return True


class Pool(AbstractContextManager["Pool"], Protocol):
    """Runs trials. outcomes: as they end, each with the index of its task.

    goes_on: asked after each outcome; once it says no, no task begins any more, and those that run are still waited for.
    """

    def outcomes(self, tasks: Sequence[Task], goes_on: GoesOn = always) -> Iterator[tuple[int, Outcome]]: ...


class Judge(Protocol):
    """What gives a trial's outcome."""

    def outcome(self, recipe: Recipe, rung: Rung) -> Outcome: ...


@dataclass
class Here:
    """One trial after the other, in this process."""

    bench: Judge

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def outcomes(self, tasks: Sequence[Task], goes_on: GoesOn = always) -> Iterator[tuple[int, Outcome]]:
        for index, (recipe, rung) in enumerate(tasks):
            yield index, self.bench.outcome(recipe, rung)
            if not goes_on():
                return


@dataclass
class Processes:
    """`workers` processes of this machine, each with model and data of its own."""

    recipe: Recipe
    profile: Profile
    cache: Path
    workers: int
    executor: ProcessPoolExecutor | None = field(default=None, init=False)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def outcomes(self, tasks: Sequence[Task], goes_on: GoesOn = always) -> Iterator[tuple[int, Outcome]]:
        """Where a worker dies, all trials that ran are run again once, one at a time: the one that kills its worker is then known."""
        left = dict(enumerate(tasks))
        try:
            for index, outcome in self._at_once(dict(left), goes_on):
                del left[index]
                yield index, outcome
            return
        except BrokenProcessPool:
            self._stop()
        for index, task in left.items():
            if not goes_on():
                return
            try:
                ((_, outcome),) = self._at_once({index: task}, always)
            except BrokenProcessPool:
                self._stop()
                outcome = Outcome(seconds=0.0, failure=_DIED)
            yield index, outcome

    def _at_once(self, tasks: dict[int, Task], goes_on: GoesOn) -> Iterator[tuple[int, Outcome]]:
        if self.executor is None:
            self.executor = ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(self.recipe, self.profile, self.cache)
            )
        waiting: dict[Future[Outcome], int] = {self.executor.submit(_run, *task): index for index, task in tasks.items()}
        try:
            for future in as_completed(waiting):
                if future.cancelled():
                    continue
                yield waiting[future], future.result()
                if not goes_on():
                    _cancel(waiting)
        finally:  # whoever asks for no more outcomes leaves nothing that would begin later
            _cancel(waiting)

    def _stop(self) -> None:
        """Ends the workers now: what they have begun goes on where it was, when it is asked for again."""
        if self.executor is not None:
            for process in list((self.executor._processes or {}).values()):
                process.terminate()
            self.executor.shutdown(wait=True, cancel_futures=True)
            self.executor = None


def _cancel(futures: Iterable[Future[Outcome]]) -> None:
    """Those that have not begun."""
    for future in futures:
        future.cancel()


def pool_of(recipe: Recipe, judge: Judge, bench: Bench, workers: int, cluster: str | None) -> Pool:
    """judge: of trials in this process. cluster: the address of a Ray cluster; None: several workers are processes of this machine."""
    if cluster is not None:
        from edgepack.search.cluster import Cluster

        whole = bench.materials.whole
        needs = needs_of(whole.source.shape(whole.task.name), recipe.training.batch_rows)
        return Cluster(recipe, bench.profile, bench.cache, workers, cluster, needs)
    return Here(judge) if workers == 1 else Processes(recipe, bench.profile, bench.cache, workers)


_bench: Bench | None = None  # of a worker


def _begin(recipe: Recipe, profile: Profile, cache: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the first process ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _bench  # noqa: PLW0603  what a worker loads once
    _bench = Bench(materials_of(recipe), profile, cache)


def _end_with_parent() -> None:
    """A search that is killed cannot end its workers, and nobody would receive what they do."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(recipe: Recipe, rung: Rung) -> Outcome:
    assert _bench is not None, "the worker has begun"
    kind = "short trial" if rung.index == 0 else "longer trial"
    # On a terminal the first process has its bar; in a log each worker says how far it is.
    with nullcontext() if sys.stderr.isatty() else bar(f"{kind}, student {recipe.student or 'same'}", 1):
        return _bench.outcome(recipe, rung)
