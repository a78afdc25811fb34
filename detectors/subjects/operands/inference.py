"""The task that a model carries out, from its own predictions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from detectors.core.errors import CheckpointError
from detectors.core.memory import check_memory
from detectors.subjects.operands.correction import nearest_group
from detectors.subjects.operands.network import CHUNK
from detectors.subjects.operands.tables import MAX_TOKENS, Labels
from detectors.subjects.operands.task import Task, arithmetic

FOLLOWED = 0.9  # of the predictions: the table of a model that answers fewer is no task to judge it by


def task_of(network: Any) -> Task:
    """The task that the predictions of a `Network` carry out."""
    n = network.n_tokens
    if not 2 <= n <= MAX_TOKENS:
        raise CheckpointError(f"a network of {n} tokens: a task is inferred for 2 to {MAX_TOKENS}")
    check_memory(n * n * n, f"{n} x {n} pairs with {n} answers")
    with torch.no_grad():
        tokens = (torch.stack([k // n, k % n], 1) for k in torch.arange(n * n).split(CHUNK))
        predicted = [network.forward(t, lambda _, tensor: tensor)[:, :n].argmax(1) for t in tokens]
    return infer_task(torch.cat(predicted).reshape(n, n).numpy())


def infer_task(predictions: Int[np.ndarray, "n n"], *, seed: int = 0) -> Task:
    """The task that a model's own predictions [n, n] carry out, allowing for errors.

    The nearest group's table is the task where it agrees with at least 90% of the predictions on the labelled pairs;
    otherwise the task is the raw table, without a group.
    """
    found = nearest_group(predictions, FOLLOWED, seed)
    if found is None:
        note = "no group table explains the predictions, so the group motifs do not apply"
        return Task("infer", predictions, int(predictions.max()) + 1, None, note)
    labels, table, agreement = found
    named = _arithmetic_of(table, labels)
    what = named.spec if named else f"the table of {labels.group.name}"
    note = f"the predictions follow {what} on {agreement:.1%} of pairs"
    if named:
        return replace(named, spec=f"infer={named.spec}", note=note)
    grid, answer = np.ix_(labels.left, labels.right), np.full_like(table, -1)
    answer[grid] = table[grid]
    return Task(f"infer={labels.group.name}", answer, int(answer.max()) + 1, labels, note)


def _arithmetic_of(table: Int[np.ndarray, "n n"], labels: Labels) -> Task | None:
    """`add:53` and the like, when the table agrees with it wherever the group labels a pair."""
    p = len(table)
    grid = np.ix_(labels.left, labels.right)
    for kind in ("add", "sub", "mul", "div"):
        task = arithmetic(f"{kind}:{p}", kind, p)
        same = task.labels is not None and task.labels.group.order == labels.group.order
        if same and np.array_equal(task.answer[grid], table[grid]):
            return task
    return None
