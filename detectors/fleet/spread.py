"""A call for each of many items on several processes, or on a cluster: the work is joblib's and Dask's.

What is added here is what neither does: an item that takes its process down is found, and alone is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from functools import partial
from typing import Any, TypeVar

from detectors.core.errors import DetectorsError

Item = TypeVar("Item")
Result = TypeVar("Result")
DIED = "the process that scored it died, also when it scored nothing else: is there memory enough?"


def spread(
    call: Callable[[Item], Result], items: Sequence[Item], jobs: int = 1, cluster: str | None = None
) -> Iterator[tuple[Item, Result | str]]:
    """Items with what the call gives of them, as they come; with a sentence for one that ends its process.

    jobs: processes; one item after another in this one for 1. cluster: the address of a Dask scheduler instead.
    """
    return _on_cluster(call, items, cluster) if cluster else _on_processes(call, items, jobs)


def _on_processes(call: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Any]:
    """When a process dies all that was handed out is lost: each of that is called once more, alone."""
    waiting, handed = deque(items), []

    def hand_out() -> Iterator[Item]:
        while waiting:
            handed.append(waiting.popleft())
            yield handed[-1]

    while waiting:
        try:
            for item, result in _parallel(call, hand_out(), jobs):
                handed.remove(item)
                yield item, result
        except BrokenExecutor:
            suspects, handed = handed, []
            for item in suspects:
                yield _alone(call, item)


def _parallel(call: Callable[[Item], Result], items: Iterator[Item], jobs: int) -> Iterator[tuple[Item, Result]]:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=1):
        parallel = Parallel(jobs, batch_size=1, pre_dispatch="2*n_jobs", return_as="generator_unordered")
        yield from parallel(delayed(partial(_with_item, call))(item) for item in items)


def _alone(call: Callable[[Item], Result], item: Item) -> tuple[Item, Result | str]:
    try:
        return next(_parallel(call, iter([item]), 2))  # joblib makes no process for 1
    except BrokenExecutor:
        return item, DIED


def _with_item(call: Callable[[Item], Result], item: Item) -> tuple[Item, Result]:
    return item, call(item)


def _on_cluster(call: Callable[[Item], Result], items: Sequence[Item], address: str) -> Iterator[Any]:
    """A worker that dies is Dask's business, which gives its items to others. An item under which several have died
    fails, and whatever lay with it on the last: each of those is called once more, alone.

    Dask's own futures, and not joblib's backend for it, which waits for good once an item has failed in this way.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise DetectorsError("--cluster needs Dask: pip install 'circuit-detectors[dask]'") from None
    try:
        client = Client(address)
    except (OSError, ValueError) as error:
        raise DetectorsError(f"no Dask scheduler at {address}: {error}") from None
    with client:
        futures = dict(zip(client.map(call, items, pure=False), items, strict=True))
        suspects = []
        for future in as_completed(list(futures)):
            item = futures.pop(future)
            if future.status == "finished":
                yield item, future.result()
            else:
                suspects.append(item)
        for item in suspects:
            future = client.submit(call, item, pure=False)
            why = future.exception()
            yield item, future.result() if why is None else f"no worker of the cluster could score it: {why}"
