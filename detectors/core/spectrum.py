"""Power of embeddings, neurons and logits over the isotypic blocks of a group.

Everything is float64. The trivial block (the mean) is left out of every share, so `irreps` below counts
`group.irreps[1:]`, and the chance share of a block is dimension / (order - 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from detectors.core.device import accelerated
from detectors.core.groups import Group

# Doubles of working memory per chunk (32 MB): one function of the pairs of the largest group, MAX_ORDER**2, so that a
# chunk of one fits always.
BUDGET = 2**22
# Doubles that a core has at hand (2 MB): what reads every number a few times, as spectra of neurons do, takes half the
# time in such chunks that it takes in those of BUDGET, and half as long again in chunks of a quarter.
CACHE = 2**18
ALIKE = 1e-6  # of the largest: float32 activations on two machines differ by 1e-7


def chance_shares(group: Group) -> Tensor:
    """[irreps] share of the power that white noise puts in each non-trivial block."""
    return torch.tensor([i.dimension / (group.order - 1) for i in group.irreps[1:]], dtype=torch.float64)


def weighted_gini(power: Tensor, weight: Tensor) -> Tensor:
    """Gini coefficient of power [..., irreps] per unit of weight [irreps]: 0 proportional, 1 concentrated.

    One minus twice the area under the Lorenz curve, whose abscissa is cumulated weight. All power in one
    block of weight w gives 1 - w. Zero power gives 0. With equal weights it is the ordinary coefficient.

    >>> weighted_gini(torch.tensor([0.0, 0.0, 0.0, 1.0]), torch.full((4,), 0.25)).item()
    0.75
    """
    order = (power / weight).argsort(dim=-1)
    w = weight.expand_as(power).gather(-1, order)
    share = power.gather(-1, order) / power.sum(-1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    lorenz = share.cumsum(-1)
    gini = 1 - (w * (2 * lorenz - share)).sum(-1) / weight.sum()
    return torch.where(power.sum(-1) > 0, gini, 0.0)


def ranked(values: Float[Tensor, " irreps"]) -> list[int]:
    """Places of values that are not negative, the largest first; those that differ by a millionth of the largest, as
    equal ones do by rounding, in their own order.

    >>> ranked(torch.tensor([0.2, 0.5, 0.5 + 1e-7]))
    [1, 2, 0]
    """
    steps = (values / values.max().clamp_min(torch.finfo(values.dtype).tiny) / ALIKE).round()
    return steps.argsort(descending=True, stable=True).tolist()


def block_power(group: Group, rows: Tensor) -> Tensor:
    """[irreps] power of rows [n, d] (one row a group element) in each non-trivial block."""
    coefficients = torch.from_numpy(group.basis).T @ rows.double()
    per_column = coefficients.square().sum(1)
    return torch.stack([per_column[s].sum() for s in group.slices[1:]])


@accelerated
def permuted_block_power(group: Group, rows: Tensor, permutations: Tensor) -> Tensor:
    """[draws, irreps] `block_power` of rows[perm] for each perm, from the Gram matrix K = rows rows^T.

    The power in a block is the sum over g of e(g) r(g), where r(g) sums K over the pairs with a^-1 b = g.
    """
    centred = rows.double() - rows.double().mean(0)
    gram = centred @ centred.T
    along = torch.from_numpy(group.table)  # [a, g] -> a*g
    r = torch.empty(len(permutations), group.order, dtype=torch.float64)
    for each, perm in zip(r, permutations, strict=True):
        each.copy_(gram.index_select(0, perm).index_select(1, perm).gather(1, along).sum(0))
    power: Tensor = (r @ torch.from_numpy(group.idempotents[1:]).T).clamp_min(0)
    return power


def family_power(group: Group, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Power of functions of (a, b) in the families {trivial, irrep} x {trivial, irrep}.

    grid: [m, n, n]. Returns the total power about the mean [m] and the power in each family, the mean
    left out, [m, irreps]. For a frequency k: cos and sin of a, of b, and their four products.
    Source: the neuron fit of arXiv:2301.05217, section 4 (eight terms), by irreps as in arXiv:2302.03025.
    """
    grid = grid.double()
    total = (grid - grid.mean((1, 2), keepdim=True)).square().sum((1, 2))
    return total, waves(grid).family if group.is_cyclic else _basis_family(group, grid)


