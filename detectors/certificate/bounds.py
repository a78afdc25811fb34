"""Which pairs are proved: the idealised margin against the deviations of each pair, first in norms, then one by one.

Of a pair with answer r, and any other answer c = a g b, the difference of the two logits is

    [main effects] + f(1) - f(g) + sum over irreps of (xi C - f)(B_r - B_c) + xi (W_r - W_c)

All of r is computed, and of c the products are bounded by norms (Cauchy and Schwarz): the last one always, the others
at first. Every lower bound is held against `slack`, which is more than rounding may have moved it by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from detectors.certificate.circuit import Block, Circuit
from detectors.certificate.layers import Layers
from detectors.certificate.rounding import gamma

WIDER = 1 + 1e-9  # of norms: more than the relative error of any here


@dataclass(frozen=True)
class Tables:
    """What all pairs share. alone: what either operand gives the answers by itself. left_over: |W_c|. gaps: by kind of
    g, the least f(1) - f(g). along, across: by key irrep and kind, B_c is along B_r + a vector across it, of at most
    that length. minor: |B_c| of all other irreps together. size: of the absolute values of what is summed.
    """

    alone: tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]
    left_over: Float[np.ndarray, " n"]
    gaps: Float[np.ndarray, " kinds"]
    along: Float[np.ndarray, "keys kinds"]
    across: Float[np.ndarray, "keys kinds"]
    minor: float
    size: float
    slack: float
    operations: int


@dataclass(frozen=True)
class Deviations:
    """Of some left operands with all right ones. read: xi C - f in the key irreps. of_answer: what each of them gives
    the right answer, and of_rest the other irreps and W; across: the length of what a key irrep has across that. minor,
    left: the lengths of the other irreps and of xi.
    """

    rows: Int[np.ndarray, " rows"]
    read: Float[np.ndarray, "rows n dimensions"]
    of_answer: Float[np.ndarray, "rows n keys"]
    of_rest: Float[np.ndarray, "rows n"]
    across: Float[np.ndarray, "rows n keys"]
    minor: Float[np.ndarray, "rows n"]
    left: Float[np.ndarray, "rows n"]


def tables(layers: Layers, circuit: Circuit) -> Tables:
    """What is the same of all pairs."""
    n, m = layers.left.shape
    left, right = (of @ layers.readout for of in circuit.alone)
    sides = [_sides(block, layers) for block in circuit.keys]
    minor = [np.square(block.basis).sum(1) for block in circuit.blocks if not block.key]
    total, slack = _slack(layers, circuit)
    kinds = (-1, layers.kinds.max() + 1)
    return Tables(
        alone=(left + layers.bias, right),
        left_over=np.linalg.norm(circuit.left * circuit.scale[:, None], axis=0) * WIDER,
        gaps=-_most(circuit.ideal - circuit.ideal[layers.group.identity], layers.kinds),
        along=np.reshape([side[0] for side in sides], kinds),
        across=np.reshape([side[1] for side in sides], kinds),
        minor=float(np.sqrt(np.sum(minor, axis=0).max()) * WIDER) if minor else 0.0,
        size=total,
        slack=slack + total * sum(side[2] for side in sides),
        operations=2 * n * n * m + 4 * n * m,
    )


def _sides(block: Block, layers: Layers) -> tuple[Float[np.ndarray, " kinds"], Float[np.ndarray, " kinds"], float]:
    """along and across, and how far what is across may be from it, in units of B_r."""
    gram, of = block.basis @ block.basis.T, layers.kinds[layers.group.quotient]
    own = np.diag(gram)[:, None]
    along = np.bincount(of.ravel(), gram.ravel()) / np.bincount(of.ravel()) / own.mean()
    square = own.T - 2 * along[of] * gram + np.square(along[of]) * own
    across = np.sqrt(np.maximum(_most(square, of), 0.0) + 64 * gamma(len(own)) * own.max()) * WIDER
    off = np.abs(gram - along[of] * own).max() / np.sqrt(own.min()) + 8 * gamma(len(own))
    return along, across, float(off)


def _most(values: np.ndarray, kinds: np.ndarray) -> Float[np.ndarray, " kinds"]:
    found = np.full(kinds.max() + 1, -np.inf)
    np.maximum.at(found, kinds.ravel(), values.ravel())
    return found


def _slack(layers: Layers, circuit: Circuit) -> tuple[float, float]:
    """What rounding here, and in the network's own float32, may move a difference of two logits by; after the sum of
    the absolute values of what is summed.

    Whatever is compared is a sum of at most `terms` products, whose absolute values add up to at most 16 times `total`
    and 8 times more for every irrep: xi, C, B and W are none larger than what they are made of.
    """
    readout = 1.01 * np.linalg.norm(layers.readout, axis=1)
    most = 2 * layers.size + sum(np.abs(of).max(0) for of in circuit.alone)
    ideal = sum(np.linalg.norm(block.ideal) for block in circuit.blocks)
    total = float(most @ (4 * readout) + np.abs(layers.bias).max() + ideal)
    terms = layers.terms + len(layers.left) + sum(block.frame.dimension for block in circuit.blocks) + 64
    rounding = gamma(terms) * (16 + 8 * len(circuit.blocks)) * total
    return total, layers.slack + rounding + 2 * sum(block.error for block in circuit.blocks)


def deviations(layers: Layers, circuit: Circuit, rows: Int[np.ndarray, " rows"]) -> Deviations:
    """Of the pairs of some left operands with all right ones."""
    rest = _rest(layers, circuit, rows)
    answer = layers.group.table[rows]
    of_rest, minor = np.zeros(answer.shape), np.zeros(answer.shape)
    for xi, weight in zip(rest, circuit.left * circuit.scale[:, None], strict=True):
        of_rest += xi * weight[answer]
    read, of_answer, across = [], [], []
    for block in circuit.blocks:
        away = _read(block, circuit, rest) - block.ideal_of(rows)
        square, value = np.square(away).sum(2), np.einsum("abi,abi->ab", away, block.basis[answer])
        if block.key:
            own = np.square(block.basis).sum(1).max()
            read.append(away)
            of_answer.append(value)
            across.append(np.sqrt(np.maximum(square - np.square(value) / own, 0.0) + 1e-12 * square))
        else:
            minor += square
            of_rest += value
    none = np.zeros((*answer.shape, 0))
    return Deviations(
        rows=rows,
        read=np.concatenate([none, *read], axis=2),
        of_answer=np.stack(of_answer, axis=2) if read else none,
        of_rest=of_rest,
        across=np.stack(across, axis=2) * WIDER if read else none,
        minor=np.sqrt(minor) * WIDER,
        left=np.sqrt(np.einsum("man,man->an", rest, rest)) * WIDER,
    )


def _rest(layers: Layers, circuit: Circuit, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "m rows n"]:
    """xi over the scale: relu(P + Q) - alone, as the larger of P + Q - alone and -alone."""
    left, right, of_left, of_right = (x / circuit.scale for x in (layers.left, layers.right, *circuit.alone))
    active = (left - of_left)[rows].T[:, :, None] + (right - of_right).T[:, None, :]
    return np.maximum(active, -of_left[rows].T[:, :, None] - of_right.T[:, None, :])


def _read(block: Block, circuit: Circuit, rest: Float[np.ndarray, "m rows n"]) -> Float[np.ndarray, "rows n d"]:
    some = rest[block.neurons].reshape(len(block.neurons), -1)
    found = some.T @ (block.coefficients * circuit.scale[block.neurons, None])
    return found.reshape(*rest.shape[1:], -1)


def in_norms(layers: Layers, shared: Tables, found: Deviations) -> Float[np.ndarray, "rows n kinds"]:
    """A lower bound of the difference to the answers of each kind, where nothing else is known of them."""
    lower = shared.gaps + _of_irreps(shared, found)
    lower += (found.of_rest - found.minor * shared.minor + _at_worst(layers, shared, found))[:, :, None]
    lower[:, :, layers.kinds[layers.group.identity]] = np.inf  # the right answer itself
    return lower


def parts(layers: Layers, shared: Tables, found: Deviations) -> dict[str, Float[np.ndarray, "rows n"]]:
    """What each part of the deviation takes off the idealised margin at most, in norms, at the worst kind of it."""
    left = found.left * shared.left_over.max()
    others = np.delete(_of_irreps(shared, found), layers.kinds[layers.group.identity], axis=2)
    return {
        "of one operand": -_at_worst(layers, shared, found) - left,
        "of the key irreps": -others.min(2),
        "of other irreps": found.minor * shared.minor,
        "not read": left - found.of_rest,
    }


def _of_irreps(shared: Tables, found: Deviations) -> Float[np.ndarray, "rows n kinds"]:
    lower: Float[np.ndarray, "rows n kinds"]
    lower = found.of_answer @ (1 - shared.along) - found.across @ shared.across
    return lower


def _at_worst(layers: Layers, shared: Tables, found: Deviations) -> Float[np.ndarray, "rows n"]:
    """What each operand alone, and W, give the right answer more than the one that they favour most."""
    answer = layers.group.table[found.rows]
    left, right = (of - of.max(1)[:, None] for of in shared.alone)
    alone: Float[np.ndarray, "rows n"]
    alone = left[found.rows[:, None], answer] + right[np.arange(len(right)), answer]
    return alone - found.left * shared.left_over.max()


def one_by_one(
    layers: Layers,
    circuit: Circuit,
    shared: Tables,
    found: Deviations,
    lower: Float[np.ndarray, "pairs kinds"],
    pairs: tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]],
) -> tuple[Bool[np.ndarray, " pairs"], int]:
    """Which of some pairs are proved once f and what each operand gives alone are taken as they are, and where that is
    too little, the key irreps; and the operations. lower: what is known of them, by kind. pairs: row and column.
    """
    table, kinds, identity = layers.group.table, layers.kinds, layers.group.identity
    which, g = np.nonzero(~(lower > shared.slack)[:, kinds])
    row, b = pairs[0][which], pairs[1][which]
    a = found.rows[row]
    right, other = table[a, b], table[table[a, g], b]
    of_left, of_right = shared.alone
    exact = of_left[a, right] - of_left[a, other] + of_right[b, right] - of_right[b, other]
    exact += circuit.ideal[identity] - circuit.ideal[g] - found.left[row, b] * shared.left_over[other]
    at_worst = shared.gaps[kinds[g]] + _at_worst(layers, shared, found)[row, b]
    still = ~(lower[which, kinds[g]] + (exact - at_worst) > shared.slack)
    operations = FIRST * len(which)
    which, other, row, b, exact = (x[still] for x in (which, other, row, b, exact))
    exact += (found.of_rest + found.of_answer.sum(2) - found.minor * shared.minor)[row, b]
    exact -= np.matmul(found.read[pairs], circuit.key_basis.T)[which, other]
    operations += len(which) * second(circuit)
    proved = np.ones(len(pairs[0]), dtype=bool)
    proved[which[~(exact > shared.slack)]] = False
    return proved, operations


FIRST = 10  # operations an answer, of `one_by_one`


def second(circuit: Circuit) -> int:
    """As many again where the key irreps are needed."""
    return circuit.key_basis.shape[1] + 3
