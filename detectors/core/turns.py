"""Functions on a group, turned at random within their irreps: what structure is left of is the irreps' own.

A function x rho(g) y of an irrep has a direction x on the left and y on the right. Convolution from the left with an
orthogonal element u of the group algebra turns x to rho(u) x, and from the right y; ranks and the power of every irrep
stay. u is Haar: the polar factor of a normal element, which is a normal matrix in every irrep.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from detectors.core.groups import Group

WORDS = 8  # elements on each side: a draw is a product of two, so 3,136 draws, each Haar, any two all but independent


def random_frame(rng: np.random.Generator, rows: int, columns: int) -> Float64[Tensor, "rows columns"]:
    """Orthonormal columns, from normal ones. By torch, whose threads the caller has chosen: numpy's own are as many as
    the machine has cores, and where those are busy a factorisation of 113 rows took 300 ms in place of 1.
    """
    return torch.linalg.qr(torch.from_numpy(rng.standard_normal((rows, columns)))).Q


def turned(group: Group, functions: Float64[Tensor, "n m"], draws: int, seed: int) -> Iterator[Float64[Tensor, "n m"]]:
    """One turn for all functions a draw.

    >>> g = Group.from_name("S3")
    >>> f = torch.arange(6.0, dtype=torch.float64)[:, None]
    >>> found = next(turned(g, f, 1, 0))
    >>> power = lambda x: [round((x.T @ torch.from_numpy(g.projector(irrep)) @ x).item(), 4) for irrep in g.irreps]
    >>> power(f) == power(found), torch.allclose(f, found)
    (True, False)
    """
    rng = np.random.default_rng(seed)
    # products a^-1 b commute with translations from the left, a b^-1 with those from the right
    left, right = (
        [_orthogonal(group, table, rng) for _ in range(WORDS)]
        for table in (group.table[:, group.inverse], group.quotient)
    )
    for _ in range(draws):
        (a, b), (c, d) = (rng.choice(WORDS, 2, replace=False) for _ in range(2))
        yield left[a] @ (left[b] @ (right[c] @ (right[d] @ functions)))


def _orthogonal(group: Group, table: np.ndarray, rng: np.random.Generator) -> Float[Tensor, "n n"]:
    """The matrix of a convolution: entries depend on table[a, b] alone."""
    basis = torch.from_numpy(group.basis)
    matrix = torch.from_numpy(rng.standard_normal(group.order)[table]) @ basis
    found = torch.zeros_like(matrix)
    for block in group.slices:
        u, _, v = torch.linalg.svd(basis[:, block].T @ matrix[:, block])
        found[:, block] = basis[:, block] @ (u @ v)
    return found @ basis.T
