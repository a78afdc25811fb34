"""What the removal of a motif is compared with: random directions of its complement.

As many as the motif has or, down to half of that, as there are; several draws. The functions on a small group are few,
and a circuit may use most of them. Neurons are functions of both operands, n * n of them, and those of a circuit lie in
the families {constant, irrep} x {constant, irrep}: products of two different irreps are left to draw from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.turns import random_frame

CONTROLS = 3  # draws of random directions: their spread is known to half of itself, at the cost of one more each

# A subspace of the functions on the group, in parts: orthonormal columns [n, d], one part an irrep.
Parts = Sequence[Float[Tensor, "n _"]]


class Edited(NamedTuple):
    """Logits [batch, answers] with only a subspace kept, or with it removed; the share of the power that it holds."""

    logits: Callable[[bool], Tensor]
    power: float


class Controls(NamedTuple):
    """Draws of other directions removed, empty where there are too few; dimensions of the motif and of each draw."""

    draws: list[Edited]
    dimensions: int
    control_dimensions: int


Intervention = Callable[[Int[Tensor, " batch"], Parts], Edited]
Elsewhere = Callable[[Int[Tensor, " batch"], Parts, np.random.Generator], Controls]


def controls(
    pairs: Int[Tensor, " batch"],
    motif: Parts,
    intervene: Intervention,
    elsewhere: Elsewhere | None,
    rng: np.random.Generator,
) -> Controls:
    """Among the functions on the group, or elsewhere where those that the motif leaves are too few."""
    directions = random_parts(motif, rng)
    if not directions and elsewhere is not None:
        return elsewhere(pairs, motif, rng)
    own, others = (sum(part.shape[1] for part in parts) for parts in (motif, directions[0] if directions else ()))
    return Controls([intervene(pairs, parts) for parts in directions], own, others)


def random_parts(motif: Parts, rng: np.random.Generator) -> list[Parts]:
    """Draws of random directions outside a subspace and the constant, in parts of its sizes; of half of its dimensions
    at the least, and none where the complement is smaller.
    """
    inside = torch.cat([torch.ones(len(motif[0]), 1, dtype=torch.float64), *motif], dim=1)
    wanted = inside.shape[1] - 1
    complement = torch.linalg.qr(inside, mode="complete").Q[:, wanted + 1 :]
    available = min(complement.shape[1], wanted)
    if 2 * available < wanted or not wanted:
        return []
    sizes = [part.shape[1] for part in motif]
    draws: list[Parts] = []
    for _ in range(CONTROLS):
        turn = random_frame(rng, complement.shape[1], available)
        parts = (complement @ turn).split([*_capped(sizes, available)], dim=1)
        draws.append([part for part in parts if part.shape[1]])
    return draws


def _capped(sizes: Sequence[int], total: int) -> list[int]:
    """The sizes in order until their sum is the total, the last one cut."""
    ends = np.minimum(np.cumsum(sizes), total)
    return [int(size) for size in np.diff(ends, prepend=0)]


class Along(NamedTuple):
    """What m functions have along a subspace: at pairs (a, b) [batch], as [batch, m], and the power of it."""

    at: Callable[[Tensor, Tensor], Tensor]
    power: float


def other_products(
    functions: Float[Tensor, "n n m"], rng: np.random.Generator, motif: Parts
) -> tuple[list[Along], int, int]:
    """Draws of random functions of both operands outside the motif's families, and the dimensions of the motif and of
    each draw.

    A draw is a random set of products u_i(a) v_j(b) of two bases that are turned at random within every part and
    outside of them all, so that the families of the motif, which it leaves out, stay what they are.
    """
    n = len(functions)
    label = np.repeat(np.arange(len(motif) + 2), [1, *(part.shape[1] for part in motif), n])[:n]
    inside = _families(label, len(motif))
    free = np.argwhere(~inside & (np.add.outer(label, label) > 0))
    wanted = int(inside.sum())
    taken = min(wanted, len(free))
    if 2 * taken < wanted or not wanted:
        return [], wanted, 0

    def one() -> Along:
        left, right = _turned(motif, rng), _turned(motif, rng)
        chosen = torch.zeros(n, n, dtype=functions.dtype)
        chosen[tuple(free[rng.permutation(len(free))[:taken]].T)] = 1
        turned = torch.einsum("ai,abm,bj->ijm", left, functions, right) * chosen[..., None]
        return Along(
            lambda a, b: torch.einsum("pi,ijm,pj->pm", left[a], turned, right[b]), float(turned.square().sum())
        )

    return [one() for _ in range(CONTROLS)], wanted, taken


def _families(label: np.ndarray, parts: int) -> Bool[np.ndarray, "n n"]:
    """Products of the constant (0) and one part (1..), which are the motif's."""
    inside = np.zeros((len(label),) * 2, dtype=bool)
    for part in range(1, parts + 1):
        of = (label == 0) | (label == part)
        inside |= np.outer(of, of)
    inside[0, 0] = False
    return inside


def _turned(motif: Parts, rng: np.random.Generator) -> Float[Tensor, "n n"]:
    """An orthonormal basis: the constant, every part turned within itself, and all that is outside of them, turned."""
    n = len(motif[0])
    inside = torch.cat([torch.full((n, 1), n**-0.5, dtype=torch.float64), *motif], dim=1)
    outside = torch.linalg.qr(inside, mode="complete").Q[:, inside.shape[1] :]
    turns = (block @ random_frame(rng, block.shape[1], block.shape[1]) for block in (*motif, outside))
    return torch.cat([inside[:, :1], *turns], dim=1)
