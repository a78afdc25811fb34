"""Neurons that multiply sines and cosines: N(a, b) = sum of f(a) g(b) with f, g in {1, cos(wa), sin(wa)}, one w each.

Source: arXiv:2301.05217, section 4.2 (neurons fitted by degree-two polynomials of one frequency);
arXiv:2302.03025, section 4 (any group: the span of the matrix entries of one irrep in a and in b).

Score: 0 is what neurons over tokens in random order reach, 1 every neuron in one family. A neuron's share is
the largest part of its power about the mean in one family {trivial, irrep} x {trivial, irrep}; the statistic is
its mean over live neurons weighted by their power. Null: one permutation of the tokens for both operands, on
a rank-six approximation of the 64 neurons of largest power, a choice that does not depend on the labels.

What fools it: a readout shuffled over neurons leaves every neuron pure (no cause can then be shown). Dead neurons
have no share and are counted apart. The best of many families is high by chance in small groups, which the
null corrects. A ReLU's second harmonic, or a square's, is outside its family: see `with_harmonic`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.irreps import named
from detectors.core.nulls import carriers, corrected, key_cut, permutation_null, permutations
from detectors.core.registry import FREE, detector
from detectors.core.score import Score, for_picture
from detectors.core.spectrum import BUDGET, factored_family_power, family_power, grid_neurons, low_rank
from detectors.subjects.operands.edits import cause, edit_neurons
from detectors.subjects.operands.view import ModelView

NULL_NEURONS, NULL_RANK = 64, 6  # a neuron of one irrep has few large singular values
DEAD = 1e-6  # of the median power
DRAWN, SIDE = 5000, 128  # neurons, and elements of an operand, that a picture can show


@dataclass(frozen=True, kw_only=True, slots=True)
class Neurons:
    """The live neurons, strongest first and at most DRAWN: number, name of the best irrep, its share of their power. An
    example, the strongest of the irrep that most have, about its mean, and its projection on that irrep's family.
    """

    numbers: tuple[int, ...]
    irreps: tuple[str, ...]
    shares: tuple[float, ...]
    example: int
    values: Float[np.ndarray, "a b"]
    fit: Float[np.ndarray, "a b"]
    fit_share: float
    order: int
    relabelled: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TrigProductNeurons(Score):
    """Evidence. Lists are parallel, strongest irrep first, unless said.

    irreps: those that are some live neuron's best. dimensions: of their blocks. neurons_per_irrep: how many
    neurons. power: share of all neurons' power that lies in the family of their own best irrep. key_cuts: the
    share that chance passes in 1 draw of 100. key_irreps: those above their cut, and frequencies: their integers,
    for cyclic and dihedral groups (not parallel). mean_share: the statistic. share_above_085: of live neurons, the
    published figure, `share_above_0.85` in JSON. live, dead: counts. with_harmonic: the statistic with the family of
    2k pooled in (cyclic groups; else None).
    """

    irreps: tuple[str, ...]
    dimensions: tuple[int, ...]
    neurons_per_irrep: tuple[int, ...]
    power: tuple[float, ...]
    key_irreps: tuple[str, ...]
    frequencies: tuple[int, ...]
    key_cuts: tuple[float, ...]
    mean_share: float
    share_above_085: float = field(metadata={"key": "share_above_0.85"})
    live: int
    dead: int
    with_harmonic: float | None
    neurons: Neurons | None = for_picture()


@detector(
    needs=("neurons", "group", "logits", "run"),
    version=1,
    source="arXiv:2301.05217",
    formula="*N*(*a*, *b*) = Σ *f*(*a*) *g*(*b*), with *f*, *g* ∈ {1, cos *wa*, sin *wa*}, one *w* a neuron; of any "
    "group: matrix entries of one irrep",
    invariant_to=FREE,
    chose="key_irreps",
    carrier="neurons",
    order=20,
)
def trig_product_neurons(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> TrigProductNeurons:
    """Each neuron is a product of functions of one irrep.

    model: neurons() [pairs, m], after the activation function, at the answer position. draws: permutations of
    the tokens. Errors: NotApplicable where the task has no group; MissingPart where there are no neurons.

    A square neuron (cos wa + cos wb)^2 holds 1/5 of its power in cos 2wa and cos 2wb:

    >>> import detectors, models_zoo
    >>> score = detectors.trig_product_neurons(models_zoo.trig_mlp(p=11, frequencies=(3,), act_fn="square"))
    >>> score.frequencies, round(score.mean_share, 6), round(score.with_harmonic, 6)
    ((3,), 0.8, 1.0)
    """
    group = model.group
    neurons, grid = model.neurons(), model.grid
    total, power = _all_families(group, neurons, grid)
    live = total > DEAD * total[total > 0].median() if bool((total > 0).any()) else total > 0
    best = power.argmax(1)
    statistic, shares = _summary(total[live], power[live])
    top = total.argsort(descending=True, stable=True)[: min(int(live.sum()), NULL_NEURONS)]
    observed, null, null_shares = _permuted(group, grid_neurons(neurons, grid, top), draws, seed)
    cut = key_cut(null_shares)
    ranked = [i for i in shares.argsort(descending=True, stable=True).tolist() if shares[i] > 0]
    count = Counter(best[live].tolist())
    purity = power[live].amax(1) / total[live]
    return TrigProductNeurons(
        value=corrected(statistic, float(null.mean()), 1.0),
        null=permutation_null(observed, null, f"tokens of {len(top)} neurons"),
        causal=cause(model, [i + 1 for i in carriers(shares, null_shares)], edit_neurons(model), seed=seed),
        **named(group, ranked, [i for i in ranked if shares[i] > cut[i]]),
        neurons_per_irrep=tuple(count[i] for i in ranked),
        power=tuple(shares[ranked].tolist()),
        key_cuts=tuple(cut[ranked].tolist()),
        mean_share=statistic,
        share_above_085=float((purity >= 0.85).double().mean()) if len(purity) else 0.0,
        live=int(live.sum()),
        dead=int((~live).sum()),
        with_harmonic=_with_harmonic(group, total[live], power[live]),
        neurons=_for_picture(model, total, power, live),
    )


def _for_picture(
    model: ModelView, total: Float[Tensor, " m"], power: Float[Tensor, "m irreps"], live: Bool[Tensor, " m"]
) -> Neurons | None:
    group, chosen = model.group, total.argsort(descending=True, stable=True)[: min(int(live.sum()), DRAWN)]
    if not len(chosen):
        return None
    best = power[chosen].max(1)
    names = [group.irreps[i + 1].name for i in best.indices.tolist()]
    most = names.index(max(dict.fromkeys(names), key=names.count))
    neuron = grid_neurons(model.neurons(), model.grid, chosen[most : most + 1])[0].double()
    neuron = neuron - neuron.mean()
    block = torch.from_numpy(group.basis)[:, group.slices[int(best.indices[most]) + 1]]
    q = torch.cat([torch.full((group.order, 1), group.order**-0.5, dtype=torch.float64), block], dim=1)
    fit = q @ (q.T @ neuron @ q) @ q.T
    return Neurons(
        numbers=tuple(chosen.tolist()),
        irreps=tuple(names),
        shares=tuple((best.values / total[chosen]).tolist()),
        example=int(chosen[most]),
        values=neuron[:SIDE, :SIDE].numpy(),
        fit=fit[:SIDE, :SIDE].numpy(),
        fit_share=float(fit.square().sum() / neuron.square().sum()),
        order=group.order,
        relabelled=not all(np.array_equal(t, np.arange(group.order)) for t in (model.labels.left, model.labels.right)),
    )


def _all_families(group: Group, neurons: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Total power [m] and family power [m, irreps] of all neurons, some at a time."""
    size = max(1, BUDGET // group.order**2)
    parts = [
        family_power(group, grid_neurons(neurons, grid, columns))
        for columns in torch.arange(neurons.shape[1]).split(size)
    ]
    return torch.cat([t for t, _ in parts]), torch.cat([p for _, p in parts])


def _summary(total: Tensor, power: Tensor) -> tuple[float, Tensor]:
    """Power-weighted mean of the largest share, and per irrep [irreps] what its own neurons contribute to it."""
    best = power.max(1)
    everything = total.sum().clamp_min(torch.finfo(total.dtype).tiny)
    shares = torch.zeros(power.shape[1], dtype=total.dtype).index_add_(0, best.indices, best.values / everything)
    return float(shares.sum()), shares


def _permuted(group: Group, cube: Tensor, draws: int, seed: int) -> tuple[float, Tensor, Tensor]:
    """Observed statistic of a few neurons [m, n, n], and under permutations its values and the irreps' shares."""
    if not len(cube):
        return (
            0.0,
            torch.zeros(draws, dtype=torch.float64),
            torch.zeros(draws, len(group.irreps) - 1, dtype=torch.float64),
        )
    cube = cube.double() - cube.double().mean((1, 2), keepdim=True)
    u, v = low_rank(cube, NULL_RANK, torch.Generator().manual_seed(seed))
    total = torch.einsum("ams,amr,bms,bmr->m", u, u, v, v)
    observed, _ = _summary(total, factored_family_power(group, u, v))
    null = [
        _summary(total, factored_family_power(group, u[perm], v[perm]))
        for perm in permutations(group.order, draws, seed)
    ]
    return observed, torch.tensor([t for t, _ in null], dtype=torch.float64), torch.stack([s for _, s in null])


def _with_harmonic(group: Group, total: Tensor, power: Tensor) -> float | None:
    """The statistic when a neuron of frequency k may also use 2k (the square's and the ReLU's harmonic)."""
    if not group.is_cyclic:
        return None
    n = group.order
    k = torch.arange(1, n // 2 + 1)
    double = torch.minimum(2 * k % n, n - 2 * k % n) % n
    pooled = power + torch.where((double > 0) & (double != k), power[:, (double - 1).clamp_min(0)], 0.0)
    return _summary(total, pooled)[0]
