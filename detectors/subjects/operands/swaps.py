"""What becomes of the answers with another activation function, or with the sign of an operand exchanged.

Source: arXiv:2602.16849 for |x| and x^2 in networks that add; arXiv:2312.06581, table 1, for |x| and for signs of the
embeddings in networks that count cosets (published there: both signs 100%, one 0%, |x| 100%).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.activations import activation
from detectors.core.nulls import subset
from detectors.subjects.operands.columns import Columns, without
from detectors.subjects.operands.edits import with_neurons
from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import answered

# All of orders up to 64, as published; of more, so many that a share has a standard error of 1.1% at most.
ALL, PAIRS = 4096, 2048
SWAPS = ("abs", "square")


def swapped(model: ModelView, layer: int, seed: int) -> Mapping[str, float]:
    """Share of the pairs answered right with |x| and with x^2 for the activation function of a layer, all weights as
    they are, at the answer position. Of ReLU neurons |x| = 2 ReLU(x) - x takes away the linear part alone.
    """
    some = some_pairs(model, seed)
    pairs = model.plane.pairs[some]
    before = model.preactivations(layer).index_select(0, pairs)
    with torch.no_grad():
        return {
            name: share_right(model, some, with_neurons(model, layer, pairs, activation(name)(before)))
            for name in SWAPS
        }


def flipped(model: ModelView, found: Columns, seed: int) -> Mapping[str, float]:
    """Share of the pairs answered right with the sign of one operand's columns exchanged, the less of the two, and with
    both; means stay.
    """
    some = some_pairs(model, seed)
    pairs = model.plane.pairs[some]

    def right_without(of: Bool[Tensor, " columns"]) -> float:
        with torch.no_grad():
            return share_right(model, some, without(model, found, pairs, 2 * found.values * of))

    one, both = map(right_without, (found.on_left, ~found.on_left)), torch.ones_like(found.on_left)
    return {"one_sign": min(one), "both_signs": right_without(both)}


def some_pairs(model: ModelView, seed: int) -> Int[Tensor, " pairs"]:
    """Places in the group's square."""
    every = model.group.order**2
    return subset(every, every if every <= ALL else PAIRS, seed)


def share_right(model: ModelView, some: Int[Tensor, " pairs"], logits: Float[Tensor, "pairs answers"]) -> float:
    plane = model.plane
    whole = model.logits().index_select(0, plane.pairs[some])
    return float(answered(logits, plane.answers[plane.product[some]], of=whole).double().mean())
