"""Bases of the irreps of a group in which a shift of the answers is a small matrix. Facts of the group, of no network.

A shift from the left commutes with one from the right, so the eigenspaces of a generic symmetric sum of the former are
kept by the latter: of an irrep of degree d its d*d dimensions fall into d spaces of d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from detectors.certificate.rounding import gamma
from detectors.core.groups import Group


@dataclass(frozen=True)
class Frame:
    """turns: for each space, by b, what f(c) -> f(c b^-1) does to its coefficients. error: the most that it is off by
    in any answer, for coefficients of length 1.
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
    from_left = (weight + weight[group.inverse])[group.table[:, group.inverse]]
    values, vectors = np.linalg.eigh(basis.T @ from_left @ basis)
    cuts = np.flatnonzero(np.diff(values) > 1e-6 * np.abs(values).max()) + 1
    spaces = np.split(basis @ vectors, cuts, axis=1)
    turns, errors = zip(*(_turns(group, space) for space in spaces), strict=True)
    whole = np.concatenate(spaces, axis=1)
    left = max(_off(whole[of_a], whole) for of_a in group.table)
    return Frame(whole, turns, float(left + np.linalg.norm(errors) + gamma(64 * whole.size)))


def _turns(group: Group, space: Float[np.ndarray, "n e"]) -> tuple[Float[np.ndarray, "n e e"], float]:
    """With the error that is left, which is what holds however the space was found."""
    shifted = [space[group.table[:, b]] for b in group.inverse]
    return np.stack([space.T @ one for one in shifted]), max(_off(one, space) for one in shifted)


def _off(shifted: Float[np.ndarray, "n e"], space: Float[np.ndarray, "n e"]) -> float:
    """How far from a span its functions go by a shift, in any answer."""
    return float(np.linalg.norm(shifted - space @ (space.T @ shifted), axis=1).max())
