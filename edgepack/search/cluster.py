"""Trials on the machines of a Ray cluster: each worker is an actor with cores of its own, which loads model and data once.

The machines must see the same model, data and cache folder, as on a shared file system: an outcome travels, a stage's files do not. Where
they do not share the cache, the packs of the front are trained again on the machine that asked.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.pipeline.keys import kernel_environment, take_kernel_environment
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.search.cluster_nodes import ANSWER_S, card_mb_of, check_versions, gpus_left
from edgepack.search.placement import CORES, Needs, Place, places_of, trains
from edgepack.search.pool import GoesOn, Task, always
from edgepack.search.rungs import materials_of
from edgepack.search.trials import Bench, Outcome

_ATTEMPTS = 2  # of a trial: the second where its machine ended
_CONNECT_S = 10.0


class Worker:
    """Lives on a machine of the cluster."""

    def __init__(self, recipe: Recipe, profile: Profile, cache: str, environment: dict[str, str], hides_gpus: bool) -> None:
        """hides_gpus: this worker has no part of a GPU, and its machine may have some, which others work on."""
        take_kernel_environment(environment)  # before torch is loaded: Ray sets OMP_NUM_THREADS where nobody has
        if hides_gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self.bench = Bench(materials_of(recipe), profile, Path(cache))

    def ready(self) -> None:
        """Answers once the worker has loaded what it needs."""

    def outcome(self, recipe: Recipe, rung: Any) -> Outcome:
        return self.bench.outcome(recipe, rung)


@dataclass
class Cluster:
    """`workers` actors. needs: of one of them. address: of the cluster, or `auto` for the one that this machine belongs to."""

    recipe: Recipe
    profile: Profile
    cache: Path
    workers: int
    address: str
    needs: Needs
    idle: list["_Seat"] = field(default_factory=list, init=False)
    has_gpus: bool = field(default=False, init=False)

    def __enter__(self) -> "Cluster":
        ray = _ray()
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a worker without a GPU leaves the variables as they are
        try:
            if not ray.is_initialized():
                _check_address(self.address)
                ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            raise EdgepackError(
                f"no Ray cluster answers at {self.address!r}: {str(error).splitlines()[0]}",
                "start one with `ray start --head`, or leave --ray out and use --workers alone",
            ) from None
        try:
            check_versions(ray)
            self._begin(ray)
        except BaseException:
            ray.shutdown()
            raise
        return self

    def _begin(self, ray: Any) -> None:
        """Workers that have loaded model and data; one whose machine is lost meanwhile, or that does not answer, holds no seat.

        EdgepackError: one of them cannot begin, so every trial would fail, or none is left.
        """
        places = places_of(ray.nodes(), self.needs, self.workers, card_mb_of(ray))
        if len(places) < self.workers:
            say(f"the Ray cluster has room for {len(places)} workers, not for {self.workers}")
        self.has_gpus = any(place.gpus for place in places)
        asked = {(seat := self._seat(place)).worker.ready.remote(): seat for place in places}
        ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
        self.idle = [asked[answer] for answer in ready if _has_begun(ray, answer)]
        for answer in late:  # what begins after all would do nothing, and hold its cores
            ray.kill(asked[answer].worker)
        if not self.idle:
            raise EdgepackError(
                f"no worker of the Ray cluster has begun within {ANSWER_S:.0f} s, or their machines are lost",
                "look at `ray status`, or leave --ray out",
            )
        if len(self.idle) < len(places):
            say(f"{len(places) - len(self.idle)} of {len(places)} workers have not begun: the trials run on the others")
            self.has_gpus = any(seat.place.gpus for seat in self.idle)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _ray().shutdown()

    def outcomes(self, tasks: Sequence[Task], goes_on: GoesOn = always) -> Iterator[tuple[int, Outcome]]:
        """A worker that ends takes nothing but its trial's work with it: the trial runs once more, on another."""
        running: dict[Any, tuple[int, int, _Seat]] = {}
        try:
            yield from self._outcomes(tasks, goes_on, running)
        finally:  # whoever asks for no more outcomes gets new workers for the next ones
            for _, _, seat in running.values():
                _ray().kill(seat.worker)
                self.idle.append(self._seat(seat.place))

    def _outcomes(
        self, tasks: Sequence[Task], goes_on: GoesOn, running: dict[Any, tuple[int, int, "_Seat"]]
    ) -> Iterator[tuple[int, Outcome]]:
        ray = _ray()
        left = [(index, 1) for index in range(len(tasks))]
        while left or running:
            for index, attempt, seat in self._seated(tasks, left):
                running[seat.worker.outcome.remote(*tasks[index])] = (index, attempt, seat)
            (done,), _ = ray.wait(list(running), num_returns=1)
            index, attempt, seat = running.pop(done)
            try:
                outcome = ray.get(done)
            except ray.exceptions.RayActorError:
                self._take_over(ray, seat.place, [each for *_, each in running.values()])
                say(f"the machine of a trial ended; {'the trial runs again' if attempt < _ATTEMPTS else 'the trial is given up'}")
                if attempt < _ATTEMPTS:
                    left.append((index, attempt + 1))
                    continue
                outcome = Outcome(seconds=0.0, failure="the machines that ran this trial ended", lost=True)
            else:
                self.idle.append(seat)
            yield index, outcome
            if not goes_on():
                left.clear()

    def _take_over(self, ray: Any, ended: Place, busy: Sequence["_Seat"]) -> None:
        """Lets the other workers do what one that ended has left; where they cannot, a new one begins."""
        if any(seat.place.gpus >= ended.gpus for seat in (*self.idle, *busy)):
            return
        if ended.gpus and gpus_left(ray, ended.node) < ended.gpus:
            say("the last GPU of the Ray cluster is gone: its trials go on without one")
            self.has_gpus = False
            ended = Place("", 0.0)
        if ended.gpus or not (self.idle or busy):
            self.idle.append(self._seat(Place("", ended.gpus)))

    def _seated(self, tasks: Sequence[Task], left: list[tuple[int, int]]) -> Iterator[tuple[int, int, "_Seat"]]:
        """Trials that can begin now, each with a worker. Trials that train nothing go where no GPU is, as long as one is idle there."""
        for index, attempt in list(left):
            recipe, _ = tasks[index]
            fitting = [seat for seat in self.idle if seat.place.takes(recipe, self.has_gpus)]
            if fitting:
                seat = fitting[0] if trains(recipe) else min(fitting, key=lambda each: each.place.gpus)
                self.idle.remove(seat)
                left.remove((index, attempt))
                yield index, attempt, seat

    def _seat(self, place: Place) -> "_Seat":
        """A new worker. place: on any machine where the name is empty, or that machine has ended."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        wish = {"num_cpus": CORES, "num_gpus": place.gpus, "memory": self.needs.memory_mb * 1e6, "max_restarts": 0}
        if place.node:
            wish["scheduling_strategy"] = NodeAffinitySchedulingStrategy(place.node, soft=True)
        hides_gpus = self.has_gpus and not place.gpus
        worker = _ray().remote(Worker).options(**wish).remote(self.recipe, self.profile, str(self.cache), kernel_environment(), hides_gpus)
        return _Seat(worker, place)


@dataclass(frozen=True)
class _Seat:
    """A worker, and where it lives."""

    worker: Any
    place: Place


def _has_begun(ray: Any, answer: Any) -> bool:
    """Whether the worker lives. EdgepackError: it cannot load model or data, as no other could."""
    try:
        ray.get(answer)
    except ray.exceptions.RayError as error:
        if isinstance(error, ray.exceptions.RayActorError) and not error.actor_init_failed:
            return False  # its process or its machine is gone
        raise EdgepackError(
            f"a worker of the Ray cluster cannot begin: {str(error).strip().splitlines()[-1]}",
            "let all its machines see the model and the data at the same paths, or leave --ray out",
        ) from None
    return True


def _check_address(address: str) -> None:
    """OSError or ValueError: nobody listens at a `host:port`. Ray itself would ask there for minutes, and then end the process."""
    host, colon, port = address.rpartition(":")
    if colon and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise EdgepackError("--ray needs ray, which is not installed", "pip install 'edgepack[ray]', or use --workers alone") from None
    return ray
