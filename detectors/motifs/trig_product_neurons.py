"""Neurons that multiply sines and cosines: N(a, b) = sum of f(a) g(b) with f, g in {1, cos(wa), sin(wa)}, one w each.

Source: arXiv:2301.05217, section 4 (neurons fitted by sines and cosines of one frequency); arXiv:2302.03025,
section 4 (any group: the span of the matrix entries of one irrep in a and in b).

Score: 0 is what neurons over tokens in random order reach, 1 every neuron in one family. A neuron's share is the
largest part of its power about the mean in one family {trivial, irrep} x {trivial, irrep}; the statistic is its mean
over live neurons weighted by their power. Null: one permutation of the tokens for both operands, on a rank-six
approximation of the 64 neurons of largest power, a choice that does not depend on the labels.

What fools it: a readout shuffled over neurons leaves every neuron pure (no cause can then be shown). Dead neurons have
no share and are counted apart. The best of many families is high by chance in small groups, which the null corrects. A
ReLU's second harmonic, or a square's, is outside its family: see `with_harmonic`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import mode

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.irreps import named, with_doubles, within_family
from detectors.core.nulls import carriers, corrected, permutation_null, permutations
from detectors.core.registry import FREE, detector
from detectors.core.score import Score, for_picture
from detectors.core.spectrum import BUDGET, factored_family_power, family_power, grid_neurons, low_rank
from detectors.subjects.operands.edits import cause, edit_neurons
from detectors.subjects.operands.view import ModelView

# In eleven networks of the zoo 64 neurons have the null mean of all, up to 512, within 0.005, at 10% to 65% of the
# time; 8 within 0.012. In all that were trained rank 6 keeps 97.6% or more of their power, 3, that of a family, 95.4%.
NULL_NEURONS, NULL_RANK = 64, 6
DEAD = 1e-6  # of the median power: half the neurons have more, so that all the dead together hold under a millionth
EXPLAINED = 0.85  # the share above which arXiv:2301.05217 counts a neuron
# Operands of the papers' largest groups but S6, of order 122, are whole; a dot has three numbers: no more than a map.
SIDE, DRAWN = 128, 5000


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

    irreps: those that are some live neuron's best. dimensions: of their blocks. neurons_per_irrep: how many neurons.
    power: share of all neurons' power that lies in the family of their own best irrep. key_cuts: the shares of which
    chance passes any in 1 draw of 100. key_irreps: those above their cut, and frequencies: their integers, for cyclic
    and dihedral groups (not parallel). mean_share: the statistic. share_above_085: of live neurons, the published
    figure, `share_above_0.85` in JSON. live, dead: counts. with_harmonic: the statistic with the family of 2k pooled in
    (cyclic groups; else None).
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
    group, neurons, grid = model.group, model.neurons(), model.grid
    some = torch.arange(neurons.shape[1]).split(max(1, BUDGET // group.order**2))
    families = (family_power(group, grid_neurons(neurons, grid, columns)) for columns in some)
    total, power = (torch.cat(parts) for parts in zip(*families, strict=True))
    live = total > DEAD * total[total > 0].median()  # nowhere where none varies: NaN
    strongest = total.argsort(descending=True, stable=True)[: int(live.sum())]
    top, best = strongest[:NULL_NEURONS], power[live].max(1)
    mean_share, shares = _summary(total[live], power[live])
    observed, null, null_shares = _permuted(group, grid_neurons(neurons, grid, top), draws, seed)
    ranked = [i for i in shares.argsort(descending=True, stable=True).tolist() if shares[i] > 0]
    return TrigProductNeurons(
        value=corrected(mean_share, float(null.mean()), 1.0),
        null=permutation_null(observed, null, f"tokens of {len(top)} neurons"),
        causal=cause(model, [i + 1 for i in carriers(shares, null_shares)], edit_neurons(model), seed=seed),
        **named(group, ranked, shares, null_shares),
        neurons_per_irrep=tuple(best.indices.bincount()[ranked].tolist()),
        power=tuple(shares[ranked].tolist()),
        mean_share=mean_share,
        share_above_085=int((best.values / total[live] >= EXPLAINED).sum()) / max(len(strongest), 1),
        live=len(strongest),
        dead=len(total) - len(strongest),
        with_harmonic=_summary(total[live], with_doubles(group, power[live]))[0] if group.is_cyclic else None,
        neurons=_for_picture(model, total, power, strongest[:DRAWN]),
    )


def _for_picture(
    model: ModelView, total: Float[Tensor, " m"], power: Float[Tensor, "m irreps"], drawn: Int[Tensor, " drawn"]
) -> Neurons | None:
    if not len(drawn):
        return None
    group, best = model.group, power[drawn].max(1)
    names = [group.irreps[i + 1].name for i in best.indices.tolist()]
    most = names.index(mode(names))
    neuron = grid_neurons(model.neurons(), model.grid, drawn[most : most + 1])[0].double()
    neuron = neuron - neuron.mean()
    fit = within_family(group, neuron, int(best.indices[most]) + 1)
    return Neurons(
        numbers=tuple(drawn.tolist()),
        irreps=tuple(names),
        shares=tuple((best.values / total[drawn]).tolist()),
        example=int(drawn[most]),
        values=neuron[:SIDE, :SIDE].numpy(),
        fit=fit[:SIDE, :SIDE].numpy(),
        fit_share=float(fit.square().sum() / neuron.square().sum()),
        order=group.order,
        relabelled=not all(np.array_equal(t, np.arange(group.order)) for t in (model.labels.left, model.labels.right)),
    )


def _summary(total: Float[Tensor, " m"], power: Float[Tensor, "m irreps"]) -> tuple[float, Float[Tensor, " irreps"]]:
    """Power-weighted mean of the largest share, and what each irrep's own neurons contribute to it."""
    best, everything = power.max(1), total.sum().clamp_min(torch.finfo(total.dtype).tiny)
    shares = torch.zeros(power.shape[1], dtype=total.dtype).index_add_(0, best.indices, best.values / everything)
    return float(shares.sum()), shares


def _permuted(
    group: Group, cube: Float[Tensor, "m n n"], draws: int, seed: int
) -> tuple[float, Float[Tensor, " draws"], Float[Tensor, "draws irreps"]]:
    """Observed statistic of a few neurons, and under permutations its values and the irreps' shares."""
    cube = cube.double() - cube.double().mean((1, 2), keepdim=True)
    u, v = low_rank(cube, NULL_RANK, torch.Generator().manual_seed(seed))
    total = torch.einsum("ams,amr,bms,bmr->m", u, u, v, v)
    orders = [torch.arange(group.order), *permutations(group.order, draws, seed)]
    means, shares = zip(*(_summary(total, factored_family_power(group, u[k], v[k])) for k in orders), strict=True)
    return means[0], torch.tensor(means[1:], dtype=torch.float64), torch.stack(shares[1:])
