"""What a model answers of the pairs trained on, of their echoes, and of those seen in neither order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import answered

ANSWERED, MOST, LUCK, HARDLY = 0.99, 0.95, 3.0, 0.2  # shares of the pairs; times chance; next to nothing
ALIKE = 0.02  # by which training pairs may be answered more often and nothing is said to be looked up


class Side(NamedTuple):
    """A part of the pairs: how many, and the share of them answered right."""

    pairs: int
    accuracy: float | None


class Behaviour(NamedTuple):
    """What a model answers of the pairs trained on, of those whose flip was and the task does not tell apart, and of
    those seen in neither order. chance: of a right answer.
    """

    train: Side
    echoed: Side
    unseen: Side
    chance: float


def behaviour(view: ModelView) -> Behaviour:
    """From the view's own training mask."""
    assert view.train_mask is not None
    task, n = view.task, view.task.n_tokens
    train = view.train_mask.reshape(n, n)
    echoed = train.T & ~train if task.is_symmetric else np.zeros_like(train)
    asked = task.answer >= 0
    right = answered(view.logits(), torch.from_numpy(task.answer.ravel().clip(0))).numpy().reshape(n, n)

    def side(mask: np.ndarray) -> Side:
        found = right[mask & asked]
        return Side(len(found), float(found.mean()) if len(found) else None)

    return Behaviour(side(train), side(echoed), side(~(train | echoed)), 1 / task.n_answers)


def settled(seen: Behaviour) -> str:
    """Which truth that settles: a key of hostile/truths.toml."""
    luck = max(LUCK * seen.chance, HARDLY)
    train, unseen = seen.train.accuracy, seen.unseen.accuracy
    if train is None or unseen is None:
        return "undecided"
    if unseen >= MOST and train <= unseen + ALIKE:
        return "answers_unseen"
    if train >= ANSWERED and unseen <= luck:
        return "answers_training_pairs"
    if max(train, unseen) <= LUCK * seen.chance:
        return "answers_nothing"
    return "no_lookup" if train <= unseen + ALIKE else "undecided"
