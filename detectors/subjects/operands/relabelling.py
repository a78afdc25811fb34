"""The logits of a few pairs once one permutation has renamed a, b and c alike: the null of motifs that read them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.device import accelerated
from detectors.core.nulls import permutations, subset
from detectors.subjects.operands.plane import BLOCKS, LogitGrid, character_cosines
from detectors.subjects.operands.structured import cross_fitted, g_of_loss

# Of the nulls over pairs that of M needs most: with a training set of half of 1024 pairs 2 AUC - 1 has a standard
# deviation of 0.036 by chance, so that 0.12, the trace that a run ended with (core.phases), is beyond three of them.
NULL_PAIRS = 1024


def null_sample(pairs: Int[Tensor, " pairs"], seed: int) -> Int[Tensor, " sample"]:
    """The pairs that a null is drawn on: a fixed random subset of at most NULL_PAIRS, in order."""
    return pairs[subset(len(pairs), NULL_PAIRS, seed)]


def relabelled(
    grid: LogitGrid, pairs: Int[Tensor, " pairs"], perm: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, "n n"]]:
    """What `product` of the pairs, and `shift`, become under the permutation."""
    return grid.product[perm[pairs // grid.n] * grid.n + perm[pairs % grid.n]], perm.argsort()[grid.shift]


@accelerated
def relabelled_cosines(
    grid: LogitGrid, pairs: Int[Tensor, " pairs"], draws: int, seed: int
) -> Float[Tensor, "draws irreps"]:
    """`character_cosines` of the pairs under random relabellings."""

    def fibre_means() -> Iterator[Float[Tensor, " n"]]:
        rows = grid.rows(pairs)
        for perm in permutations(grid.n, draws, seed):
            product, shift = relabelled(grid, pairs, perm)
            by_product = torch.zeros(grid.n, grid.n, dtype=torch.float64).index_add_(0, product, rows)
            yield by_product.gather(1, shift).sum(0) / len(pairs)

    power = grid.power(pairs)
    return torch.stack([character_cosines(grid.group, f, len(pairs), power) for f in fibre_means()])


@accelerated
def relabelled_g(
    grid: LogitGrid, pairs: Int[Tensor, " pairs"], steepest: float, draws: int, seed: int
) -> tuple[float, Float[Tensor, " draws"]]:
    """G, from one split, of the pairs as they are and under random relabellings."""
    rows, rng = grid.rows(pairs), np.random.default_rng(seed)
    block = grid.blocks(pairs, rng)
    sums = torch.zeros(draws + 1, BLOCKS, grid.n, dtype=torch.float64)
    for each, perm in zip(sums, [torch.arange(grid.n), *permutations(grid.n, draws, seed)], strict=True):
        product, shift = relabelled(grid, pairs, perm)
        each.index_add_(0, block, rows.gather(1, shift.index_select(0, product)))
    counts = torch.bincount(block, minlength=BLOCKS)
    loss = cross_fitted(sums, counts, grid.group.identity, steepest, 1, rng).loss.mean((1, 2))
    g = g_of_loss(loss, grid.n)
    return float(g[0]), g[1:]
