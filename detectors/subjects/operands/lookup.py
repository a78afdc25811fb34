"""What a lookup of the training pairs contributes to a winning margin: M, version 4.

f is the mean of the logits along the fibres of a b c^-1 over pairs that were not trained on, i the identity, where the
right answer stands; nothing where it is not largest there, since it then answers no pair right. A network is louder on
what it was trained on, or has a lookup in the place of f there: with r the mean of what f leaves over the training
pairs, read along the same fibres, the gain g = max(-1, <r, f> / <f, f>), and 0 unless the median unseen pair has half
of it: the mean of a lookup that knows a few unseen pairs has its own shape. A gain of each irrep would rebuild half of
a lookup out of noise. The structured part is S = (1 + g) f on training pairs, f elsewhere. With c the strongest wrong
answer of the whole logits, m = L[right] - L[c] and m_S the same of S, the share of a pair is (m - m_S) / m, clipped to
[0, 1], where m > 0, else 0.

A lookup may also take away what outweighs f elsewhere, and leave the margin that f has. What M does not see of it
`right_apart` does: how many more of the training pairs are right than of unseen ones would be with f as loud, by the
gain of its wrong answers alone, since a lookup raises the right one over all of them alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.device import accelerated
from detectors.core.nulls import subset
from detectors.subjects.operands.plane import LogitGrid
from detectors.subjects.operands.structured import HALF, QUARTER, carried, of_the_median
from detectors.subjects.right import ROUNDING, answered

# Pairs of the null: all of groups up to order 128; of larger ones M is then exact to 0.005 by sampling.
NULL_PAIRS = 2**14


def lookup_shares(
    grid: LogitGrid, f: Float[Tensor, " n"], train: Bool[Tensor, " pairs"] | None = None, gain: float = 0.0
) -> Float[Tensor, " pairs"]:
    """[pairs] share of each labelled pair's winning margin that is not S. train: where S is louder by the gain."""
    margin, place = grid.each.margin, grid.each.place
    structured = f[grid.group.identity] - f[place]
    if train is not None:
        structured = structured * (1 + gain * train)
    return _outside(margin, structured)


def _outside(margin: Float[Tensor, " pairs"], structured: Float[Tensor, " pairs"]) -> Float[Tensor, " pairs"]:
    """Share of a winning margin that the structured part's own does not give."""
    return torch.where(margin > 0, ((margin - structured) / margin).clamp(0, 1), 0.0)


def right(f: Float[Tensor, " n"], identity: int) -> Float[Tensor, " n"]:
    """What answers the pairs right, if it does."""
    return f if int(f.argmax()) == identity else torch.zeros_like(f)


def gain_of(f: Float[Tensor, " n"], trained: Float[Tensor, " n"]) -> float:
    """How much louder the structured part is on training pairs. trained: [n] the fibre means over those."""
    power = float(f @ f)
    if power <= ROUNDING**2 * float(trained @ trained):
        return 0.0
    return max(-1.0, float((trained - f) @ f) / power)


def right_apart(grid: LogitGrid, train: Bool[Tensor, " pairs"], unseen: Bool[Tensor, " pairs"]) -> float:
    """Accuracy on training pairs less that on unseen ones with what gives the right answer as loud as there."""
    identity, others = grid.group.identity, torch.nonzero(unseen).squeeze(1)
    f = right(grid.fibre_mean(others), identity)
    wrong, trained = torch.arange(grid.n) != identity, grid.fibre_mean(torch.nonzero(train).squeeze(1))
    flat, there = (x[wrong] - x[wrong].mean() for x in (f, trained))
    told = float(flat @ flat) > QUARTER * float(f @ f) and carried(grid, f, others) >= HALF
    added = (max(gain_of(flat, there), 0.0) if told else 0.0) * f
    place = torch.tensor(identity).expand(len(others))
    louder = [answered(grid.aligned(k) + added, place[: len(k)]) for k in grid.batches(others)]
    return float((grid.each.margin[train] > 0).double().mean() - torch.cat(louder).double().mean())


