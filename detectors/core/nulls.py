"""Permutation nulls with exact p-values."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import betainc
from torch import Tensor

from detectors.core.score import Null

# Of the observed value, or of 1 where that is less. One statistic from sums in another order differs by rounding, by
# 3e-16 as measured on spectra up to C509; on another machine, of margins of float32 logits, by 2e-8. Statistics that
# differ do so by one pair of the largest group, 1/2048**2 = 2.4e-7, at least where they are shares of pairs.
TIE = 1e-7
# Least standard deviation of a share that is held to move: the same in every draw it deviates by its rounding, 1e-16.
STILL = 1e-12
PASS = 0.01  # of draws without any structure, those that name an irrep key all the same
EULER = 0.5772156649015329  # mean of the standard Gumbel law


def permutations(n: int, draws: int, seed: int) -> Tensor:
    """[draws, n] uniformly random permutations."""
    if draws < 1:
        raise ValueError(f"a permutation null needs at least one draw, not {draws}")
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1))


def subset(n: int, size: int, seed: int) -> Tensor:
    """A fixed random subset of 0..n-1 of at most `size`, sorted."""
    if n <= size:
        return torch.arange(n)
    return torch.from_numpy(np.sort(np.random.default_rng(seed).choice(n, size, replace=False)))


def permutation_null(observed: float, null: Tensor, permuted: str) -> Null:
    """Exact p-value of an observed statistic among its values [draws] under random permutations.

    p = (1 + #{null >= observed}) / (draws + 1), ties within 1e-7 of the observed value counted: valid at
    every number of draws (Phipson and Smyth 2010).

    >>> permutation_null(3.0, torch.tensor([1.0, 2.0, 4.0]), "rows").p_value
    0.5
    """
    tolerance = TIE * max(1.0, abs(observed))
    draws = len(null)
    largest = max(observed, float(null.max()))
    return Null(
        permuted=permuted,
        draws=draws,
        mean=float(null.mean()),
        p_value=(1 + int((null >= observed - tolerance).sum())) / (draws + 1),
        smallest=(1 + int((null >= largest - tolerance).sum())) / (draws + 1),
    )


def corrected(statistic: float, null_mean: float, largest: float) -> float:
    """(statistic - null mean) / (largest possible - null mean), clipped to [0, 1]; 0 where there is no room."""
    room = largest - null_mean
    return float(np.clip((statistic - null_mean) / room, 0.0, 1.0)) if room > TIE else 0.0


def step_down(observed: Float[Tensor, " many"], null: Float[Tensor, "draws many"]) -> list[float]:
    """p-values of many statistics, adjusted for each other: each among the largest null values of those that are no
    larger than it (step-down max-T; Westfall and Young, Resampling-Based Multiple Testing, 1993, section 2.8).

    >>> null = torch.tensor([[0.0, 3.0], [0.0, 1.0], [0.0, 0.0]])
    >>> step_down(torch.tensor([1.0, 2.0]), null), step_down(torch.tensor([2.0, 1.0]), null)
    ([0.5, 0.5], [0.5, 0.75])
    """
    adjusted, running = [0.0] * len(observed), 0.0
    order = observed.argsort(descending=True, stable=True).tolist()
    for rank, i in enumerate(order):
        most = null[:, order[rank:]].amax(1)
        running = max(running, (1 + int((most >= float(observed[i]) - TIE).sum())) / (len(null) + 1))
        adjusted[i] = running
    return adjusted


def mcnemar(lost: Bool[np.ndarray, " cases"], control: Bool[np.ndarray, " cases"]) -> float:
    """p-value that a removal loses no more of the same cases than another: exact, one-sided, over discordant pairs.

    >>> round(mcnemar(np.array([True] * 5 + [False]), np.array([False] * 6)), 5)
    0.03125
    """
    more, fewer = int((lost & ~control).sum()), int((control & ~lost).sum())
    return float(betainc(more, fewer + 1, 0.5)) if more else 1.0  # P(binomial of more + fewer >= more)


def mid_ranks(x: Float[np.ndarray, " x"]) -> Float[np.ndarray, " x"]:
    """From 1 in ascending order, equal numbers at the mean of theirs. scipy.stats has it, at a second of imports.

    >>> mid_ranks(np.array([0.5, 0.1, 0.5])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    ranks: Float[np.ndarray, " x"] = (count.cumsum() - (count - 1) / 2)[place]
    return ranks


def key_cut(null_shares: Tensor) -> Tensor:
    """[irreps] the share above which an irrep is key: 1 fresh draw in 100 has any irrep above its cut.

    Shares [draws, irreps] are compared in standard deviations from the irrep's null mean, so that neither small nor
    large irreps set the cut of the others (the max-T of Westfall and Young, Resampling-Based Multiple Testing, 1993).
    Each draw is measured by the mean and deviation of the others, as a fresh one is, and the cut is the order statistic
    that a fresh one passes once in 100; fewer than 99 draws have none, and take the 99% quantile of the Gumbel law with
    the mean and variance of their largest deviations.
    """
    mean, deviation, draws = null_shares.mean(0), null_shares.std(0, correction=0), len(null_shares)
    if draws < 3:  # no deviation of the others is known
        return null_shares.amax(0)
    centred = null_shares - mean
    others = -centred / (draws - 1)
    spread = (centred.square().sum(0) - centred.square()) / (draws - 1) - others.square()
    least = (deviation / 2).clamp_min(STILL)  # of a share that one draw alone moves
    largest = ((centred - others) / torch.maximum(spread.clamp_min(0).sqrt(), least)).amax(dim=1)
    rank = math.ceil((1 - PASS) * (draws + 1))
    if rank <= draws:
        return mean + deviation * largest.sort().values[rank - 1]
    scale = largest.std() * math.sqrt(6) / math.pi
    return mean + deviation * (largest.mean() - (EULER + math.log(-math.log1p(-PASS))) * scale)


def carriers(shares: Tensor, null_shares: Tensor) -> list[int]:
    """Irreps with more than their mean share [irreps] under the null [draws, irreps], strongest first.

    What an intervention removes: the key irreps alone would leave the weaker ones, which may answer by themselves.
    """
    ranked = shares.argsort(descending=True, stable=True).tolist()
    above = shares > null_shares.mean(0)
    return [i for i in ranked if above[i]]