class Waves(NamedTuple):
    """Coefficients [m, k] of functions of (a, b), each the mean over all pairs times exp(-i ...), of frequencies 1 to
    n // 2: in wa, in wb, in w(a + b) and in w(a - b). size: n.
    """

    of_a: Tensor
    of_b: Tensor
    along: Tensor
    against: Tensor
    size: int

    @property
    def family(self) -> Tensor:
        """[m, k] power over the pairs, in all four."""
        n, k = self.size, torch.arange(1, self.size // 2 + 1)
        half = 2 * k == n  # where w(a - b) is w(a + b); a real signal holds every other frequency twice
        both = torch.where(half, 1.0, 2.0).double()
        of_a, of_b, along, against = (x.abs().square() for x in self[:4])
        return n**2 * both * (of_a + of_b + along + torch.where(half, 0.0, against))

    def times(self, units: Tensor) -> Waves:
        """Of functions that are each multiplied by a number [m]."""
        by = units[:, None]
        return Waves(self.of_a * by, self.of_b * by, self.along * by, self.against * by, self.size)


def waves(grid: Tensor) -> Waves:
    """Of functions [m, n, n] on the pairs of a cyclic group, float64: of their sums over the pairs of one a, b, a + b
    and a - b, a third of the time of the plane's whole transform.
    """
    m, n = grid.shape[:2]
    twice = torch.cat([grid, grid], 2)  # [m, a, b], where b goes round twice: so diagonals are rows of other strides
    along = twice.as_strided((m, n, n), (2 * n * n, 2 * n - 1, 1), n).sum(1)
    against = twice.as_strided((m, n, n), (2 * n * n, 2 * n + 1, 1)).sum(1)
    of_a, of_b, along, against = (
        torch.fft.rfft(sums)[:, 1 : n // 2 + 1] / n**2 for sums in (grid.sum(2), grid.sum(1), along, against)
    )
    return Waves(of_a, of_b, along, against.conj(), n)


def _basis_family(group: Group, grid: Tensor) -> Tensor:
    basis = torch.from_numpy(group.basis)
    left = basis.T @ grid  # [m, coefficient of a, b]
    columns = [(left[:, s] @ basis[:, s]).square().sum((1, 2)) for s in group.slices[1:]]
    of_b = (left[:, 0] @ basis).square()
    of_a = (left @ basis[:, 0]).square()
    alone = torch.stack([of_a[:, s].sum(1) + of_b[:, s].sum(1) for s in group.slices[1:]], dim=1)
    return alone + torch.stack(columns, dim=1)


def low_rank(cube: Tensor, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Factors u, v [n, rank, m] with cube[m, a, b] near the sum over r of u[a, r, m] v[b, r, m].

    Two rounds of randomised subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4).
    """
    n = cube.shape[-1]
    start = torch.randn(n, min(rank, n), generator=generator, dtype=cube.dtype)
    q = torch.linalg.qr(cube @ start).Q
    for _ in range(2):
        q = torch.linalg.qr(cube @ (cube.mT @ q)).Q
    return q.permute(1, 2, 0).contiguous(), (cube.mT @ q).permute(1, 2, 0).contiguous()


def factored_family_power(group: Group, u: Tensor, v: Tensor, place: Tensor) -> Tensor:
    """[m, irreps] `family_power` of what u and v [n, rank, m] are factors of, with row i of both at place[i]."""
    basis = torch.from_numpy(group.basis)[place].T
    left, right = ((basis @ x.flatten(1)).unflatten(1, x.shape[1:]) for x in (u, v))  # [coefficient, rank, m]
    alone = (left * right[:1]).sum(1).square() + (left[:1] * right).sum(1).square()
    parts, blocks = [], group.slices[1:]
    for d, several in groupby(range(len(blocks)), lambda i: group.irreps[i + 1].dimension):
        of = list(several)
        of_a, of_b, of_both = (
            x[blocks[of[0]].start : blocks[of[-1]].stop].unflatten(0, (len(of), d)) for x in (left, right, alone)
        )
        if d > 2 * u.shape[1]:  # from the inner products of the factors, in rank^2 d steps for rank d^2
            power = _inner(of_a).mul_(_inner(of_b)).sum((1, 2))
        else:
            power = (of_a[:, :, None] * of_b[:, None]).sum(3).square().sum((1, 2))
        parts.append(power + of_both.sum(1))
    return torch.cat(parts).T


def _inner(factor: Tensor) -> Tensor:
    """[blocks, rank, rank, m] inner products over d of the columns of a factor [blocks, d, rank, m]."""
    return (factor[:, :, :, None] * factor[:, :, None]).sum(1)


def grid_neurons(neurons: Tensor, grid: Tensor) -> Tensor:
    """[m, n, n] neurons [pairs, m] over the group's grid [n, n] of pair indices."""
    n, flat = len(grid), grid.reshape(-1)
    rows = neurons if torch.equal(flat, torch.arange(len(neurons))) else neurons[flat]
    return rows.T.contiguous().reshape(-1, n, n)


def in_turn(neurons: Tensor, grid: Tensor) -> Iterator[Tensor]:
    """[some, n, n] all `grid_neurons`, a few at a time, float64 and never a view of them."""
    of_memory, of_cache = (max(1, size // grid.numel()) for size in (BUDGET, CACHE))
    for many in neurons.split(of_memory, dim=1):
        for few in grid_neurons(many, grid).split(of_cache):
            yield few.to(torch.float64, copy=True)
