"""What a verdict on a model made to hurt may be, from how it was built or what it answers, as listed in truths.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from detectors.subjects.operands.view import ModelView
from models_zoo.behaviour import Behaviour, settled

LEAST_UNSEEN = 32  # fewer pairs than that settle nothing


class Hostile(NamedTuple):
    """One model. build: its view, with the true training mask. truth: a key of truths.toml, `behaviour` where what it
    answers decides. told: whether detectors are given the mask. exceptions: hidden wrong answers, where they are known.
    parent: the member of the zoo that it was made from.
    """

    family: str
    name: str
    build: Callable[[], ModelView]
    truth: str = "behaviour"
    told: bool = True
    exceptions: int | None = None
    parent: str | None = None

    def view(self) -> ModelView:
        """What detectors are given."""
        model = self.build()
        return model if self.told else model.with_train_mask(None)


class Truth(NamedTuple):
    """allowed: by motif, the verdicts that are right. never_says: patterns that the report's sentence must not hold.
    told: whether the training pairs that are told are those that it was trained on.
    """

    name: str
    why: str
    allowed: dict[str, tuple[str, ...]]
    never_says: tuple[str, ...]
    told: bool


@cache
def truths() -> dict[str, Truth]:
    tables: dict[str, Any] = tomllib.loads(Path(__file__).with_name("truths.toml").read_text())
    return {
        name: Truth(
            name,
            table["why"],
            {motif: tuple(words) for motif, words in table.get("allowed", {}).items()},
            tuple(table.get("never_says", ())),
            table.get("told", True),
        )
        for name, table in tables.items()
    }


def truth(model: Hostile, seen: Behaviour) -> Truth:
    """What the verdicts on it may be: its own truth, or that of what it answers, open where that is not measurable."""
    name = settled(seen) if model.truth == "behaviour" else model.truth
    measurable = model.told and seen.unseen.pairs >= LEAST_UNSEEN
    return truths()[name if measurable or f"{name}_open" not in truths() else f"{name}_open"]
