"""The idealised circuit of a network on a group: logits f(a^-1 c b^-1), a sum over irreps, and the parts of the readout
that it is measured through.

Activations are what each operand adds on its own, and a rest, xi. A neuron's readout is taken in the irreps where its
rest says most for the price, C B', and what is left of it, W, is known by its norm alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from detectors.certificate.frames import Frame, frame
from detectors.certificate.layers import Layers
from detectors.core.groups import Group

SAMPLED = 5  # of so many tokens one: the circuit is fitted to their pairs. Another one is as sound, and proves less
KEY = 0.02  # of the energy: irreps of less are bounded together
FITTED = 0.999  # of the energy: what is left then costs less by its norm

Tokens = Int[np.ndarray, " some"]


@dataclass(frozen=True)
class Block:
    """An irrep, and the neurons read in it. ideal: its part of f. turned: coefficients of c -> f(a^-1 c), by a."""

    neurons: Int[np.ndarray, " some"]
    frame: Frame
    coefficients: Float[np.ndarray, "some d"]
    ideal: Float[np.ndarray, " n"]
    turned: Float[np.ndarray, "n d"]
    key: bool

    @property
    def basis(self) -> Float[np.ndarray, "n d"]:
        return self.frame.basis

    def ideal_of(self, rows: Tokens) -> Float[np.ndarray, "some n d"]:
        """Coefficients of c -> f(a^-1 c b^-1), of some a and all b."""
        parts = zip(np.split(self.turned[rows], self.frame.cuts, axis=1), self.frame.turns, strict=True)
        return np.concatenate([np.tensordot(part, turn, (1, 2)) for part, turn in parts], axis=2)

    @property
    def error(self) -> float:
        """How far the function of these may be from f(a^-1 c b^-1), for any a, b and c."""
        return float(4 * np.linalg.norm(self.ideal) * self.frame.error)

    @property
    def each(self) -> int:
        """Operations a pair: the readout, f in its frame, their difference, its norm and what it gives the answer."""
        return self.coefficients.size + self.frame.operations + 3 * self.frame.dimension


@dataclass(frozen=True)
class Circuit:
    """alone: what the left and the right operand add by themselves. left: W. scale: powers of two that even out the
    neurons, xi divided by them and W times them. operations: of all this, from the weights.
    """

    alone: tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "n m"]]
    blocks: tuple[Block, ...]
    left: Float[np.ndarray, "m n"]
    scale: Float[np.ndarray, " m"]
    operations: int

    @property
    def ideal(self) -> Float[np.ndarray, " n"]:
        """The logits f by g = a^-1 c b^-1."""
        n = self.left.shape[1]
        return np.sum([np.zeros(n), *(block.ideal for block in self.blocks)], axis=0)

    @property
    def keys(self) -> list[Block]:
        return [block for block in self.blocks if block.key]

    @property
    def key_basis(self) -> Float[np.ndarray, "n dimensions"]:
        n = self.left.shape[1]
        return np.concatenate([np.zeros((n, 0)), *(block.basis for block in self.keys)], axis=1)


def circuit_of(layers: Layers, allowance: float, seed: int = 0) -> Circuit:
    """Fitted to some pairs, of tokens drawn by `seed`. allowance: operations a pair, for bounding it in norms."""
    n, m = layers.left.shape
    alone, group = _alone(layers.left, layers.right), layers.group
    rng = np.random.default_rng(seed)
    a, b = (rng.choice(n, n // SAMPLED + 1, replace=False) for _ in range(2))
    xi = np.maximum(layers.left[a][:, None] + layers.right[b], 0.0) - alone[0][a][:, None] - alone[1][b]
    power = np.square(xi).mean((0, 1))
    left = layers.readout - layers.readout.mean(1)[:, None]
    spectrum = np.square(left @ group.basis)
    energy = np.stack([spectrum[:, s].sum(1) for s in group.slices[1:]], axis=1) * power[:, None]
    key = energy.sum(0) >= KEY * energy.sum()
    read, blocks = _affordable(layers, energy, key, allowance), []
    for k in np.flatnonzero(read.any(0)):
        neurons = np.flatnonzero(read[:, k])
        blocks.append(_block(group, frame(group, int(k) + 1), neurons, left, xi, (a, b), bool(key[k])))
        left[neurons] -= blocks[-1].coefficients @ blocks[-1].basis.T
    cells, dimensions = (sum(getattr(x, y).size for x in blocks) for y in ("coefficients", "turned"))
    sorting = 2 * n * m * (2 * int(np.ceil(np.log2(n))) + 6)
    fitting = len(a) * len(b) * (5 * m + sum(block.each for block in blocks)) + len(a) * n * dimensions // n
    reading = n * m * (n + 6) + 2 * n * cells + n * dimensions
    scale = _scale(power, np.square(left).mean(1))
    return Circuit(alone, tuple(blocks), left, scale, sorting + fitting + reading)


def _alone(
    left: Float[np.ndarray, "n m"], right: Float[np.ndarray, "n m"]
) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "n m"]]:
    """Means of the activations over the other operand, half of the mean over both taken from each."""
    means = [_means(left, right), _means(right, left)]
    both = means[0].mean(0) / 2
    return means[0] - both, means[1] - both


def _means(own: Float[np.ndarray, "n m"], other: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """Of relu(own[x] + other[y]) over y, by sums of sorted columns: n log n operations instead of n^2."""
    falling = np.sort(-other, axis=0)
    sums = np.concatenate([np.zeros((1, own.shape[1])), np.cumsum(falling, axis=0)])
    counts = np.stack([np.searchsorted(f, x) for f, x in zip(falling.T, own.T, strict=True)], axis=1)
    return (counts * own - np.take_along_axis(sums, counts, axis=0)) / len(other)


def _affordable(
    layers: Layers, energy: Float[np.ndarray, "m irreps"], key: Bool[np.ndarray, " irreps"], allowance: float
) -> Bool[np.ndarray, "m irreps"]:
    """Which neurons are read in which irreps, those of most energy an operation first."""
    group, m = layers.group, len(energy)
    dimensions = np.array([i.dimension for i in group.irreps[1:]])
    gain = (energy / dimensions).ravel()
    ranked = np.argsort(-gain, kind="stable")
    ranked = ranked[gain[ranked] > 0]
    gains = energy.ravel()[ranked]
    ranked = ranked[np.cumsum(gains) - gains <= FITTED * energy.sum()]
    of = ranked % len(dimensions)
    first = np.zeros(len(ranked), dtype=bool)
    first[np.unique(of, return_index=True)[1]] = True  # where an irrep is read at all, f is turned in it
    opening = 1.5 * dimensions**1.5 + 3 * dimensions + np.where(key, 2 * layers.kinds.max() + 2, 0)
    prices = np.cumsum(dimensions[of] + first * opening[of])
    read = np.zeros(energy.size, dtype=bool)
    read[ranked[prices <= allowance - 6 * m - 2 * layers.kinds.max() - 16]] = True
    return read.reshape(energy.shape)


def _block(
    group: Group,
    found: Frame,
    neurons: Int[np.ndarray, " some"],
    readout: Float[np.ndarray, "m n"],
    xi: Float[np.ndarray, "lefts rights m"],
    tokens: tuple[Tokens, Tokens],
    key: bool,
) -> Block:
    """f is the mean over the pairs of what the neurons give a g b, as a function of g."""
    a, b = tokens
    basis = found.basis
    coefficients = readout[neurons] @ basis
    read = np.split(xi[:, :, neurons] @ coefficients, found.cuts, axis=2)
    turns = [turn[group.inverse[b]] for turn in found.turns]
    by_left = [np.einsum("abj,bij->ai", part, turn) for part, turn in zip(read, turns, strict=True)]
    values = np.concatenate(by_left, axis=1) @ basis.T / len(b)
    ideal = basis @ (basis.T @ np.take_along_axis(values, group.table[a], axis=1).mean(0))
    return Block(neurons, found, coefficients, ideal, ideal[group.quotient] @ basis, key)


def _scale(power: Float[np.ndarray, " m"], left: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Powers of two near the fourth root of the ratio, with which the product of the two norms is about least."""
    floor = 1e-9
    ratio = (power + floor * power.max(initial=0.0)) / np.maximum(left + floor * left.max(initial=0.0), 1e-300)
    return np.exp2(np.round(np.log2(np.clip(ratio, 1e-80, 1e80)) / 4))
