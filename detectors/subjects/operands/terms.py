"""Logits as a sum of a few terms, one an irrep, and how far such a sum is the model.

A term of a cyclic group is amplitude * cos(w(a + b - c) + phase), w = 2 pi k / n, and with a disc for a first layer
(arXiv:2512.25060, arXiv:2306.17844) amplitude * |cos((w(a - b) - offset) / 2)| cos(w(a + b - c) + phase); of any other
group amplitude * chi(a b c^-1). Over the answers c of every pair the terms of two irreps are orthogonal, so each is
fitted alone by least squares, and the sum of the strongest few is the best of its length.

Discs in the first layer need not show in the logits: of nine published networks with discs the one that answers 97%
of its pairs has the factor (85% of the logits explained with it, 78% without); the eight that answer all have none (80%
to 84% with it, 97% and more without). So both are fitted, and of each term the one that explains more stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.spectrum import block_power, ranked
from detectors.subjects.operands.circles import offset
from detectors.subjects.operands.clusters import clusters
from detectors.subjects.operands.view import ModelView

DISC = 0.5  # phase concentration: published discs have 0.92 and more, tori 0.05 and less
DIGITS = 4  # significant ones, of every fitted number


class Pairs(NamedTuple):
    """Some labelled pairs by the elements of the group: left and right operand, the logits of the labelled answers
    centred over them, and the answer that the model gives, -1 where the group labels none.
    """

    left: Int[Tensor, " pairs"]
    right: Int[Tensor, " pairs"]
    logits: Float64[Tensor, "pairs n"]
    given: Int[Tensor, " pairs"]

    def renamed(self, perm: Int[Tensor, " n"]) -> Pairs:
        """The same, with element x of both operands and of the answer called perm[x]."""
        given = torch.where(self.given < 0, -1, perm[self.given])
        return Pairs(perm[self.left], perm[self.right], self.logits[:, perm.argsort()], given)


class Term(NamedTuple):
    """irrep: an index into `group.irreps`. phase, offset: radians; offset None without a disc. share: of the squares of
    the logits that it was fitted to.
    """

    irrep: int
    amplitude: float
    phase: float
    offset: float | None
    share: float


class Fidelity(NamedTuple):
    """Of a sum of terms, on pairs: share with the model's answer; share of the squares of the logits, centred over the
    answers, that it explains (under 0 where it is worse than nothing); KL divergence of its softmax from the model's,
    nats; and how many pairs.
    """

    agreement: float
    explained: float
    kl: float
    pairs: int


def some_pairs(model: ModelView, k: Int[Tensor, " pairs"]) -> Pairs:
    """Of the labelled pairs with these numbers."""
    grid = model.plane
    place = torch.full((grid.logits.shape[1],), -1)
    place[grid.answers] = torch.arange(grid.n)
    return Pairs(k // grid.n, k % grid.n, grid.whole(k), place[grid.logits.index_select(0, grid.pairs[k]).argmax(1)])


def discs(model: ModelView) -> frozenset[int]:
    """Frequencies of which the first layer of a cyclic group's network makes a disc: its cluster's phase concentration,
    each neuron weighed by what it does to the logits, is 0.5 or more.
    """
    if not model.group.is_cyclic or len(model.neuron_layers) != 1 or "preactivations" not in model.parts:
        return frozenset()
    found = clusters(model, model.neuron_layers[0]).weighed
    return frozenset(c.frequency for c in found if (c.phase_concentration or 0.0) >= DISC)


def strongest(group: Group, pairs: Pairs, count: int) -> list[int]:
    """The irreps of so many terms: those that hold most of the mean of the logits over a b c^-1."""
    product = torch.from_numpy(group.table)[pairs.left, pairs.right]
    shift = torch.from_numpy(np.ascontiguousarray(group.table[group.inverse].T))
    mean = pairs.logits.gather(1, shift[product]).mean(0)
    if group.is_cyclic:
        held = block_power(group, mean[:, None])
    else:
        characters = torch.from_numpy(np.stack([i.character for i in group.irreps[1:]]))
        held = (characters @ mean).square() / characters.square().sum(1)
    return [i + 1 for i in ranked(held)[:count]]


def fitted(group: Group, pairs: Pairs, irreps: Sequence[int], *, disc: bool) -> list[Term]:
    """A term of each irrep, the strongest first. disc: all with the factor of discs, if the group is cyclic.

    >>> c5 = Group.from_name("C5")
    >>> a, b, c = torch.arange(25) // 5, torch.arange(25) % 5, torch.arange(5)
    >>> wave = 3 * (2 * torch.pi / 5 * (a[:, None] + b[:, None] - c).double() + 0.2).cos()
    >>> fitted(c5, Pairs(a, b, wave, wave.argmax(1)), [1], disc=False)
    [Term(irrep=1, amplitude=3.0, phase=0.2, offset=None, share=1.0)]
    """
    fit = _wave if group.is_cyclic else _character
    power = float(pairs.logits.square().sum()) or 1.0
    return sorted((fit(group, pairs, i, disc, power) for i in irreps), key=lambda term: -term.share)


def best_fitted(group: Group, pairs: Pairs, irreps: Sequence[int], discs: Collection[int]) -> list[Term]:
    """Of each irrep the term that explains more, of those of the frequencies `discs` with their factor or without: the
    terms of two irreps are orthogonal, so each is chosen alone.
    """
    plain = fitted(group, pairs, irreps, disc=False)
    rounds = {t.irrep: t for t in fitted(group, pairs, irreps, disc=True)} if discs else {}
    of = {t.irrep for t in plain if group.irreps[t.irrep].frequency in discs}
    best = [max(t, rounds[t.irrep], key=lambda term: term.share) if t.irrep in of else t for t in plain]
    return sorted(best, key=lambda term: -term.share)


def sums(group: Group, terms: Sequence[Term], pairs: Pairs) -> Iterator[Float64[Tensor, "pairs n"]]:
    """The first term, the first two, and so on, on the pairs."""
    total = torch.zeros_like(pairs.logits)
    for term in terms:
        if group.is_cyclic:
            k = group.irreps[term.irrep].frequency or 0
            cosine, sine = _circle(group.order, k, pairs)
            wave = np.cos(term.phase) * cosine - np.sin(term.phase) * sine
            total = total + term.amplitude * wave * _factor(group.order, k, pairs, term.offset)
        else:
            total = total + term.amplitude * _characters(group, term.irrep, pairs)
        yield total


def fidelity(made: Float64[Tensor, "pairs n"], pairs: Pairs) -> Fidelity:
    """How far logits are the model's.

    >>> rows = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    >>> some = Pairs(torch.tensor([0, 1]), torch.tensor([0, 0]), rows, torch.tensor([0, 1]))
    >>> fidelity(rows, some), fidelity(-rows, some).explained
    (Fidelity(agreement=1.0, explained=1.0, kl=0.0, pairs=2), -3.0)
    """
    power = float(pairs.logits.square().sum()) or 1.0
    whole, own = pairs.logits.log_softmax(1), made.log_softmax(1)
    return Fidelity(
        agreement=float((made.argmax(1) == pairs.given).double().mean()),
        explained=1 - float((pairs.logits - made).square().sum()) / power,
        kl=max(0.0, float((whole.exp() * (whole - own)).sum(1).mean())),
        pairs=len(made),
    )


def rounded(x: float) -> float:
    """To four significant digits, as the program has it."""
    return float(f"{x:.{DIGITS}g}") + 0.0  # and no -0


def _wave(group: Group, pairs: Pairs, irrep: int, disc: bool, power: float) -> Term:
    n, k = group.order, group.irreps[irrep].frequency or 0
    disc = disc and 2 * k != n
    apart = rounded(offset(pairs.logits, k, pairs.left, pairs.right)) if disc else None
    factor = _factor(n, k, pairs, apart)
    parts, share = [], 0.0
    for wave in _circle(n, k, pairs):
        along, size = float((pairs.logits * factor * wave).sum()), float((factor * wave).square().sum())
        parts.append(along / size if size > 1e-9 else 0.0)  # the sine of half the order is 0
        share += along * parts[-1] / power
    cosine, sine = parts
    return Term(
        irrep, rounded(float(np.hypot(cosine, sine))), rounded(float(np.arctan2(0.0 - sine, cosine))), apart, share
    )


def _character(group: Group, pairs: Pairs, irrep: int, disc: bool, power: float) -> Term:
    character = _characters(group, irrep, pairs)
    along, size = float((pairs.logits * character).sum()), float(character.square().sum())
    return Term(irrep, rounded(along / size), 0.0, None, along**2 / size / power)


def _circle(n: int, k: int, pairs: Pairs) -> tuple[Float64[Tensor, "pairs n"], Float64[Tensor, "pairs n"]]:
    """cos and sin of w(a + b - c) over every c."""
    angle = 2 * torch.pi / n * (k * torch.arange(n, dtype=torch.float64) % n)
    place = (pairs.left[:, None] + pairs.right[:, None] - torch.arange(n)) % n
    return angle.cos()[place], angle.sin()[place] * (2 * k != n)


def _factor(n: int, k: int, pairs: Pairs, offset: float | None) -> Float[Tensor, "pairs 1"]:
    if offset is None:
        return torch.ones(len(pairs.left), 1, dtype=torch.float64)
    return (torch.pi * k / n * (pairs.left - pairs.right).double() - offset / 2).cos().abs()[:, None]


def _characters(group: Group, irrep: int, pairs: Pairs) -> Float64[Tensor, "pairs n"]:
    """chi(a b c^-1) over every c."""
    product = torch.from_numpy(group.table)[pairs.left, pairs.right]
    back = torch.from_numpy(np.ascontiguousarray(group.table[:, group.inverse]))
    return torch.from_numpy(group.irreps[irrep].character)[back[product]]
