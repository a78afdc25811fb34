"""What each operand alone adds to a layer's preactivations: a function on the group a neuron and operand.

In an MLP on two embeddings these are the columns of the first layer. Their cause keeps or removes a part of every
column; means, and what both operands make together, as attention does, stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from detectors.core.errors import Undetermined
from detectors.core.score import Causal
from detectors.core.spectrum import in_turn
from detectors.subjects.operands.controls import CONTROLS, Controls, Edited, Parts
from detectors.subjects.operands.edits import at_answer, cause, elements, of_irreps
from detectors.subjects.operands.effects import effects_before
from detectors.subjects.operands.families import DEAD
from detectors.subjects.operands.once import once
from detectors.subjects.operands.view import ModelView

NULL_COLUMNS = 64  # of the largest weight, for the null: as of neurons
ALONE = 0.1  # of the preactivations' variance: of layers that multiply under 0.01, of trained ones that add over 0.9


class Columns(NamedTuple):
    """values: [n, 2m] about their means, in the order of the elements, those of the left operand first. effect: [2m] of
    a unit of them on the logits.
    """

    layer: int
    values: Float64[Tensor, "n columns"]
    effect: Float64[Tensor, " columns"]

    @property
    def energy(self) -> Float64[Tensor, " columns"]:
        """In the checkpoint's own units."""
        return self.values.square().sum(0)

    @property
    def weight(self) -> Float64[Tensor, " columns"]:
        """Energy in units of what it does to the logits: no scale of a neuron moves it. 0 of dead ones."""
        found = self.energy * self.effect
        live = found > DEAD * found[found > 0].median()  # nowhere where none varies: NaN
        return torch.where(live, found, 0.0)

    @property
    def on_left(self) -> Bool[Tensor, " columns"]:
        """Those of the left operand."""
        return torch.arange(self.values.shape[1]) < self.values.shape[1] // 2

    def strongest(self, at_most: int = NULL_COLUMNS) -> Int[Tensor, " some"]:
        return self.weight.argsort(descending=True, stable=True)[:at_most]


@once
def columns(model: ModelView) -> Columns:
    """Of its only layer with neurons; Undetermined where there are several, or where neither operand adds anything."""
    if len(model.neuron_layers) > 1:
        raise Undetermined(f"its logits are not read off the first of {len(model.neuron_layers)} layers with neurons")
    layer, n = model.neuron_layers[0], model.group.order
    of_a, of_b, power = [], [], 0.0
    for cube in in_turn(model.preactivations(layer), model.grid):
        cube -= cube.mean((1, 2), keepdim=True)
        power += float(cube.square().sum())
        of_a.append(cube.mean(2))
        of_b.append(cube.mean(1))
    values = torch.cat([*of_a, *of_b]).T.contiguous()
    alone = n * float(values.square().sum())
    if alone < ALONE * power:
        raise Undetermined(
            f"what an operand adds by itself is {alone / power:.1%} of what its neurons see, which multiply the two"
        )
    return Columns(layer, values, effects_before(model, layer).double().repeat(2))


def share(of: Float[Tensor, " columns"], where: Tensor) -> float:
    """Of a weight, what lies there; 0 where there is none."""
    return float((of * where).sum() / of.sum().clamp_min(torch.finfo(of.dtype).tiny))


def without(
    model: ModelView, found: Columns, pairs: Int[Tensor, " batch"], out: Float64[Tensor, "n columns"]
) -> Float[Tensor, "batch answers"]:
    """Logits of the pairs with a part of the columns taken out of the preactivations."""
    a, b = elements(model, pairs)
    left, right = out[:, found.on_left].float(), out[:, ~found.on_left].float()
    name = f"blocks.{found.layer}.mlp.hook_pre"
    return at_answer(
        model, pairs, name, lambda some, x: x - left.index_select(0, a[some]) - right.index_select(0, b[some])
    )


def cause_of_columns(
    model: ModelView,
    found: Columns,
    inside: Float64[Tensor, "n columns"],
    others: Callable[[np.random.Generator], Float64[Tensor, "n columns"]],
    dimensions: int,
    *,
    seed: int,
) -> Causal | None:
    """inside: the part of every column that is kept or removed. others: another part of as many dimensions, a control;
    with draws of its own.
    """

    def edited(pairs: Int[Tensor, " batch"], part: Float64[Tensor, "n columns"]) -> Edited:
        def logits(keep: bool) -> Tensor:
            return without(model, found, pairs, found.values - part if keep else part)

        return Edited(logits, float(part.square().sum() / found.energy.sum().clamp_min(torch.finfo(part.dtype).tiny)))

    def elsewhere(pairs: Int[Tensor, " batch"], motif: Parts, rng: np.random.Generator) -> Controls:
        return Controls([edited(pairs, others(rng)) for _ in range(CONTROLS)], dimensions, dimensions)

    # every function on the group, so that none is left for a control among them: columns have parts of their own
    every: Sequence[Tensor] = of_irreps(model.group, range(1, len(model.group.irreps)))
    here = every if dimensions else ()
    return cause(model, here, lambda pairs, _: edited(pairs, inside), seed=seed, elsewhere=elsewhere)
