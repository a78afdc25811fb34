"""The structured part of the logits of some pairs: how sure it is of the right answer, and whether all have it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detectors.core.concentrated import CONCENTRATED
from detectors.core.groups import Group
from detectors.core.subgroups import alignments, normal_closure
from detectors.subjects.operands.plane import BLOCKS, LogitGrid, concentration
from detectors.subjects.right import ROUNDING

SPLITS = 8
TRACE = 0.02  # share of the logits' squares: networks that generalise have 0.2 and more, memorisers under 0.01
STEEPEST = 100.0  # the temperature of the structured part is at least std(L) / 100
# What every pair has has the median pair too: of published and zoo circuits 0.94 to 1.04, drowned ones among them. What
# fewer than half of the pairs are answered by it has not. Of a part of TRACE the mean of 32 pairs holds half as much
# noise again, so that the median has 0.39 of it: a quarter is asked, and half where a gain is to be fitted to it. Fewer
# pairs than half may have a circuit all the same, as those of some rows: of a concentrated spectrum, as no lookup's is,
# and of a quarter of the squares, as what a quarter of the pairs have beside nothing else.
QUARTER, HALF = 0.25, 0.5
CONSTANT = 0.9  # on cosets: 0.93 to 1 of circuits that tell answers apart up to a kernel alone
SURE = 3.0  # standard errors by which another answer leads, to be beyond the luck of the pairs: 1 in 740


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


def carried(grid: LogitGrid, f: Tensor, pairs: Tensor) -> float:
    """`of_the_median` pair of these, f their mean."""
    along = torch.cat([grid.aligned(k) @ f for k in grid.batches(pairs)])
    return of_the_median(f, along, grid.powers[pairs], grid.twice(pairs))


def of_the_median(f: Tensor, along: Tensor, power: Tensor, twice: Tensor) -> float:
    """How much of the structured part f the median pair has: <row, f> / <f, f>, f without the row, and its flip where
    that is among them (twice), since a mean of noise holds its share of each. 1 of what all pairs have, 0 of what few
    of them are answered by. along: [pairs] <row, f>. power: [pairs] <row, row>.
    """
    size = float(f @ f)
    return float((along - (1 + twice.double()) * power / len(along)).median()) / size if size > 0 else 0.0


def outdone(grid: LogitGrid, f: Tensor, pairs: Tensor) -> bool:
    """Whether another answer is, in the structured part f of some pairs, above the right one by more than their luck,
    or level with it as in a circuit of a quotient: on every one, or to within luck where f is of the quotient too.
    """
    identity, level = grid.group.identity, ROUNDING * float(f.abs().max())
    others = f.index_fill(0, torch.tensor([identity]), -math.inf)
    above, ahead = int(others.argmax()), float(others.max() - f[identity])
    rows = torch.cat([grid.aligned(k)[:, [above, identity]] for k in grid.batches(pairs)])
    questions = len(pairs) / (2 if grid.is_symmetric else 1)
    luck = SURE * float((rows[:, 0] - rows[:, 1]).std(correction=0)) / questions**0.5
    sure = ahead >= max(luck - level, -level)
    return sure or (ahead > -luck and of_a_quotient(grid.group, f, above))


def of_a_quotient(group: Group, f: Tensor, g: int) -> bool:
    """Whether f is the same on cosets of the least normal subgroup that holds g, but for a tenth of its variance beyond
    chance.
    """
    kernel = normal_closure(group, g)
    if kernel.all():
        return False
    return float(alignments(group, f[:, None], kernel[None], "Hg")[0, 0]) >= CONSTANT


class Structured(NamedTuple):
    """G of the structured part of some pairs, with its loss in nats, its temperature (geometric mean over splits and
    halves), its share of the logits' squares, what of it the median pair has, the concentration of its spectrum, and
    whether it is `outdone`; and the steepest inverse temperature allowed.
    """

    g: float
    loss: float
    temperature: float
    share: float
    carried: float
    concentration: float
    outdone: bool
    steepest: float


def g_of(grid: LogitGrid, pairs: Tensor, seed: int) -> Structured:
    """G of the structured part on these pairs, estimated on them crosswise."""
    (fitted, steepest), f = structured_fit(grid, pairs, seed), grid.fibre_mean(pairs)
    found = Structured(
        g=0.0,
        loss=float(fitted.loss.mean()),
        temperature=float(fitted.temperature.log().mean().exp()),
        share=structured_share(grid, pairs),
        carried=carried(grid, f, pairs),
        concentration=float(concentration(grid.group, grid.cosines(pairs))),
        outdone=outdone(grid, f, pairs),
        steepest=steepest,
    )
    return found._replace(g=g_value(found, grid.n))


def g_value(found: Structured, n: int) -> float:
    """G = 1 - loss / ln n, less where the structured part is not all pairs': where it holds under TRACE of the logits,
    times share / TRACE; where it is `of_few`, times what the median pair has over QUARTER. 0 where it is outdone.
    """
    scaled = min(1.0, max(0.0, found.share) / TRACE)
    if of_few(found):
        scaled *= max(0.0, found.carried) / QUARTER
    return 0.0 if found.outdone else float(g_of_loss(found.loss, n)) * scaled


def of_few(found: Structured) -> bool:
    """Whether it is what some pairs are answered by: the median has under QUARTER of it, and it is no circuit of a part
    of the pairs, by its spectrum and its share.
    """
    partial = found.concentration >= CONCENTRATED and found.share >= QUARTER
    return found.carried < QUARTER and not partial


def g_of_loss(loss: Tensor | float, n: int) -> Tensor:
    """G = 1 - loss / ln n, clipped to [0, 1]."""
    return (1 - torch.as_tensor(loss, dtype=torch.float64) / math.log(n)).clamp(0, 1)