class Lookup(NamedTuple):
    """m: mean share over training pairs less that over unseen ones, not clipped. deviation: its standard error."""

    m: float
    deviation: float
    gain: float
    train: float
    unseen: float


def lookup_of(grid: LogitGrid, train: Bool[Tensor, " pairs"], unseen: Bool[Tensor, " pairs"]) -> Lookup:
    """M of the labelled pairs, with what it is the difference of. Twins (b, a) among unseen pairs count once."""
    others = torch.nonzero(unseen).squeeze(1)
    f, trained = grid.fibre_mean(others), grid.fibre_mean(torch.nonzero(train).squeeze(1))
    f = right(f, grid.group.identity)
    gain = gain_of(f, trained)
    gain = gain if gain and carried(grid, f, others) >= HALF else 0.0
    shares = lookup_shares(grid, f, train, gain)
    on_train, on_unseen = shares[train], shares[unseen]
    independent = len(on_train), len(on_unseen) / (2 if grid.is_symmetric else 1)
    error = sum(float(s.var(correction=0)) / k for s, k in zip((on_train, on_unseen), independent, strict=True))
    means = float(on_train.mean()), float(on_unseen.mean())
    return Lookup(means[0] - means[1], error**0.5, gain, *means)


@accelerated
def redrawn(
    grid: LogitGrid, train: Bool[Tensor, " pairs"], images: Sequence[Int[Tensor, " pairs"]], draws: int, seed: int
) -> tuple[float, Float[Tensor, " draws"], int]:
    """M of the pairs as they are, and with training sets of that size drawn anew, with the images of their pairs, which
    are known too; how many pairs. Exchanging trained and unseen pairs alone would split the twins among the latter, and
    reject too often.
    """
    rng, sample = np.random.default_rng(seed), subset(len(train), NULL_PAIRS, seed)
    rows, margin, place = grid.aligned(sample), grid.each.margin[sample], grid.each.place[sample]
    power, twice = rows.square().sum(1), grid.twice(sample)
    both = torch.stack(
        [mask[torch.stack([image[sample] for image in images])] for mask in _drawn(train, grid.flip, draws, rng)]
    )
    inside, unseen = both[:, 0], ~both.any(1)
    trained, f = ((side.double() @ rows) / side.sum(1, keepdim=True).clamp_min(1) for side in (inside, unseen))

    def m_of(f: Tensor, trained: Tensor, inside: Tensor, unseen: Tensor) -> float:
        f = right(f, grid.group.identity)
        gain = gain_of(f, trained)
        if gain and of_the_median(f, (rows @ f)[unseen], power[unseen], twice[unseen]) < HALF:
            gain = 0.0
        structured = (f[grid.group.identity] - f[place]) * (1 + gain * inside)
        shares = _outside(margin, structured)
        return float(shares[inside].mean() - shares[unseen].mean()) if bool(unseen.any()) else 0.0

    observed, *null = (m_of(*each) for each in zip(f, trained, inside, unseen, strict=True))
    return observed, torch.tensor(null, dtype=torch.float64), len(sample)


def _drawn(
    train: Bool[Tensor, " pairs"], flip: Int[Tensor, " pairs"], draws: int, rng: np.random.Generator
) -> Iterator[Bool[Tensor, " pairs"]]:
    """The training set, and random ones of its size, closed under flips where it is: so the loss shows a lookup up to
    order.
    """
    yield train
    every, closed = torch.arange(len(flip)), torch.equal(train, train[flip])
    alone, first = (every[flip == every], every[every < flip]) if closed else (every, every[:0])
    for _ in range(draws):
        drawn = train.clone()
        for pairs in (alone, first):
            drawn[pairs] = train[pairs[torch.from_numpy(rng.permutation(len(pairs)))]]
        drawn[flip[first]] = drawn[first]
        yield drawn
