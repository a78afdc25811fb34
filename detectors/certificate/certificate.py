"""A certificate: a lower bound of a network's accuracy that follows from its circuit, without a pass over all pairs.

Source: arXiv:2410.07476, whose bound holds a network against a circuit of rho-sets; this one holds it against its own
projection on functions of a^-1 c b^-1, and measures what is left irrep by irrep. docs/certificate.md has the proof.
"""

from __future__ import annotations

import time

import numpy as np
from jaxtyping import Bool, Float

from detectors.certificate.bounds import (
    FIRST,
    Deviations,
    Tables,
    deviations,
    in_norms,
    one_by_one,
    parts,
    second,
    tables,
)
from detectors.certificate.circuit import Circuit, circuit_of
from detectors.certificate.layers import Layers, layers_of
from detectors.core.figures import Certificate
from detectors.core.spectrum import BUDGET
from detectors.subjects.operands.view import ModelView

SHARE = 0.3  # of the operations of a pass over all pairs: published bounds took 29% of its time (arXiv:2410.07476)
IN_NORMS = 0.6  # of those, for what is bounded in norms; of published S5 networks 0.5 leaves two of six under 0.95
AT_ONCE = 500  # pairs, taken one by one
LEAST, MOST = 1e-100, 1e30  # sizes beyond which products underflow, or overflow in float32: nothing is proved there


def certify(model: ModelView, *, share: float = SHARE, seed: int = 0) -> Certificate:
    """A lower bound of the accuracy over all pairs, sound whatever the weights are.

    model: two embeddings, one hidden layer of ReLU and a linear readout, on a task that is a group. share: of the
    operations of a pass over all pairs, the most that may be used. seed: of the pairs that the circuit is fitted to.
    Errors: NotApplicable for any other model.

    >>> import detectors
    >>> found = detectors.certify(detectors.load("zoo:add53_mlp"), share=0.4)
    >>> found.share <= 0.4, found.certified_accuracy <= 1
    (True, True)
    """
    if not 0 < share <= 1:
        raise ValueError(f"share lies in (0, 1], not {share}")
    start = time.perf_counter()
    with np.errstate(all="ignore"):  # what is no number proves nothing
        layers = layers_of(model)
        n, limit = len(layers.left), share * layers.brute_force
        circuit = circuit_of(layers, IN_NORMS * limit / n**2, seed)
        shared = tables(layers, circuit)
        proved, worst, operations = _proved(layers, circuit, shared, limit)
    by_norms, certified = (float(count) / n**2 for count in proved)
    margin = float(np.delete(shared.gaps, layers.kinds[layers.group.identity]).min(initial=np.inf))
    return Certificate(
        certified_accuracy=certified,
        by_norms=by_norms,
        pairs=n * n,
        why=_why(certified, margin, worst, operations, limit),
        idealised_margin=margin,
        deviations=worst,
        slack=shared.slack,
        operations=operations,
        brute_force_operations=layers.brute_force,
        share=operations / layers.brute_force,
        seconds=time.perf_counter() - start,
        brute_force_seconds=_pass(layers),
    )


def _proved(
    layers: Layers, circuit: Circuit, shared: Tables, limit: float
) -> tuple[tuple[int, int], dict[str, float], int]:
    """How many pairs are proved in norms, and in all; the median deviations; the operations."""
    n, m = layers.left.shape
    keys, kinds = shared.along.shape
    # xi, its norm and its W; the irreps; each kind; and what the operands give alone
    each = 5 * m + sum(block.each for block in circuit.blocks) + (2 * keys + 2) * kinds + 12
    operations = circuit.operations + shared.operations + each * n * n
    sane = LEAST < shared.size < MOST and np.isfinite(shared.slack)
    if operations > limit or not sane or not circuit.blocks:
        return (0, 0), {}, min(operations, int(limit))
    in_all, spare = np.zeros(2, dtype=int), limit - operations
    seen: list[dict[str, Float[np.ndarray, "rows n"]]] = []
    for rows in np.array_split(np.arange(n), -(-n * n * m // BUDGET)):
        found = deviations(layers, circuit, rows)
        lower = in_norms(layers, shared, found)
        holds = np.asarray((lower > shared.slack).all(2))
        more, used = _one_by_one(layers, circuit, shared, found, lower, ~holds, spare * len(rows) / n)
        in_all += np.array([holds.sum(), holds.sum() + more])
        operations += used
        seen.append(parts(layers, shared, found))
    medians = {name: float(np.median(np.concatenate([one[name] for one in seen]))) for name in seen[0]}
    return (int(in_all[0]), int(in_all[1])), medians, operations


def _one_by_one(
    layers: Layers,
    circuit: Circuit,
    shared: Tables,
    found: Deviations,
    lower: Float[np.ndarray, "rows n kinds"],
    unproved: Bool[np.ndarray, "rows n"],
    spare: float,
) -> tuple[int, int]:
    """How many more are proved, those of fewest answers in question first, until the operations are spent."""
    row, b = np.nonzero(unproved)
    answers = (~(lower[row, b] > shared.slack) @ np.bincount(layers.kinds)).astype(int)
    order = np.argsort(answers, kind="stable")
    row, b, most = row[order], b[order], np.cumsum(answers[order]) * (FIRST + second(circuit))
    proved = used = start = 0
    while start < len(row):
        before = most[start - 1] if start else 0
        end = min(start + AT_ONCE, int(np.searchsorted(most, before + spare - used, side="right")))
        if end <= start:
            break
        pairs = row[start:end], b[start:end]
        holds, operations = one_by_one(layers, circuit, shared, found, lower[pairs], pairs)
        proved, used, start = proved + int(holds.sum()), used + operations, end
    return proved, used


def _why(certified: float, margin: float, worst: dict[str, float], operations: int, limit: float) -> str:
    """What keeps it from more, in a sentence."""
    if certified == 1:
        return "every pair is proved"
    if not worst:
        return "a pass over all pairs is so small, or the weights of such a size, that nothing is proved in the share"
    part = max(worst, key=lambda name: worst[name])
    if margin <= 0:
        return "its idealised circuit does not answer: it has no lead to lose"
    spent = "; the operations are spent" if operations > 0.98 * limit else ""
    return (
        f"the idealised circuit leads by {margin:.1f}, of which by norms the network may take off "
        f"{sum(worst.values()):.1f} for the median pair, most in what is {part} ({worst[part]:.1f}){spent}"
    )


def _pass(layers: Layers) -> float:
    """Seconds of a pass over all pairs, from an eighth of it or less."""
    start, (n, m) = time.perf_counter(), layers.left.shape
    some = layers.left[: min(n // 8, BUDGET // (n * max(n, m))) + 1]
    with np.errstate(all="ignore"):
        hidden = np.maximum(some[:, None] + layers.right, 0.0).reshape(len(some) * n, -1)
        (hidden @ layers.readout + layers.bias).argmax(1)
    return (time.perf_counter() - start) * n / len(some)
