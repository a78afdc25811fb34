"""What becomes of the answers with another activation function, or with the sign of an operand exchanged.

Source: arXiv:2602.16849 for |x| and x^2 in networks that add; arXiv:2312.06581, table 1, for |x| and for signs of the
embeddings in networks that count cosets (published there: both signs 100%, one 0%, |x| 100%).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.activations import activation
from detectors.core.nulls import subset
from detectors.subjects.operands.columns import Columns
from detectors.subjects.operands.edits import elements, with_neurons
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
    before = model.preactivations(layer)[pairs]
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
    pairs, name = model.plane.pairs[some], f"blocks.{found.layer}.mlp.hook_pre"
    a, b = elements(model, pairs)
    left, right = (2 * found.values[a][:, found.on_left]).float(), (2 * found.values[b][:, ~found.on_left]).float()

    def right_without(away: Float[Tensor, "pairs m"]) -> float:
        edit = {name: lambda x: torch.cat([x[:, :-1], x[:, -1:] - away[:, None].to(x.dtype)], dim=1)}
        with torch.no_grad():
            return share_right(model, some, model.run(model.tokens_of(pairs), edit=edit)[0])

    return {"one_sign": min(map(right_without, (left, right))), "both_signs": right_without(left + right)}


def some_pairs(model: ModelView, seed: int) -> Int[Tensor, " pairs"]:
    """Places in the group's square."""
    every = model.group.order**2
    return subset(every, every if every <= ALL else PAIRS, seed)


def share_right(model: ModelView, some: Int[Tensor, " pairs"], logits: Float[Tensor, "pairs answers"]) -> float:
    plane = model.plane
    whole = model.logits()[plane.pairs[some]]
    return float(answered(logits, plane.answers[plane.product[some]], of=whole).double().mean())
