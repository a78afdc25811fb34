"""Pairs that a network knows since it knows others: images of those under a symmetry of the group.

A lookup may be tied to a symmetry of its table: of a b = c inversion, b^-1 a^-1 = c^-1; translations,
(a g) (g^-1 b) = c; inner automorphisms, conjugates of all three; of abelian groups exchange, b a = c, and powers,
a^k b^k = c^k, k prime to the exponent, negation among them. It answers the images of what it was trained on and not the
others, and no more of either is unseen. One that answers all pairs by a rule knows no image sooner than another.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy.stats import fisher_exact
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.nulls import subset
from detectors.subjects.operands.plane import LogitGrid

APART = 0.5  # in accuracy, of unseen pairs that are images of known ones and of the others
TOLD = 0.1  # of one symmetry among several, whose images are among the others
UNEVEN = 1e-6  # chance that any symmetry is taken for one where right pairs lie at random
ASKED = 4096  # unseen pairs of which it is asked
MOST = 8  # symmetries, each of which alone


class Symmetry(NamedTuple):
    """Takes the pair (a, b) to (left[a], right[b]), or turned to (left[b], right[a]), as elements of the group."""

    left: Int[np.ndarray, " n"]
    right: Int[np.ndarray, " n"]
    turned: bool = False

    def of(self, pairs: Int[Tensor, " pairs"]) -> Int[Tensor, " pairs"]:
        """The pairs, by number, to which it takes these."""
        n = len(self.left)
        a, b = np.divmod(pairs.numpy(), n)[:: -1 if self.turned else 1]
        return torch.from_numpy(self.left[a] * n + self.right[b])


def symmetries(group: Group) -> Iterator[Symmetry]:
    """All of them, and with each the one that undoes it.

    >>> [len(list(symmetries(Group.from_name(name)))) for name in ("C5", "S3")]
    [9, 11]
    """
    table, inverse, n = group.table, group.inverse, group.order
    every, others = np.arange(n), [g for g in range(n) if g != group.identity]
    yield Symmetry(inverse, inverse, turned=True)
    if np.array_equal(table, table.T):
        yield Symmetry(every, every, turned=True)
        exponent, power = int(np.lcm.reduce(group.element_orders)), every
        for k in range(2, exponent):
            power = table[power, every]
            if gcd(k, exponent) == 1:
                yield Symmetry(power, power)
    else:
        for conjugate in (table[table[g], inverse[g]] for g in others):
            yield Symmetry(conjugate, conjugate)
    for g in others:
        yield Symmetry(table[:, g], table[inverse[g]])


def images_known(
    grid: LogitGrid, known: Bool[Tensor, " labelled"]
) -> tuple[Bool[Tensor, " labelled"], tuple[Int[Tensor, " labelled"], ...]]:
    """Which pairs are images of known ones that the network knows too, and where every symmetry of its knowledge takes
    the pairs, the identity and the flip of a symmetric table among them.
    """
    right, usual = grid.each.margin > 0, (grid.everything, grid.flip)
    found, images = known.clone(), list(usual)
    for _ in range(MOST):
        if (symmetry := _most_told(grid.group, right, known, found)) is None:
            break
        image = symmetry.of(grid.everything)
        found |= known[image]
        images += [other[image] for other in usual]
    also = found & ~known
    if not bool(also.any()) or _apart(right[also], right[~found]) < APART:
        return torch.zeros_like(known), usual
    return also, tuple(images)


def _apart(some: Bool[Tensor, " some"], others: Bool[Tensor, " others"]) -> float:
    """Difference of two shares; that of none is 0."""
    shares = [float(side.double().mean()) if len(side) else 0.0 for side in (some, others)]
    return shares[0] - shares[1]


def _most_told(
    group: Group,
    right: Bool[Tensor, " labelled"],
    known: Bool[Tensor, " labelled"],
    found: Bool[Tensor, " labelled"],
) -> Symmetry | None:
    """The symmetry whose images of known pairs stand out most among what is not found yet; None where none does."""
    unknown = torch.nonzero(~found).squeeze(1)
    asked = unknown[subset(len(unknown), ASKED, 0)]
    answered = right[asked]
    if not len(asked) or bool(answered.all()) or not bool(answered.any()):
        return None
    every = list(symmetries(group))

    def standing_out(symmetry: Symmetry) -> float:
        told = known[symmetry.of(asked)]
        apart, share = _apart(answered[told], answered[~told]), float(told.double().mean())
        return apart**2 * share * (1 - share) if apart >= TOLD else 0.0

    best = max(every, key=standing_out)
    told = known[best.of(asked)]
    sides = [[int(side.sum()), int((~side).sum())] for side in (answered[told], answered[~told])]
    chance = len(every) * float(fisher_exact(sides, alternative="greater").pvalue)
    return best if standing_out(best) and chance < UNEVEN else None
