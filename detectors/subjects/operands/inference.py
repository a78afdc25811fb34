"""The task that a model carries out, from its own predictions."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from detectors.core.groups import Ints
from detectors.subjects.operands.tables import Labels, find_group, latin_part
from detectors.subjects.operands.task import Task, arithmetic


def infer_task(predictions: Ints, *, seed: int = 0) -> Task:
    """The task that a model's own predictions [n, n] carry out, allowing for errors.

    A group table determines every entry from three others (the quadrangle criterion), so each entry is
    put to the vote of random quadrangles (the self-correction of Blum, Luby and Rubinfeld, 1993).
    The corrected table is the task when it has a group and agrees with at least 90% of the predictions
    on the labelled pairs; otherwise the task is the raw table, without a group.
    """
    corrected = (_self_corrected(predictions, np.random.default_rng(seed), cut) for cut in (0.8, 0.7, 0.9))
    for table in itertools.chain([predictions], corrected):
        labels = find_group(table)
        if labels is None:
            continue
        grid = np.ix_(labels.left, labels.right)
        agreement = float((table[grid] == predictions[grid]).mean())
        if agreement < 0.9:
            continue
        named = _arithmetic_of(table, labels)
        what = named.spec if named else f"the table of {labels.group.name}"
        note = f"the predictions follow {what} on {agreement:.1%} of pairs"
        if named:
            return replace(named, spec=f"infer={named.spec}", note=note)
        answer = np.full_like(table, -1)
        answer[grid] = table[grid]
        return Task(f"infer={labels.group.name}", answer, int(answer.max()) + 1, labels, note)
    note = "no group table explains the predictions, so the group motifs do not apply"
    return Task("infer", predictions, int(predictions.max()) + 1, None, note)


def _arithmetic_of(table: Ints, labels: Labels) -> Task | None:
    """`add:53` and the like, when the table agrees with it wherever the group labels a pair."""
    p = len(table)
    grid = np.ix_(labels.left, labels.right)
    for kind in ("add", "sub", "mul", "div"):
        task = arithmetic(f"{kind}:{p}", kind, p)
        same = task.labels is not None and task.labels.group.order == labels.group.order
        if same and np.array_equal(task.answer[grid], table[grid]):
            return task
    return None


def _self_corrected(table: Ints, rng: np.random.Generator, cut: float, rounds: int = 3) -> Ints:
    rows, columns, answers = latin_part(table, cut)
    n = len(answers)
    if (
        len(rows) == n != len(columns)
    ):  # errors have thinned a column, or noise has filled one: as many as there are rows
        distinct = [len(np.unique(column[column >= 0])) for column in table[rows].T]
        columns = np.sort(np.argsort(distinct, kind="stable")[::-1][:n])
    if not 3 <= n == len(rows) == len(columns):
        return table
    index = np.full(max(int(table.max()), 0) + 1, -1, dtype=np.int64)
    index[answers] = np.arange(n)
    t = index[table[np.ix_(rows, columns)]]
    for _ in range(rounds):
        t = _vote(t, rng)
    corrected = table.copy()
    corrected[np.ix_(rows, columns)] = answers[t]
    return corrected


def _vote(t: Ints, rng: np.random.Generator) -> Ints:
    """Each entry [n, n] by majority over random quadrangles; -1 in t is unknown."""
    n = len(t)
    votes = int(np.clip(2**21 / n**2, 32, 512))
    column_of = np.zeros((n, n), dtype=np.int64)  # [row, answer] -> a column holding it
    row_of = np.zeros((n, n), dtype=np.int64)  # [column, answer] -> a row holding it
    a, b = np.indices((n, n))
    known = t >= 0
    column_of[a[known], t[known]] = b[known]
    row_of[b[known], t[known]] = a[known]
    tally = np.zeros((n * n, n), dtype=np.int32)
    for _ in range(votes):
        # t[a,b] = u e^-1 v with u = t[a,g], e = t[f,g], v = t[f,b]; the same u, e, v found elsewhere vote
        f, g, f2 = (rng.integers(n, size=(n, n)) for _ in range(3))
        u, e, v = t[a, g], t[f, g], t[f, b]
        g2 = column_of[f2, e]
        vote = t[row_of[g2, u], column_of[f2, v]]
        ok = (vote >= 0) & (u >= 0) & (e >= 0) & (v >= 0)
        np.add.at(tally, ((a * n + b)[ok], vote[ok]), 1)
    return tally.argmax(axis=1).reshape(n, n)
