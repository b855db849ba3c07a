"""Where trials run: the same outcomes in this process, in several, and on a Ray cluster; and what a worker that dies costs."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from sqlite3 import OperationalError, connect

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.plan.profile import load_profile
from edgepack.search.placement import Needs
from edgepack.search.pool import Here, Processes
from edgepack.search.rungs import materials_of, rungs_of
from edgepack.search.search import search
from edgepack.search.trials import Bench
from edgepack.search.wish import SearchWish

PI = load_profile("raspberry-pi")
NEEDS = Needs(memory_mb=100, gpu_mb=100)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tasks(tiny):
    rung = rungs_of(tiny, materials_of(tiny).whole.data)[0]
    return [(tiny.model_copy(update={"prune_heads": 0.0, "precision": precision}), rung) for precision in ("fp32", "fp16")]


def results(pool, tasks):
    with pool:
        return [(outcome.score, outcome.file_mb, outcome.failure) for _, outcome in sorted(pool.outcomes(tasks), key=lambda row: row[0])]


def test_processes_give_the_same_outcomes_as_one(tiny, tasks, tmp_path):
    alone = results(Here(Bench(materials_of(tiny), PI, tmp_path / "a")), tasks)
    assert results(Processes(tiny, PI, tmp_path / "b", 2), tasks) == alone
    assert all(failure is None for *_, failure in alone)


def test_a_worker_that_is_killed_costs_its_trials_work_alone(tiny, tasks, tmp_path):
    pool = Processes(tiny, PI, tmp_path / "cache", 2)

    def kill_one():
        while not (pool.executor and pool.executor._processes):
            time.sleep(0.05)
        time.sleep(2.0)
        os.kill(next(iter(pool.executor._processes)), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    outcomes = results(pool, tasks)
    killer.join()
    assert [failure for *_, failure in outcomes] == [None, None]


def trials_in(cache: Path) -> int:
    for path in cache.glob("searches/*/study.sqlite3"):
        try:
            with connect(path) as database:
                return database.execute("select count(*) from trials").fetchone()[0]
        except OperationalError:
            pass
    return 0


def test_a_search_that_is_killed_goes_on_as_if_nothing_had_been(searched, tiny, narrow, tmp_path):
    front, _, _ = searched
    wish = SearchWish(trials=4, packs=2, space=narrow)
    process = get_context("spawn").Process(target=search, args=(tiny, PI, tmp_path / "out", wish, tmp_path / "cache"))
    process.start()
    while process.is_alive() and trials_in(tmp_path / "cache") < 2:
        time.sleep(0.1)
    process.kill()
    process.join()
    kept = trials_in(tmp_path / "cache")
    assert 2 <= kept <= 8 and not (tmp_path / "out").exists()
    again = search(tiny, PI, tmp_path / "out", wish, tmp_path / "cache")
    assert [(each.number, each.settings, each.score_drop) for each in again.tried] == [
        (each.number, each.settings, each.score_drop) for each in front.tried
    ]


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two nodes on this machine, each of processes of its own."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    running = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        running.add_node(num_cpus=1)
    yield running
    running.shutdown()


def test_a_node_that_is_killed_costs_its_trials_work_alone(tiny, tasks, tmp_path, cluster):
    from edgepack.search.cluster import Cluster

    alone = results(Here(Bench(materials_of(tiny), PI, tmp_path / "a")), tasks)

    def kill_node():
        import ray

        time.sleep(2)
        of_driver = ray.get_runtime_context().get_node_id()
        other = next(node for node in cluster.worker_nodes if node.node_id != of_driver)
        cluster.remove_node(other, allow_graceful=False)

    killer = threading.Thread(target=kill_node)
    pool = Cluster(tiny, PI, tmp_path / "b", 2, cluster.address, NEEDS)
    with pool:  # its workers have loaded model and data by now
        killer.start()
        outcomes = sorted(pool.outcomes(tasks), key=lambda row: row[0])
        killer.join()
    assert [(outcome.score, outcome.file_mb, outcome.failure) for _, outcome in outcomes] == alone


def test_trials_that_train_run_where_a_gpu_is_and_go_on_where_the_last_one_ends(tiny, tasks, tmp_path, cluster):
    from edgepack.search.cluster import Cluster

    trained = [(recipe.model_copy(update={"prune_ffn": 0.5}), rung) for recipe, rung in tasks]
    with_gpu = cluster.add_node(num_cpus=1, num_gpus=1)  # Ray believes what it is told
    pool = Cluster(tiny, PI, tmp_path / "b", 2, cluster.address, NEEDS)
    with pool:
        assert pool.has_gpus and [seat.place.gpus for seat in pool.idle] == [1.0, 0.0]
        beside = next(seat for seat in pool.idle if not seat.place.gpus)
        outcomes = pool.outcomes(trained)
        first = next(outcomes)[1]
        assert beside in pool.idle, "nothing that trains ran on the worker without a GPU"
        cluster.remove_node(with_gpu, allow_graceful=False)
        second = next(outcomes)[1]
    assert first.failure is None and second.failure is None and not pool.has_gpus


def test_a_worker_that_is_lost_while_it_begins_holds_no_seat(tiny, tasks, tmp_path, cluster, monkeypatch, capsys):
    import ray

    from edgepack.search.cluster import Cluster

    while alive(cluster) < 3:  # the driver's, and one for each worker; earlier tests end some
        before = alive(cluster)
        cluster.add_node(num_cpus=1)
        wait_until(lambda before=before: alive(cluster) > before)
    seat_of, seats = Cluster._seat, []

    def lost_at_first(self, place):
        seats.append(seat_of(self, place))
        if len(seats) == 1:
            ray.kill(seats[0].worker)
        return seats[-1]

    monkeypatch.setattr(Cluster, "_seat", lost_at_first)
    pool = Cluster(tiny, PI, tmp_path / "b", 2, cluster.address, NEEDS)
    with pool:
        assert pool.idle == seats[1:] and len(seats) == 2
        outcomes = sorted(pool.outcomes(tasks), key=lambda row: row[0])
    assert [outcome.failure for _, outcome in outcomes] == [None, None]
    assert "1 of 2 workers have not begun" in capsys.readouterr().err


def test_a_cluster_that_cannot_see_the_data_is_refused_and_no_trial_fails(tiny, tmp_path, cluster):
    from edgepack.search.cluster import Cluster

    elsewhere = tiny.model_copy(update={"data": str(tmp_path / "none")})
    with pytest.raises(EdgepackError, match="cannot begin"), Cluster(elsewhere, PI, tmp_path / "cache", 1, cluster.address, NEEDS):
        pass


@contextmanager
def another_node(cluster, folder):
    """A machine that finds modules in this folder first."""
    environment = os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    started = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={cluster.address}", "--num-cpus=1", "--block"]
    before = alive(cluster)
    node = subprocess.Popen(started, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: alive(cluster) > before)
        yield
    finally:
        node.terminate()
        node.wait(60)
        wait_until(lambda: alive(cluster) <= before)


def alive(cluster):
    """How many machines the cluster has."""
    return sum(node["Alive"] for node in cluster.global_state.node_table())


def wait_until(is_so, seconds=180):
    until = time.monotonic() + seconds
    while not is_so() and time.monotonic() < until:
        time.sleep(0.5)


def test_a_node_with_another_edgepack_is_refused_by_name(tiny, tmp_path, cluster):
    from edgepack.search.cluster import Cluster

    (tmp_path / "edgepack-9.9.9.dist-info").mkdir()
    (tmp_path / "edgepack-9.9.9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: edgepack\nVersion: 9.9.9\n")
    asks = Cluster(tiny, PI, tmp_path / "cache", 1, cluster.address, NEEDS)
    with another_node(cluster, tmp_path), pytest.raises(EdgepackError, match=r"has edgepack 9\.9\.9"), asks:
        pass


def test_a_node_with_other_code_of_the_same_version_is_refused(tiny, tmp_path, cluster, monkeypatch):
    from edgepack.search import cluster_nodes
    from edgepack.search.cluster import Cluster

    monkeypatch.setattr(cluster_nodes, "whole_code_sha256", lambda: "0" * 64)  # here alone: the machines hash their own files
    asks = Cluster(tiny, PI, tmp_path / "cache", 1, cluster.address, NEEDS)
    with pytest.raises(EdgepackError, match=r"has other code of edgepack .* against 000000000000"), asks:
        pass


def test_a_cluster_that_is_not_there_is_refused(tiny, tmp_path):
    pytest.importorskip("ray")
    from edgepack.search.cluster import Cluster

    with pytest.raises(EdgepackError, match="no Ray cluster answers"), Cluster(tiny, PI, tmp_path, 1, "127.0.0.1:1", NEEDS):
        pass
