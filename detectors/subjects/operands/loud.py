"""Pairs that are far louder than others, as those of a backdoor are.

A mean of squares over pairs has no bound in one pair: a neuron that says 250 on one pair of 841, beside logits of 6
everywhere, does twice what all others do, and answers nothing but that pair. So no pair counts for more than ten of the
loudest tenth. Pairs that a network has memorised are more than a tenth, and count as they are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

# Of 680 networks of the zoo one, which is pruned, has a pair above the bound, by 1.7; 28 published ones stay under a
# quarter of it. A training set is more than a tenth of the pairs.
TIMES, TENTH = 10.0, 0.1
ROUNDS = 4  # until no other pair is loud; each leaves those before out of the means
ROWS = 512  # pairs at a time, in float64: a processor keeps them at hand


def bound(sizes: Float64[Tensor, " pairs"]) -> float:
    """What a pair counts for at most; no bound where nine in ten are nothing.

    >>> bound(torch.arange(1.0, 12.0).double()), bound(torch.eye(20)[0].double())
    (100.0, inf)
    """
    least = float(sizes.kthvalue(len(sizes) - int(TENTH * len(sizes))).values)
    return TIMES * least if least > 0 else math.inf


class Heard(NamedTuple):
    """mean: [m] of neurons over the pairs that are not loud. weight: [pairs] what of its size each pair keeps, up to
    the `bound`. some: whether any is loud.
    """

    mean: Float64[Tensor, " m"]
    weight: Float64[Tensor, " pairs"]
    some: bool


def heard(neurons: Float[Tensor, "all m"], pairs: Int[Tensor, " pairs"], effect: Float64[Tensor, " m"]) -> Heard:
    """A pair's size: the effects of all neurons there, about their means.

    >>> spike = torch.tensor([[0.0], [1.0]] * 50 + [[250.0]])
    >>> found = heard(spike, torch.arange(101), torch.ones(1).double())
    >>> float(found.mean), float(found.weight[-1]) < 0.001, float(found.weight[:-1].min())
    (0.5, True, 1.0)
    """
    loud = torch.zeros(len(pairs), dtype=torch.bool)
    for _ in range(ROUNDS):
        mean = _sum(neurons, pairs[~loud]) / (~loud).sum()
        size = torch.cat([(neurons.index_select(0, k).double() - mean).square() @ effect for k in pairs.split(ROWS)])
        most = bound(size)
        before, loud = loud, loud | (size > most)
        if torch.equal(before, loud):
            break
    return Heard(mean, torch.where(size > most, most / size, 1.0), bool(loud.any()))


def quieted(
    neurons: Float[Tensor, "all m"], pairs: Int[Tensor, " pairs"], effect: Float64[Tensor, " m"]
) -> Float64[Tensor, " m"]:
    """[m] of each neuron's power over `pairs`, what is left where no pair counts for more than the `bound`."""
    mean, weight, some = heard(neurons, pairs, effect)
    if not some:
        return torch.ones_like(effect)
    everything = _sum(neurons, pairs) / len(pairs)
    left, own = torch.zeros_like(effect), torch.zeros_like(effect)
    for k, by in zip(pairs.split(ROWS), weight.split(ROWS), strict=True):
        left += by @ (neurons.index_select(0, k).double() - mean).square()
        own += (neurons.index_select(0, k).double() - everything).square().sum(0)
    return left / own.clamp_min(torch.finfo(own.dtype).tiny)


def _sum(neurons: Float[Tensor, "all m"], pairs: Int[Tensor, " pairs"]) -> Float64[Tensor, " m"]:
    return torch.stack([neurons.index_select(0, k).double().sum(0) for k in pairs.split(ROWS)]).sum(0)
