"""Logits as a structured part, a function of a b c^-1, and an unstructured remainder.

L[a, b, c] are the logits centred over c. f(g) is the mean of L over the fibre a b c^-1 = g. Every pair (a, b)
meets every fibre exactly once (c = g^-1 a b), so f is the mean over pairs of the row L[a, b, :] read in the
order c = g^-1 a b, and one pass over the logits finds it. The identity is the right answer's place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detectors.core.errors import Undetermined
from detectors.core.groups import Group
from detectors.core.membership import infer_training_pairs
from detectors.core.nulls import subset
from detectors.core.spectrum import BUDGET
from detectors.core.view import ModelView

SPLITS, BLOCKS = 8, 16
DOUBTED = 16384  # pairs on which a training set that was given is held against the loss
AGREED = 0.75  # of the pairs of low loss: memorisers have 0.95 and more, a wrong split its own share of all pairs
TRACE = 0.02  # share of the logits' squares: networks that generalise have 0.2 and more, memorisers under 0.01
STEEPEST = 100.0  # the temperature of the structured part is at least std(L) / 100


class LogitGrid:
    """The logits of the pairs and answers that the group labels, in the order of the group elements.

    rows(k): [batch, n] centred float64 logits of pairs k (indices into the flattened n*n grid).
    product: [n*n] a*b of every pair. train: [n*n] True on training pairs, or None; train_set: `given`, `unknown`, or
    `inferred` once `settle_train` has been asked for it.
    """

    def __init__(self, model: ModelView) -> None:
        self.group = model.group
        self.logits = model.logits()
        self.pairs = model.grid.reshape(-1)
        self.answers = torch.from_numpy(model.labels.answers)
        self.product = torch.from_numpy(self.group.table.reshape(-1))
        self.train = None if model.train_mask is None else torch.from_numpy(model.train_mask)[self.pairs]
        self.train_set = "unknown" if self.train is None else "given"
        n, table = self.group.order, self.group.table
        # shift[w, g] = g^-1 w: the answer c with a b c^-1 = g where a b = w
        self.shift = torch.from_numpy(np.ascontiguousarray(table[self.group.inverse].T))
        self.back = torch.from_numpy(np.ascontiguousarray(table[:, self.group.inverse]))  # [w, c] -> w c^-1
        self.n = n

    @property
    def test(self) -> Tensor | None:
        """Indices of the pairs that the model was not trained on, None where that is unknown."""
        return None if self.train is None else torch.nonzero(~self.train).squeeze(1)

    def settle_train(self) -> None:
        """Take an unknown training set from the loss, and hold a given one against it.

        Undetermined where the loss does not show an unknown one, or shows another than the one given.
        """
        everything = torch.arange(self.n * self.n)
        k = everything if self.train is None else subset(len(everything), DOUBTED, 0)
        loss = torch.cat([_loss_at(self.aligned(batch), self.group.identity) for batch in self.batches(k)])
        a, b = np.divmod(k.numpy(), self.n)
        table, inverse = self.group.table, self.group.inverse
        classes = [a, b, table[a, b], table[a, inverse[b]], table[inverse[a], b]]
        if self.train is None:
            self.train = torch.from_numpy(infer_training_pairs(loss.numpy(), classes, 1 / self.n))
            self.train_set = "inferred"
            return
        try:
            low = torch.from_numpy(infer_training_pairs(loss.numpy(), classes, 1 / self.n))
        except Undetermined:
            return  # one hump, as of a model that answers every pair: nothing speaks against the split
        known = float(self.train[k][low].double().mean())
        if known < AGREED:
            raise Undetermined(
                "the training pairs given cannot be right: the loss has two humps, as a memoriser's, and of the pairs "
                f"in the lower one only {known:.0%} are among them"
            )

    def rows(self, k: Tensor) -> Tensor:
        rows = self.logits[self.pairs[k]][:, self.answers].double()
        return rows - rows.mean(1, keepdim=True)

    def aligned(self, k: Tensor) -> Tensor:
        """[batch, n] the rows of pairs k read over g = a b c^-1; the right answer stands at the identity."""
        return self.rows(k).gather(1, self.shift[self.product[k]])

    def batches(self, k: Tensor) -> Iterator[Tensor]:
        return iter(k.split(max(1, BUDGET // self.n)))

    def fibre_sums(self, k: Tensor, block: Tensor, n_blocks: int) -> Tensor:
        """[n_blocks, n] sums over the pairs k of each block of the rows read over g = a b c^-1."""
        by_product = torch.zeros(n_blocks * self.n, self.n, dtype=torch.float64)
        for batch, part in zip(self.batches(k), block.split(max(1, BUDGET // self.n)), strict=True):
            by_product.index_add_(0, part * self.n + self.product[batch], self.rows(batch))
        by_product = by_product.reshape(n_blocks, self.n, self.n)
        return by_product.gather(2, self.shift.expand(n_blocks, -1, -1)).sum(1)

    def fibre_mean(self, k: Tensor) -> Tensor:
        """[n] f(g), the mean over the pairs k."""
        return self.fibre_sums(k, torch.zeros_like(k), 1)[0] / max(len(k), 1)

    def power(self, k: Tensor) -> float:
        """Sum of the squares of the centred logits over the pairs k."""
        return float(sum(self.rows(batch).square().sum() for batch in self.batches(k)))

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
    block = torch.from_numpy(rng.permutation(len(pairs)) % BLOCKS)
    counts = torch.bincount(block, minlength=BLOCKS)
    sums = grid.fibre_sums(pairs, block, BLOCKS)
    return cross_fitted(sums, counts, grid.group.identity, steepest, SPLITS, rng), steepest


def structured_share(grid: LogitGrid, pairs: Tensor) -> float:
    """Share of the squares of the centred logits on these pairs that their fibre means explain."""
    power = grid.power(pairs)
    return float(grid.fibre_mean(pairs).square().sum()) * len(pairs) / power if power > 0 else 0.0


def g_value(loss: float, share: float, n: int) -> float:
    """G, less where the structured part holds under TRACE of the logits: 1 - loss / ln n, times share / TRACE."""
    return float(g_of_loss(loss, n)) * min(1.0, share / TRACE)


def g_of_loss(loss: Tensor | float, n: int) -> Tensor:
    """G = 1 - loss / ln n, clipped to [0, 1]."""
    return (1 - torch.as_tensor(loss, dtype=torch.float64) / math.log(n)).clamp(0, 1)


def answer_leads(logits: Tensor, identity: int) -> Tensor:
    """[...] whether the right answer, at the identity, beats every other in logits [..., n]; a tie is not right.

    With argmax a row of equal logits would be right wherever the identity is numbered 0.
    """
    others = logits.clone()
    others[..., identity] = -torch.inf
    return logits[..., identity] > others.amax(-1)


def _loss_at(logits: Tensor, identity: int) -> Tensor:
    """[batch] cross-entropy of aligned logits [batch, n], whose right answer stands at the identity."""
    return logits.logsumexp(1) - logits[:, identity]


def remainder_loss(grid: LogitGrid, f: Tensor) -> tuple[Tensor, Tensor]:
    """Loss [n*n] of the remainder R = L - S on every pair, and whether R answers it right [n*n]."""
    everything = torch.arange(grid.n * grid.n)
    loss, right = torch.empty(len(everything), dtype=torch.float64), torch.empty(len(everything), dtype=torch.bool)
    for k in grid.batches(everything):
        remainder = grid.aligned(k) - f
        e = grid.group.identity
        loss[k] = _loss_at(remainder, e)
        right[k] = answer_leads(remainder, e)
    return loss, right
