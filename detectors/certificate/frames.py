"""Bases of the irreps of a group in which a shift of the answers is a small matrix. Facts of the group, of no network.

A shift from the left commutes with one from the right, so the eigenspaces of a generic symmetric sum of the former are
kept by the latter: of an irrep of degree d its d*d dimensions fall into d spaces of d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from detectors.certificate.rounding import gamma
from detectors.core.groups import Group
from detectors.core.spectrum import BUDGET


@dataclass(frozen=True)
class Frame:
    """turns: for each space, by b, what f(c) -> f(c b^-1) does to its coefficients. error: the most that these, and
    shifts from the left, are off by in any answer, for coefficients of length 1.
    """

    basis: Float[np.ndarray, "n d"]
    turns: tuple[Float[np.ndarray, "n e e"], ...]
    error: float

    @property
    def dimension(self) -> int:
        return self.basis.shape[1]

    @property
    def operations(self) -> int:
        """Of one turn."""
        return sum(turn.shape[1] ** 2 for turn in self.turns)

    @property
    def cuts(self) -> list[int]:
        """Where in the coefficients a space ends and the next begins."""
        return list(np.cumsum([turn.shape[1] for turn in self.turns])[:-1])


def frame(group: Group, irrep: int, seed: int = 0) -> Frame:
    """irrep: an index into `group.irreps`."""
    basis = group.basis[:, group.slices[irrep]]
    weight = np.random.default_rng(seed).standard_normal(group.order)
    generic = (weight + weight[group.inverse])[group.table[:, group.inverse]]
    values, vectors = np.linalg.eigh(basis.T @ generic @ basis)
    cuts = np.flatnonzero(np.diff(values) > 1e-6 * np.abs(values).max()) + 1
    spaces = np.split(basis @ vectors, cuts, axis=1)
    whole = np.concatenate(spaces, axis=1)
    turns, errors = zip(*(_shifts(space, group.table[:, group.inverse].T) for space in spaces), strict=True)
    from_left = _shifts(whole, group.table)[1]
    return Frame(whole, turns, float(from_left + np.linalg.norm(errors) + gamma(64 * whole.size)))


def _shifts(
    space: Float[np.ndarray, "n e"], moved: Int[np.ndarray, "shifts n"]
) -> tuple[Float[np.ndarray, "shifts e e"], float]:
    """Every shift as a matrix on coefficients, and the most that it is off by in any answer, whatever the space is.

    moved: by shift, where each answer takes its value from.
    """
    matrices, off = [], 0.0
    for some in np.array_split(moved, -(-moved.size * space.shape[1] // BUDGET)):
        shifted = space[some]
        matrices.append(space.T @ shifted)
        off = max(off, float(np.linalg.norm(shifted - space @ matrices[-1], axis=2).max()))
    return np.concatenate(matrices), off
