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
from detectors.core.spectrum import CACHE, chance_shares, weighted_gini
from detectors.subjects.operands.task import Task
from detectors.subjects.right import ROUNDING, answered

SPLITS, BLOCKS = 8, 16
TRACE = 0.02  # share of the logits' squares: networks that generalise have 0.2 and more, memorisers under 0.01
STEEPEST = 100.0  # the temperature of the structured part is at least std(L) / 100


class Rows(NamedTuple):
    """Of every labelled pair [n*n]: margin of the right answer over the strongest wrong one of the labelled answers;
    place, the group element a b c^-1 at which that one stands; loss, cross-entropy of the right answer among the
    labelled ones, nats; power, the sum of the squares of the centred logits.
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
            rows = self.aligned(k)
            loss[k], power[k] = loss_at(rows, identity), rows.square().sum(1)
            right = rows[:, identity].clone()
            wrong = rows.index_fill_(1, torch.tensor([identity]), -math.inf).max(1)
            apart = right - wrong.values
            # a tie is none, whichever way it was rounded
            margin[k] = torch.where(apart.abs() > ROUNDING * self.logits[self.pairs[k]].abs().amax(1), apart, 0.0)
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

    def rows(self, k: Tensor) -> Tensor:
        rows = self.logits[self.pairs[k]][:, self._columns].double()
        return rows.sub_(rows.mean(1, keepdim=True))

    def aligned(self, k: Tensor) -> Tensor:
        """[batch, n] the rows of pairs k read over g = a b c^-1; the right answer stands at the identity."""
        return self.rows(k).gather(1, self.shift[self.product[k]])

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
        """Sum of the squares of the centred logits over the pairs k."""
        return float(self.each.power[k].sum())

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


def structured_loss(f: Tensor, temperature: Tensor | float, identity: int) -> Tensor:
    """Cross-entropy of softmax(f / temperature), which is the same for every pair: f [..., n] -> [...]."""
    scaled = f / temperature
    return torch.logsumexp(scaled, dim=-1) - scaled[..., identity]


class Fitted(NamedTuple):
    """Per split and half [..., splits, 2]: held-out loss and temperature."""

    loss: Tensor
    temperature: Tensor


def cross_fitted(
    sums: Tensor, counts: Tensor, identity: int, steepest: float, splits: int, rng: np.random.Generator
) -> Fitted:
    """Blocks of pairs are dealt into two halves of two folds; sums [..., BLOCKS, n], counts [BLOCKS].

    The loss of a function of a b c^-1 is the same on every pair, so pairs of the other half can only be judged
    through their own f: a half's f stands at the temperature that the other half's folds agreed on. A temperature
    that fits one half's luck is then paid for.
    """
    dealt = torch.from_numpy(np.stack([rng.permutation(BLOCKS) for _ in range(splits)])).reshape(splits, 2, 2, -1)
    fold_sums, fold_counts = sums[..., dealt, :].sum(-2), counts[dealt].sum(-1)
    folds = fold_sums / fold_counts[..., None]
    f = fold_sums.sum(-2) / fold_counts.sum(-1, keepdim=True)
    temperature = best_temperature(folds, identity, steepest)  # [..., splits, half]
    return Fitted(structured_loss(f, temperature.flip(-1)[..., None], identity), temperature)


def best_temperature(folds: Tensor, identity: int, steepest: float) -> Tensor:
    """[...] the temperature of least cross-entropy summed over folds [..., 2, n], by bisection.

    The loss is convex in the inverse temperature, with derivative mean of f under softmax less f at the answer.
    """
    high = torch.full(folds.shape[:-2], math.log(steepest), dtype=folds.dtype)
    low = high - 30
    for _ in range(40):
        middle = (low + high) / 2
        weight = (folds * middle.exp()[..., None, None]).softmax(-1)
        falling = ((weight * folds).sum(-1) - folds[..., identity]).sum(-1) < 0
        low, high = torch.where(falling, middle, low), torch.where(falling, high, middle)
    return (-high).exp()


def structured_fit(grid: LogitGrid, pairs: Tensor, seed: int) -> tuple[Fitted, float]:
    """Eight random splits of the pairs into halves, and the steepest inverse temperature that they may take."""
    spread = math.sqrt(grid.power(pairs) / (len(pairs) * grid.n))
    steepest = STEEPEST / spread if spread > 0 else 1.0  # where all logits are equal any temperature gives chance
    rng = np.random.default_rng(seed)
    block = grid.blocks(pairs, rng)
    counts = torch.bincount(block, minlength=BLOCKS)
    sums = grid.fibre_sums(pairs, block, BLOCKS)
    return cross_fitted(sums, counts, grid.group.identity, steepest, SPLITS, rng), steepest


def structured_share(grid: LogitGrid, pairs: Tensor) -> float:
    """Share of the squares of the centred logits on N pairs that their fibre means explain beyond the 1/N of noise."""
    power, noise = grid.power(pairs), 1 / len(pairs)
    share = float(grid.fibre_mean(pairs).square().sum()) * len(pairs) / power if power > 0 else 0.0
    return (share - noise) / (1 - noise)


class Structured(NamedTuple):
    """G of the structured part of some pairs, with its loss in nats, its temperature (geometric mean over splits and
    halves) and its share of the logits' squares; and the steepest inverse temperature allowed.
    """

    g: float
    loss: float
    temperature: float
    share: float
    steepest: float


def g_of(grid: LogitGrid, pairs: Tensor, seed: int) -> Structured:
    """G of the structured part on these pairs, estimated on them crosswise."""
    fitted, steepest = structured_fit(grid, pairs, seed)
    loss, share = float(fitted.loss.mean()), structured_share(grid, pairs)
    temperature = float(fitted.temperature.log().mean().exp())
    return Structured(g_value(loss, share, grid.n), loss, temperature, share, steepest)


def g_value(loss: float, share: float, n: int) -> float:
    """G, less where the structured part holds under TRACE of the logits: 1 - loss / ln n, times share / TRACE."""
    return float(g_of_loss(loss, n)) * min(1.0, max(0.0, share) / TRACE)


def g_of_loss(loss: Tensor | float, n: int) -> Tensor:
    """G = 1 - loss / ln n, clipped to [0, 1]."""
    return (1 - torch.as_tensor(loss, dtype=torch.float64) / math.log(n)).clamp(0, 1)


def loss_at(logits: Tensor, identity: int) -> Tensor:
    """[batch] cross-entropy of aligned logits [batch, n], whose right answer stands at the identity."""
    return logits.logsumexp(1) - logits[:, identity]


def remainder_loss(grid: LogitGrid, f: Tensor) -> tuple[Tensor, Tensor]:
    """Loss [n*n] of the remainder R = L - S on every pair, and whether R answers it right [n*n]."""
    loss, right = torch.empty(grid.n**2, dtype=torch.float64), torch.empty(grid.n**2, dtype=torch.bool)
    for k in grid.batches(grid.everything):
        whole = grid.aligned(k)
        remainder, answers = whole - f, torch.full((len(k),), grid.group.identity)
        loss[k] = loss_at(remainder, grid.group.identity)
        right[k] = answered(remainder, answers, of=whole)
    return loss, right
