"""Tasks that are made up for the zoo: relabelled groups, random answers, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from detectors.core.groups import Ints
from detectors.subjects.operands.task import Task
from detectors.subjects.sequences.task import SequenceTask


def relabelled(of: str, seed: int) -> Ints:
    """The table of a task with its tokens and answers renamed by one random permutation."""
    answer = Task.parse(of).answer
    perm = np.random.default_rng(seed).permutation(len(answer))
    table = np.empty_like(answer)
    table[np.ix_(perm, perm)] = perm[answer]
    return table


def random_answers(n: int, seed: int) -> Ints:
    """An answer drawn at random for each pair: nothing to generalise."""
    return np.random.default_rng(seed).integers(n, size=(n, n))


def less_than(n: int) -> Ints:
    """1 where a < b, else 0."""
    a, b = np.indices((n, n))
    return (a < b).astype(np.int64)


_TABLES: dict[str, Callable[..., Ints]] = {
    "relabelled": relabelled,
    "random_answers": random_answers,
    "less_than": less_than,
}


def table_of(card: dict[str, Any]) -> Ints | None:
    """The table that a card's `table` entry describes; None where its `task` is a plain spec."""
    if "table" not in card:
        return None
    entry = dict(card["table"])
    return _TABLES[entry.pop("kind")](**entry)


def task_of(card: dict[str, Any]) -> Task | SequenceTask:
    """The task of a card."""
    table = table_of(card)
    if table is not None:
        return Task.of_table("table:table.npy", table)
    spec = card["task"]
    return SequenceTask.parse(spec) if SequenceTask.known(spec) else Task.parse(spec)
