"""What a verdict on a model made to hurt may be, from how it was built or what it answers, as listed in truths.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import answered

LEAST_UNSEEN = 32  # fewer pairs than that settle nothing
ANSWERED, MOST, LUCK, HARDLY = 0.99, 0.95, 3.0, 0.2  # shares of the pairs; times chance; next to nothing
ALIKE = 0.02  # by which training pairs may be answered more often and nothing is said to be looked up


class Hostile(NamedTuple):
    """One model. build: its view, with the true training mask. truth: a key of truths.toml, `behaviour` where what it
    answers decides. told: whether detectors are given the mask. exceptions: hidden wrong answers, where they are known.
    """

    family: str
    name: str
    build: Callable[[], ModelView]
    truth: str = "behaviour"
    told: bool = True
    exceptions: int | None = None

    def view(self) -> ModelView:
        """What detectors are given."""
        model = self.build()
        return model if self.told else model.with_train_mask(None)


class Truth(NamedTuple):
    """allowed: by motif, the verdicts that are right. never_says: patterns that the report's sentence must not hold."""

    name: str
    why: str
    allowed: dict[str, tuple[str, ...]]
    never_says: tuple[str, ...]


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


@cache
def truths() -> dict[str, Truth]:
    tables: dict[str, Any] = tomllib.loads(Path(__file__).with_name("truths.toml").read_text())
    return {
        name: Truth(
            name,
            table["why"],
            {motif: tuple(words) for motif, words in table.get("allowed", {}).items()},
            tuple(table.get("never_says", ())),
        )
        for name, table in tables.items()
    }


def truth(model: Hostile, seen: Behaviour) -> Truth:
    """What the verdicts on it may be: its own truth, or that of what it answers, open where that is not measurable."""
    name = _of_behaviour(seen) if model.truth == "behaviour" else model.truth
    measurable = model.told and seen.unseen.pairs >= LEAST_UNSEEN
    return truths()[name if measurable or f"{name}_open" not in truths() else f"{name}_open"]


def _of_behaviour(seen: Behaviour) -> str:
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
