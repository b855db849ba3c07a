"""Asks the machines of a Ray cluster: whether they have the same edgepack as this one, and how large their GPUs are."""

import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

from edgepack.core.code_graph import whole_code_sha256
from edgepack.core.errors import EdgepackError
from edgepack.search.placement import card_memory_mb

_NOTICE_S = 20.0
ANSWER_S = 600.0  # within which each machine has to say which edgepack it has: a busy one starts a process slowly


def check_versions(ray: Any) -> None:
    """EdgepackError names a machine of the cluster whose edgepack has another version than this one, or other code."""
    here = _identity()
    for place, there in _answers(ray, _identity, lambda node: True):
        if there == here:
            continue
        has, mine = f"has edgepack {there[0]}", f"this one has {here[0]}"
        if there[0] == here[0]:
            has, mine = f"has other code of edgepack {there[0]}", f"{there[1][:12]} against {here[1][:12]}"
        raise EdgepackError(
            f"the machine {place} of the Ray cluster {has}, and {mine}",
            "install the same edgepack on all machines of the cluster, or leave --ray out",
        )


def card_mb_of(ray: Any) -> dict[str, float]:
    """Memory of a GPU by machine, for those that have any."""
    by_name = dict(_answers(ray, card_memory_mb, lambda node: node["Resources"].get("GPU", 0) > 0))
    return {node["NodeID"]: by_name[_name(node)] for node in ray.nodes() if isinstance(by_name.get(_name(node)), float)}


def gpus_left(ray: Any, suspect: str) -> float:
    """GPUs of the machines that are alive. suspect: one whose worker ended; the cluster needs a while to notice that it ended too."""
    until = time.monotonic() + _NOTICE_S
    while time.monotonic() < until and any(node["Alive"] for node in ray.nodes() if node["NodeID"] == suspect):
        time.sleep(0.5)
    return float(sum(node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]))


def _answers(ray: Any, question: Callable[[], Any], of: Callable[[dict[str, Any]], bool]) -> Iterator[tuple[str, Any]]:
    """What each such machine that is alive answers, with its name. EdgepackError: one does not answer."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in ray.nodes():
        if node["Alive"] and of(node):
            strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[_name(node)] = ray.remote(question).options(num_cpus=0, scheduling_strategy=strategy).remote()
    for name, answer in asked.items():
        try:
            yield name, ray.get(answer, timeout=ANSWER_S)
        except ray.exceptions.TaskUnschedulableError:
            continue  # the machine has left the cluster meanwhile
        except ray.exceptions.GetTimeoutError:
            raise EdgepackError(
                f"the machine {name} of the Ray cluster has not answered within {ANSWER_S:.0f} s",
                "look at `ray status`, or leave --ray out",
            ) from None
        except ray.exceptions.RayError as error:
            yield name, (f"nothing that can be loaded ({type(error).__name__})", "")


def _name(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeID'][:8]})"


def _identity() -> tuple[str, str]:
    """Version, and a hash of the code: a checkout that was edited has the version that it had."""
    return version("edgepack"), whole_code_sha256()
