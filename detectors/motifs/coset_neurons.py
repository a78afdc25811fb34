"""Neurons whose operands count by cosets: of the left operand by Hg, of the right by gH, one subgroup H a neuron.

Source: arXiv:2312.06581, section 6 (MLPs on permutations). What each operand adds to a preactivation is a function on
the group; its alignment with a subgroup is the share of its variance that the means over cosets explain, corrected for
chance (`core/subgroups.py`), and its own is the largest over subgroups of index 3 to a third of the order.

Score: mean alignment of the columns, each weighed by what it does to the logits, the cosets of either side
counted, since neurons x R(*a*) y of an irrep R may have an x or a y that a subgroup fixes (arXiv:2410.07476). 0 is what
the same neurons have when they are turned at random within every irrep, which is the null, 1 is constant on cosets. For
chance is high: a few dimensions with a hundred subgroups have one near any direction, and on S5 the published figure,
the share of energy with an alignment of 0.90 or more, is over 0.9 for vectors of the standard irrep that nobody chose.
It is evidence, of the operands' own sides and in the checkpoint's own units.

What fools it: a column constant on cosets of H is so for every subgroup of H, hence ties for the largest. Matrix
entries of an irrep in any basis (mere concentration), the sign, of index 2, and functions with a kernel are constant on
cosets or near it whatever was learnt: turned, they are so too. Half of the neurons may be there and too few for the
answers, which the cause tells. Neurons of noise whose readouts all but cancel, with what
is left over 5% of the logits' squares, weigh by each readout and hide it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.errors import NotApplicable, Undetermined
from detectors.core.nulls import corrected, permutation_null
from detectors.core.registry import FREE, detector
from detectors.core.score import Causal, Score
from detectors.core.spectrum import BUDGET
from detectors.core.subgroups import SIDES, Masks, coset_means, subgroups
from detectors.subjects.operands.columns import NULL_COLUMNS, Columns, cause_of_columns, columns, share
from detectors.subjects.operands.cosets import Best, aligned, best_of, by_order, by_order_turned
from detectors.subjects.operands.swaps import flipped, swapped
from detectors.subjects.operands.view import ModelView

CONSTANT = 0.99  # mean alignment: turned at random within their irreps columns of S4 and of D6 reach 0.97 at most
ALIGNED = 0.90  # the published cut: over 56 networks that generalise 0.984 of the energy or more lie above it
LISTED = 32
SAID = 0.01  # of what the columns do: orders with less are not spoken of
TINY = torch.finfo(torch.float64).tiny


@dataclass(frozen=True, kw_only=True, slots=True)
class CosetNeurons(Score):
    """Evidence. mean_alignment: the statistic; by_chance: that of turned neurons. alignment_above_090: the published
    share of energy, the left operand on Hg and the right on gH, in the checkpoint's own units, `alignment_above_0.90`
    in JSON; sign: the part of it that is the subgroup of index 2's. other_side: the further share, on the other side's
    cosets alone. subgroups: of the published share `{order, index, side, neurons, energy, weight}`, the 32 of most
    energy; side: which operand; weight: their share of what columns do to the logits. interventions: the share of pairs
    right with |*x*| for the activation function (`abs`), and with the sign of one operand's columns exchanged
    (`one_sign`) or of both (`both_signs`); circuits of irreps that count no cosets have the same.
    """

    mean_alignment: float
    by_chance: float
    alignment_above_090: float = field(metadata={"key": "alignment_above_0.90"})
    sign: float
    other_side: float
    subgroups: tuple[Mapping[str, Any], ...]
    interventions: Mapping[str, float]


def clause(score: CosetNeurons) -> str:
    if score.other_side > 0.5:
        return "neurons that count cosets on the other operand's side, as where the operands are exchanged"
    orders: dict[int, float] = {}
    for one in score.subgroups:
        if one["index"] > 2:
            orders[one["order"]] = orders.get(one["order"], 0.0) + one["weight"]
    most = [k for k in sorted(orders, key=lambda k: -orders[k])[:3] if orders[k] >= SAID]
    return f"neurons that count cosets, of subgroups of order {', '.join(map(str, most))}"


@detector(
    needs=("neurons", "preactivations", "non-abelian group", "logits", "run"),
    version=3,
    source="arXiv:2312.06581",
    formula=r"\text{left operand: } f(hg) = f(g) \text{ for } h \in H"
    "\n"
    r"\text{right operand: } f(gh) = f(g)",
    invariant_to=tuple(edit for edit in FREE if edit != "norm_gain"),
    question="how",
    clause=clause,
    order=70,
)
def coset_neurons(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> CosetNeurons:
    """Neurons count by cosets of a subgroup.

    model: a group that is not abelian; preactivations and neurons of its only layer. draws: permutations of the tokens.
    Errors: NotApplicable where no subgroup has an index from 3 to a third of the order, as in dihedral groups of a
    prime; Undetermined where there are several layers, or where its columns are constant on cosets of order 2 alone.

    >>> import detectors, models_zoo
    >>> score = detectors.coset_neurons(models_zoo.coset_network(detectors.Group.from_name("S4"), order=6))
    >>> score.value, {one["order"] for one in score.subgroups}
    (1.0, {6})
    """
    group, found = model.group, columns(model)
    every = subgroups(group, group.order // 2)
    masks = every[every.sum(1) > 2]
    if not (masks.sum(1) * 2 < group.order).any():
        raise NotApplicable(f"{group.name} has no subgroup of an index from 3 to a third of its order")
    to_each = aligned(group, found.values, found.on_left, every)
    strongest = found.strongest(min(NULL_COLUMNS, max(4, BUDGET // (4 * group.order) ** 2)))
    some, on_left, by = (x[..., strongest] for x in (found.values, found.on_left, found.weight))
    drawn = by_order_turned(group, some, on_left, every, draws, seed)
    null, of_two = torch.tensor([[share(by, x) for x in both] for both in drawn], dtype=torch.float64).T
    most, near_two = by_order(group, to_each, every)
    observed, by_chance = share(found.weight, most), float(null.mean())
    if (
        observed < ALIGNED
        and share(found.weight, near_two) >= CONSTANT
        and share(by, near_two[strongest]) > of_two.max()
    ):
        raise Undetermined(
            "its columns are constant on cosets of subgroups of order 2, which this does not judge, since columns of "
            "few irreps lie near those by chance"
        )
    best = best_of(to_each[..., : len(masks)], masks)
    published = best.own >= ALIGNED
    return CosetNeurons(
        value=corrected(observed, by_chance, 1.0),
        null=permutation_null(share(by, most[strongest]), null, "directions within every irrep"),
        causal=_cause(model, found, best, masks, seed),
        mean_alignment=observed,
        by_chance=by_chance,
        alignment_above_090=share(found.energy, published),
        sign=share(found.energy, published & best.own_sign),
        other_side=share(found.energy, (best.either >= ALIGNED) & ~published),
        subgroups=_listed(found, best, masks),
        interventions={"abs": swapped(model, found.layer, seed)["abs"], **flipped(model, found, seed)},
    )


def _listed(found: Columns, best: Best, masks: Masks) -> tuple[Mapping[str, Any], ...]:
    """By the published share: of their own side, in their own units."""
    counts: dict[tuple[int, str], list[int]] = {}
    for i in (best.own >= ALIGNED).nonzero()[:, 0].tolist():
        operand = "left" if bool(found.on_left[i]) else "right"
        counts.setdefault((int(best.own_subgroup[i]), operand), []).append(i)
    energy, weight = (x / x.sum().clamp_min(TINY) for x in (found.energy, found.weight))
    ranked = sorted(counts.items(), key=lambda item: -float(energy[item[1]].sum()))[:LISTED]
    return tuple(
        {
            "order": (order := int(masks[h].sum())),
            "index": masks.shape[1] // order,
            "side": operand,
            "neurons": len(of),
            "energy": float(energy[of].sum()),
            "weight": float(weight[of].sum()),
        }
        for (h, operand), of in ranked
    )


def _cause(model: ModelView, found: Columns, best: Best, masks: Masks, seed: int) -> Causal | None:
    """Coset means of the aligned columns; for a control, means of what is left over random parts of the same sizes."""
    counted = (best.either >= ALIGNED).nonzero()[:, 0]
    on_left = found.on_left[counted] == (best.side[counted] == 0)

    def means(values: Float[Tensor, "n columns"], order: Int[Tensor, " n"]) -> Float[Tensor, "n columns"]:
        inside, back = torch.zeros_like(values), order.argsort()
        for side, of in zip(SIDES, (counted[on_left], counted[~on_left]), strict=True):
            mean = coset_means(model.group, values[order][:, of], masks, best.subgroup[of], side)
            inside[:, of] = mean[back]
        return inside

    dimensions = int((masks.shape[1] // masks.sum(1) - 1)[best.subgroup[counted].numpy()].sum())
    inside = means(found.values, torch.arange(model.group.order))

    def others(rng: np.random.Generator) -> Float[Tensor, "n columns"]:
        return means(found.values - inside, torch.from_numpy(rng.permutation(model.group.order)))

    return cause_of_columns(model, found, inside, others, dimensions, seed=seed)
