"""Neurons whose operands are functions of one irrep each: f in the span of the matrix entries of one representation.

Source: arXiv:2312.06581, section 5, and arXiv:2310.06110, theorem 9 (each neuron of a network of maximal margin lies in
one irrep). What each operand adds to a preactivation is a function on the group; its purity is the largest share of its
power about the mean in the span of one irrep.

Score: mean purity of the columns, each weighed by what it does to the logits, corrected for chance: an irrep of
dimension d has d^2 of the order's directions for itself, so the best of several is high in small groups. 0 is what
tokens in random order reach, 1 every column in one irrep. Null: one permutation of the tokens for both operands.

What fools it: purity is neither cosets nor a circuit; a network that learnt the sign alone is pure, which the cause
tells. Functions of cosets of a small subgroup lie in several irreps. A code with harmonics, as a square wave has, is of
one frequency and not of one irrep. Rank one, x ρ(*a*) y, is a further property, and its share is evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.device import accelerated
from detectors.core.groups import Group
from detectors.core.irreps import rank_one_share
from detectors.core.nulls import corrected, permutation_null, permutations
from detectors.core.registry import FREE, detector
from detectors.core.score import Causal, Score
from detectors.core.spectrum import ranked
from detectors.core.turns import random_frame
from detectors.subjects.operands.columns import NULL_COLUMNS, Columns, cause_of_columns, columns, share
from detectors.subjects.operands.view import ModelView

TINY = torch.finfo(torch.float64).tiny
PURE = 0.90  # the published cut
RANK_ONE = 0.999  # the published share of rank one, which dihedral networks reach with all their pure energy


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleIrrepNeurons(Score):
    """Evidence. purity_above_090: the published share of the energy of first-layer columns, in the checkpoint's own
    units, `purity_above_0.90` in JSON. irreps: those that are some pure column's, most weight first, with their share
    of the weight and number of columns (parallel). mean_purity: the statistic. rank_one_above_0999: of the energy of
    at most 64 pure columns, that of rank one to 0.999, `rank_one_above_0.999` in JSON; None where none is pure.
    """

    irreps: tuple[str, ...]
    weight: tuple[float, ...]
    neurons: tuple[int, ...]
    mean_purity: float
    purity_above_090: float = field(metadata={"key": "purity_above_0.90"})
    rank_one_above_0999: float | None = field(metadata={"key": "rank_one_above_0.999"})


def clause(score: SingleIrrepNeurons) -> str:
    """Without their names, which other motifs say of the whole network."""
    return f"{sum(score.weight):.0%} of what its first layer does in neurons of one irrep each"


@detector(
    needs=("neurons", "preactivations", "group", "logits", "run"),
    version=3,
    source="arXiv:2312.06581",
    formula=r"f(g) = \operatorname{tr}(A\, R(g))"
    "\n"
    r"\text{of one irrep } R \text{ a neuron and operand}",
    invariant_to=FREE,
    question="how",
    parallel=("irreps", "weight", "neurons"),
    clause=clause,
    order=80,
)
def single_irrep_neurons(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> SingleIrrepNeurons:
    """Each neuron's operands are functions of one irrep.

    model: any group; preactivations and neurons of its only layer. draws: permutations of the tokens. Errors:
    NotApplicable where the task has no group; Undetermined where there are several layers.

    >>> import detectors, models_zoo
    >>> score = detectors.single_irrep_neurons(models_zoo.representation_network(detectors.Group.from_name("A5"), 12))
    >>> round(score.value, 6), score.irreps
    (1.0, ('standard',))
    """
    group, found = model.group, columns(model)
    power = _power(group, found.values)
    best, energy, weight = power.max(1), found.energy, found.weight
    purity = best.values / energy.clamp_min(TINY)
    strongest = found.strongest(NULL_COLUMNS)
    some, by = found.values[:, strongest], weight[strongest] / energy[strongest].clamp_min(TINY)

    def statistic(order: Int[Tensor, " n"]) -> float:
        return float((_power(group, some[order]).amax(1) * by).sum() / weight[strongest].sum().clamp_min(TINY))

    null = torch.tensor([statistic(order) for order in permutations(group.order, draws, seed)], dtype=torch.float64)
    pure = purity >= PURE
    names = [irrep.name for irrep in group.irreps[1:]]
    by_irrep = torch.zeros(len(names), dtype=weight.dtype)
    by_irrep.index_add_(0, best.indices, torch.where(pure, weight, 0.0) / weight.sum().clamp_min(TINY))
    main = [i for i in ranked(by_irrep) if by_irrep[i] > 0]
    mean = share(weight, purity)
    return SingleIrrepNeurons(
        value=corrected(mean, float(null.mean()), 1.0),
        null=permutation_null(statistic(torch.arange(group.order)), null, "tokens of the strongest neurons"),
        causal=_cause(model, found, best.indices, seed),
        irreps=tuple(names[i] for i in main),
        weight=tuple(by_irrep[main].tolist()),
        neurons=tuple(int((pure & (weight > 0) & (best.indices == i)).sum()) for i in main),
        mean_purity=mean,
        purity_above_090=share(energy, pure),
        rank_one_above_0999=_rank_one(group, found, pure, best.indices),
    )


@accelerated
def _power(group: Group, values: Float[Tensor, "n columns"]) -> Float[Tensor, "columns irreps"]:
    """Of the irreps but the trivial one."""
    squares = (torch.from_numpy(group.basis).T @ values).square()[1:]
    dimensions = torch.tensor([i.dimension for i in group.irreps[1:]])
    irrep = torch.arange(len(dimensions)).repeat_interleave(dimensions)
    return values.new_zeros(len(dimensions), values.shape[1]).index_add_(0, irrep, squares).T


def _rank_one(group: Group, found: Columns, pure: Tensor, irrep: Int[Tensor, " columns"]) -> float | None:
    some = [i for i in found.strongest(found.values.shape[1]).tolist() if pure[i]][:NULL_COLUMNS]
    if not some:
        return None
    shares = [rank_one_share(group, found.values[:, i], int(irrep[i]) + 1) for i in some]
    return share(found.energy[some], torch.tensor(shares) >= RANK_ONE)


def _cause(model: ModelView, found: Columns, irrep: Int[Tensor, " columns"], seed: int) -> Causal | None:
    """Every column's own irrep; for a control, as many random directions of what is left."""
    basis = torch.from_numpy(model.group.basis)
    blocks = torch.zeros(basis.shape[1], found.values.shape[1], dtype=torch.bool)
    for i, block in enumerate(model.group.slices[1:]):
        blocks[block] = irrep == i
    inside = basis @ ((basis.T @ found.values) * blocks)

    def others(rng: np.random.Generator) -> Float[Tensor, "n columns"]:
        turn = random_frame(rng, *basis.shape)
        return turn @ ((turn.T @ (found.values - inside)) * blocks)

    return cause_of_columns(model, found, inside, others, int(blocks.sum()), seed=seed)
