"""Processes and clusters whose workers die. Functions are made within a test, so that workers get them by value."""

import pytest

from detectors.core.errors import DetectorsError
from detectors.fleet.spread import DIED, spread


def doubled(item):
    return 2 * item


def test_one_after_another_in_this_process():
    assert dict(spread(lambda item: 2 * item, range(5))) == {item: 2 * item for item in range(5)}
    assert list(spread(lambda item: item, [], jobs=2)) == []


@pytest.mark.wide
def test_an_item_that_kills_its_process_is_lost_alone():
    def call(item):
        import os
        import signal

        if item in (2, 7):
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * item

    found = list(spread(call, range(9), jobs=2))
    assert sorted(item for item, _ in found) == list(range(9))  # each once
    assert dict(found) == {item: DIED if item in (2, 7) else 2 * item for item in range(9)}


@pytest.mark.wide
def test_a_worker_that_is_killed_in_the_middle_loses_nothing(models):
    """End to end on processes."""
    models.add("a.pt", "kill.pt")
    done = models.score(jobs=2)
    assert list(done.errors.values()) == [DIED]
    errors = {name: row["error"] for (name, _), row in models.kept.items()}
    assert errors == {"a.pt": None, "kill.pt": DIED}


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes, as on two machines; an item may take two down."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    settings = {"distributed.scheduler.allowed-failures": 1, "distributed.worker.daemon": True}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as made,
    ):
        yield made


@pytest.mark.wide
@pytest.mark.filterwarnings("default")  # of sockets and event loops, as workers die
def test_on_a_cluster_a_worker_that_is_killed_in_the_middle_loses_nothing(models, cluster):
    models.add("a.pt", "once.pt", "b.pt")
    done = models.score(cluster=cluster.scheduler_address)
    assert (models.folder / "died").exists()
    assert not done.errors
    assert len(models.kept) == 3
    assert models.calls.count("once.pt") == 2


@pytest.mark.wide
@pytest.mark.filterwarnings("default")
def test_on_a_cluster_an_item_that_kills_its_workers_is_lost_alone(cluster):
    def call(item):
        import os
        import signal

        if item == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * item

    found = dict(spread(call, range(5), cluster=cluster.scheduler_address))
    assert "no worker of the cluster could score it" in found.pop(2)
    assert found == {item: 2 * item for item in (0, 1, 3, 4)}


def test_where_there_is_no_cluster():
    pytest.importorskip("distributed")
    import dask

    soon = dask.config.set({"distributed.comm.timeouts.connect": "0.2s"})
    with soon, pytest.raises(DetectorsError, match=r"no Dask scheduler at tcp://127.0.0.1:9"):
        list(spread(doubled, [1], cluster="tcp://127.0.0.1:9"))
