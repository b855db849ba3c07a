"""Trials on the machines of a Ray cluster: each worker is an actor with cores of its own, which loads model and data once.

The machines must see the same model, data and cache folder, as on a shared file system: an outcome travels, a stage's files do not. Where
they do not share the cache, the packs of the front are trained again on the machine that asked.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import say
from edgepack.pipeline.keys import kernel_environment, take_kernel_environment
from edgepack.plan.profile import Profile
from edgepack.plan.recipe import Recipe
from edgepack.search.pool import GoesOn, Task, always
from edgepack.search.rungs import materials_of
from edgepack.search.trials import Bench, Outcome

_ATTEMPTS = 2  # of a trial: the second where its machine ended
_CORES = 1.0  # of a worker
_CONNECT_S = 10.0
_ANSWER_S = 600.0  # within which each machine has to say which edgepack it has: a busy one starts a process slowly


class Worker:
    """Lives on a machine of the cluster."""

    def __init__(self, recipe: Recipe, profile: Profile, cache: str, environment: dict[str, str]) -> None:
        take_kernel_environment(environment)  # before torch is loaded: Ray sets OMP_NUM_THREADS where nobody has
        self.bench = Bench(materials_of(recipe), profile, Path(cache))

    def ready(self) -> None:
        """Answers once the worker has loaded what it needs."""

    def outcome(self, recipe: Recipe, rung: Any) -> Outcome:
        return self.bench.outcome(recipe, rung)


@dataclass
class Cluster:
    """`workers` actors. address: of the cluster, or `auto` for the one that this machine belongs to."""

    recipe: Recipe
    profile: Profile
    cache: Path
    workers: int
    address: str
    idle: list[Any] = field(default_factory=list, init=False)

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
        """Workers that have loaded model and data. EdgepackError: one of them cannot, so every trial would fail."""
        room = max(1, int(ray.cluster_resources().get("CPU", 0) // _CORES))
        if room < self.workers:
            say(f"the Ray cluster has room for {room} workers, not for {self.workers}")
        self.idle = [self._worker() for _ in range(min(room, self.workers))]
        ready, _ = ray.wait([worker.ready.remote() for worker in self.idle], num_returns=len(self.idle), timeout=_ANSWER_S)
        try:
            ray.get(ready)
        except ray.exceptions.RayError as error:
            raise EdgepackError(
                f"a worker of the Ray cluster cannot begin: {str(error).strip().splitlines()[-1]}",
                "let all its machines see the model and the data at the same paths, or leave --ray out",
            ) from None
        if not ready:
            raise EdgepackError(
                f"no worker of the Ray cluster has begun within {_ANSWER_S:.0f} s", "look at `ray status`, or leave --ray out"
            )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _ray().shutdown()

    def outcomes(self, tasks: Sequence[Task], goes_on: GoesOn = always) -> Iterator[tuple[int, Outcome]]:
        """A worker that ends takes nothing but its trial's work with it: the trial runs once more, on another."""
        running: dict[Any, tuple[int, int, Any]] = {}
        try:
            yield from self._outcomes(tasks, goes_on, running)
        finally:  # whoever asks for no more outcomes gets new workers for the next ones
            for _, _, actor in running.values():
                _ray().kill(actor)
                self.idle.append(self._worker())

    def _outcomes(self, tasks: Sequence[Task], goes_on: GoesOn, running: dict[Any, tuple[int, int, Any]]) -> Iterator[tuple[int, Outcome]]:
        ray = _ray()
        left = [(index, 1) for index in range(len(tasks))]
        while left or running:
            while left and self.idle:
                (index, attempt), actor = left.pop(0), self.idle.pop(0)
                running[actor.outcome.remote(*tasks[index])] = (index, attempt, actor)
            (done,), _ = ray.wait(list(running), num_returns=1)
            index, attempt, actor = running.pop(done)
            try:
                outcome = ray.get(done)
            except ray.exceptions.RayActorError:
                if not self.idle and not running:  # the others take over what it has left
                    self.idle.append(self._worker())
                say(f"the machine of a trial ended; {'the trial runs again' if attempt < _ATTEMPTS else 'the trial is given up'}")
                if attempt < _ATTEMPTS:
                    left.append((index, attempt + 1))
                    continue
                outcome = Outcome(seconds=0.0, failure="the machines that ran this trial ended", lost=True)
            else:
                self.idle.append(actor)
            yield index, outcome
            if not goes_on():
                left.clear()

    def _worker(self) -> Any:
        return (
            _ray()
            .remote(Worker)
            .options(num_cpus=_CORES, max_restarts=0)
            .remote(self.recipe, self.profile, str(self.cache), kernel_environment())
        )


def _check_address(address: str) -> None:
    """OSError or ValueError: nobody listens at a `host:port`. Ray itself would ask there for minutes, and then end the process."""
    host, colon, port = address.rpartition(":")
    if colon and "://" not in address:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()


def check_versions(ray: Any) -> None:
    """EdgepackError names a machine of the cluster that has another edgepack than this one."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = version("edgepack")
    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[node["NodeManagerHostname"], node["NodeID"]] = (
                ray.remote(_edgepack_version).options(num_cpus=0, scheduling_strategy=strategy).remote()
            )
    for (name, node_id), answer in asked.items():
        try:
            there = ray.get(answer, timeout=_ANSWER_S)
        except ray.exceptions.TaskUnschedulableError:
            continue  # the machine has left the cluster meanwhile
        except ray.exceptions.GetTimeoutError:
            raise EdgepackError(
                f"the machine {name} ({node_id[:8]}) of the Ray cluster has not answered within {_ANSWER_S:.0f} s",
                "look at `ray status`, or leave --ray out",
            ) from None
        except ray.exceptions.RayError as error:
            there = f"nothing that can be loaded ({type(error).__name__})"
        if there != here:
            raise EdgepackError(
                f"the machine {name} ({node_id[:8]}) of the Ray cluster has edgepack {there}, and this one has {here}",
                "install the same edgepack on all machines of the cluster, or leave --ray out",
            )


def _edgepack_version() -> str:
    return version("edgepack")


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise EdgepackError("--ray needs ray, which is not installed", "pip install 'edgepack[ray]', or use --workers alone") from None
    return ray
