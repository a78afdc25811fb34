"""Logits as a structured part, a function of a b c^-1, and an unstructured remainder.

L[a, b, c] are the logits centred over c. f(g) is the mean of L over the fibre a b c^-1 = g. Every pair (a, b)
meets every fibre exactly once (c = g^-1 a b), so f is the mean over pairs of the row L[a, b, :] read in the
order c = g^-1 a b, and one pass over the logits finds it. The identity is the right answer's place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detectors.core.errors import NotApplicable
from detectors.core.groups import Group
from detectors.core.nulls import subset
from detectors.core.spectrum import CACHE, chance_shares, weighted_gini
from detectors.subjects.operands.loud import bound
from detectors.subjects.operands.task import Task
from detectors.subjects.right import answered, rounding

BLOCKS = 16
# Of the squares of the logits: an answer's own offset, a bias, that is as loud would hide a circuit beside it. Zoo and
# published networks have 0.2 at most, and are read as they are.
LOUD, OFFSETS = 0.5, 4096


class Rows(NamedTuple):
    """Of every labelled pair [n*n]: margin of the right answer over the strongest wrong one of the labelled answers;
    place, the group element a b c^-1 at which that one stands; loss, cross-entropy of the right answer among the
    labelled ones, nats; power, the sum of the squares of the centred logits, as loud as they are.
    """

    margin: Tensor
    place: Tensor
    loss: Tensor
    power: Tensor


class LogitGrid:
    """The logits of the pairs and answers that the group labels, in the order of the group elements.

    logits: [all pairs, answers] float32. pairs: [n*n] number of every labelled pair. product: [n*n] a*b of each.
    outside, stated: numbers of the pairs that have an answer and no label, and that answer.
    """

    def __init__(self, logits: Tensor, task: Task) -> None:
        if task.labels is None:
            raise NotApplicable(f"the task {task.spec} has no group behind it")
        self.group, self.logits, self.is_symmetric = task.labels.group, logits, task.is_symmetric
        self.pairs = torch.from_numpy(task.grid.reshape(-1))
        self.answers = torch.from_numpy(task.labels.answers)
        self.product = torch.from_numpy(self.group.table.reshape(-1))
        self.outside = torch.from_numpy(np.setdiff1d(task.domain, task.grid))
        self.stated = torch.from_numpy(task.answer.ravel())[self.outside]
        n, table = self.group.order, self.group.table
        # shift[w, g] = g^-1 w: the answer c with a b c^-1 = g where a b = w
        self.shift = torch.from_numpy(np.ascontiguousarray(table[self.group.inverse].T))
        self.back = torch.from_numpy(np.ascontiguousarray(table[:, self.group.inverse]))  # [w, c] -> w c^-1
        self.n, self.n_tokens = n, task.n_tokens
        self.everything = torch.arange(n * n)
        place = torch.full((task.n_tokens**2,), -1)
        place[self.pairs] = self.everything
        flipped = place.reshape(task.n_tokens, -1).T.reshape(-1)[self.pairs]
        # [n*n] the labelled pair (b, a), of a task in which it is the same question; elsewhere the pair itself
        self.flip = torch.where(flipped >= 0, flipped, self.everything) if task.is_symmetric else self.everything
        in_order = torch.equal(self.answers, torch.arange(n))
        self._columns = slice(n) if in_order else self.answers  # a view in place of a copy
        self._means: dict[bytes, Tensor] = {}

    @cached_property
    def each(self) -> Rows:
        """One pass over the logits for all that is asked of single pairs."""
        identity, pairs = self.group.identity, len(self.everything)
        # written into what is there: small results that are kept among large ones that are not would leave holes, 5 GB
        # of them for S6
        margin, loss, power = torch.empty(3, pairs, dtype=torch.float64)
        place = torch.empty(pairs, dtype=torch.long)
        for k in self.batches(self.everything):
            whole = self.whole(k)
            rows = self.along(whole, k)
            loss[k], power[k] = loss_at(rows, identity), self.without_offsets(whole).square().sum(1)
            right = rows[:, identity].clone()
            wrong = rows.index_fill_(1, torch.tensor([identity]), -math.inf).max(1)
            apart = right - wrong.values
            # a tie is none, whichever way it was rounded
            smallest = rounding(self.logits.index_select(0, self.pairs[k]), self.answers[self.product[k]])
            margin[k] = torch.where(apart.abs() > smallest, apart, 0.0)
            place[k] = wrong.indices
        return Rows(margin, place, loss, power)

    @cached_property
    def concentration(self) -> float:
        """Of the characters' spectrum over all pairs: 0 of a lookup table's, which is flat, 1 of a single irrep's."""
        return float(concentration(self.group, self.cosines(self.everything)))

    def cosines(self, k: Tensor) -> Tensor:
        """[irreps] `character_cosines` of the pairs k."""
        return character_cosines(self.group, self.fibre_mean(k), len(k), self.power(k))

    def among(self, mask: Tensor) -> Tensor:
        """Indices of the labelled pairs that lie in a mask over all pairs."""
        return torch.nonzero(mask[self.pairs]).squeeze(1)

    def share(self, mask: Tensor | None) -> float | None:
        """Of the labelled pairs, those in a mask over all pairs."""
        return None if mask is None else float(mask[self.pairs].double().mean())

    def whole(self, k: Tensor) -> Tensor:
        """[batch, n] the centred logits of pairs k."""
        rows = self.logits.index_select(0, self.pairs[k])[:, self._columns].double()
        return rows.sub_(rows.mean(1, keepdim=True))

    def rows(self, k: Tensor) -> Tensor:
        """[batch, n] the same without what is an answer's own, whatever the pair, where that is loud, and no pair's
        louder than the `bound`.
        """
        rows = self.without_offsets(self.whole(k))
        return rows if self.quiet is None else rows * self.quiet[k, None]

    @cached_property
    def quiet(self) -> Tensor | None:
        """[n*n] what each pair's logits are multiplied by, None where none is too loud."""
        power = self.each.power
        most = bound(power)
        return (most / power.clamp_min(most)).sqrt() if float(power.max()) > most else None

    def without_offsets(self, whole: Tensor) -> Tensor:
        return whole if self.offsets is None else whole - self.offsets

    @cached_property
    def offsets(self) -> Tensor | None:
        """[n] of every answer its median over pairs, if those hold half of the squares of the logits. A function of
        a b c^-1 takes the same values for every c, so that no such function has any; nor has a lookup, since an answer
        is right on one pair in n.
        """
        rows = self.whole(subset(len(self.everything), OFFSETS, 0))
        medians = rows.median(0).values
        medians = medians - medians.mean()
        each = rows.square().sum(1)
        power = float(each.clamp_max(bound(each)).mean())
        return medians if float(medians.square().sum()) >= LOUD * power > 0 else None

    def along(self, rows: Tensor, k: Tensor) -> Tensor:
        """[batch, n] rows of pairs k read over g = a b c^-1; the right answer stands at the identity."""
        return rows.gather(1, self.shift.index_select(0, self.product[k]))

    def aligned(self, k: Tensor) -> Tensor:
        """[batch, n] `rows` so read."""
        return self.along(self.rows(k), k)

    def twice(self, k: Tensor) -> Tensor:
        """Of pairs k, those whose flip is another of them."""
        return torch.isin(self.flip[k], k) & (self.flip[k] != k)

    def batches(self, k: Tensor) -> Iterator[Tensor]:
        return iter(k.split(max(1, CACHE // self.n)))

    def blocks(self, k: Tensor, rng: np.random.Generator) -> Tensor:
        """[k] a random block of each pair, as many in one as in another; a pair and its flip, one question, in one."""
        first, twins = torch.unique(torch.minimum(k, self.flip[k]), return_inverse=True)
        return torch.from_numpy(rng.permutation(len(first)) % BLOCKS)[twins]

    def fibre_sums(self, k: Tensor, block: Tensor, n_blocks: int) -> Tensor:
        """[n_blocks, n] sums over the pairs k of each block of the rows read over g = a b c^-1."""
        by_product = torch.zeros(n_blocks * self.n, self.n, dtype=torch.float64)
        for batch, part in zip(self.batches(k), self.batches(block), strict=True):
            by_product.index_add_(0, part * self.n + self.product[batch], self.rows(batch))
        by_product = by_product.reshape(n_blocks, self.n, self.n)
        return by_product.gather(2, self.shift.expand(n_blocks, -1, -1)).sum(1)

    def fibre_mean(self, k: Tensor) -> Tensor:
        """[n] f(g), the mean over the pairs k. Kept, since several motifs ask for it over the same pairs."""
        asked = k.numpy().tobytes()
        if asked not in self._means:
            self._means[asked] = self.fibre_sums(k, torch.zeros_like(k), 1)[0] / max(len(k), 1)
        return self._means[asked]

    def power(self, k: Tensor) -> float:
        """Sum of the squares of the `rows` of the pairs k."""
        return float(self.powers[k].sum())

    @cached_property
    def powers(self) -> Tensor:
        """[n*n] of each."""
        return self.each.power if self.quiet is None else self.each.power * self.quiet.square()

    def spread(self, f: Tensor, k: Tensor) -> Tensor:
        """[batch, n] the structured logits S[a, b, c] = f(a b c^-1) of the pairs k."""
        return f[self.back[self.product[k]]]


def character_cosines(group: Group, f: Tensor, pairs: int, power: float) -> Tensor:
    """[irreps] cosine of the centred logits with each non-trivial character of a b c^-1.

    f: [n] fibre means over `pairs` pairs; power: sum of squares of the centred logits over them. The squares
    add up to the share of the logits that class functions of a b c^-1 explain.
    Source: trace similarity, arXiv:2302.03025, section 5, with exact characters.
    """
    characters = torch.from_numpy(np.stack([i.character for i in group.irreps[1:]]))
    if power <= 0:
        return torch.zeros(len(characters), dtype=torch.float64)
    return (characters @ f) * pairs / (characters.square().sum(1) * pairs * power).sqrt()


def concentration(group: Group, cosines: Tensor) -> Tensor:
    """[...] Gini coefficient of the positive cosines' squares [..., irreps] over the largest possible, in [0, 1]."""
    chance = chance_shares(group)
    gini = weighted_gini(cosines.clamp_min(0).square(), chance)
    return (gini / (1 - chance[cosines.argmax(-1)]).clamp_min(1e-9)).clamp(0, 1)


def loss_at(logits: Tensor, identity: int) -> Tensor:
    """[batch] cross-entropy of aligned logits [batch, n], whose right answer stands at the identity."""
    return logits.logsumexp(1) - logits[:, identity]


def remainder_loss(grid: LogitGrid, f: Tensor) -> tuple[Tensor, Tensor]:
    """Loss [n*n] of the remainder R = L - S on every pair, and whether R answers it right [n*n]."""
    loss, right = torch.empty(grid.n**2, dtype=torch.float64), torch.empty(grid.n**2, dtype=torch.bool)
    for k in grid.batches(grid.everything):
        whole = grid.along(grid.whole(k), k)
        remainder, answers = whole - f, torch.full((len(k),), grid.group.identity)
        loss[k] = loss_at(remainder, grid.group.identity)
        right[k] = answered(remainder, answers, of=whole)
    return loss, right
