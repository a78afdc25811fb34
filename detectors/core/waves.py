"""Waves over the numbers 0 to 99, beyond a line and one slow turn, and how much of rows of numbers each explains."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor

NUMBERS = 100
STEPS = 1000  # frequencies are 1/STEPS apart
SPAN = STEPS // NUMBERS  # resolution of that many numbers
BESIDE = (-3, -2, -1, 1, 2, 3)  # in spans: what a frequency is compared with
THIRD = 3 * STEPS // 10  # no harmonic of the published helix, and one of every table of last digits


HALVES = 60  # of the decades, at random
HIGHEST = 3.0  # of ten equal steps the largest is 1, of three clusters of digits 10/3, of an open curve 7 and more


def step_over_mean(rows: Float64[Tensor, "number d"]) -> float:
    """Of the last digit's rows, means over decades, the largest squared step from a digit to the next, 9 to 0 among
    them, over the mean one: 1 of a circle, whatever its harmonics. Beyond what noise has, and as little as it is in one
    of twenty random halves of the decades.

    >>> turn, digit = 2 * torch.pi * torch.arange(100).double() / 10, (torch.arange(100) % 10).double()
    >>> circle, line = torch.stack([turn.cos(), turn.sin()], 1), digit[:, None]
    >>> round(step_over_mean(circle), 1), round(step_over_mean(line), 1)
    (1.0, 9.0)
    """
    a = torch.arange(NUMBERS, dtype=torch.float64)
    line = torch.linalg.qr(torch.stack([torch.ones_like(a), a], dim=1)).Q
    decades = (rows - line @ (line.T @ rows)).reshape(10, 10, -1)
    drawn = torch.Generator().manual_seed(0)

    def ratio(some: Float64[Tensor, "decade 10 d"]) -> float:
        mean = some.mean(0)
        noise = 2 * float((some - mean).square().sum()) / (len(some) - 1) / len(some) / 10
        steps = (mean.roll(-1, 0) - mean).square().sum(1) - noise
        return float(steps.max() / steps.mean()) if float(steps.mean()) > 0 else 1.0

    found = [ratio(decades[torch.randperm(10, generator=drawn)[:5]]) for _ in range(HALVES)]
    return float(np.quantile(found, 0.05))


def _slow() -> Float64[Tensor, "number 4"]:
    """A constant, a line and one turn over all numbers, orthonormal."""
    a = torch.arange(NUMBERS, dtype=torch.float64)
    turn = 2 * torch.pi * a / NUMBERS
    return torch.linalg.qr(torch.stack([torch.ones_like(a), a, turn.cos(), turn.sin()], dim=1)).Q


def waves_of() -> Float64[Tensor, "frequency number 2"]:
    """Cosine and sine of every frequency, beyond the slow part, orthonormal; at period 2 the cosine alone."""
    slow, a = _slow(), torch.arange(NUMBERS, dtype=torch.float64)
    angle = 2 * torch.pi * torch.arange(STEPS // 2 + 1, dtype=torch.float64)[:, None] * a / STEPS
    waves = torch.stack([angle.cos(), angle.sin()], dim=-1)
    waves = waves - slow @ (slow.T @ waves)
    u, s, _ = torch.linalg.svd(waves, full_matrices=False)
    return u * (s > 1e-3 * NUMBERS**0.5)[:, None]


def beside(sought: Int[Tensor, " period"]) -> Int[Tensor, "period beside"]:
    """The frequencies that each is compared with; those beyond the highest are the ones that mirror them."""
    near = sought[:, None] + SPAN * torch.tensor(BESIDE)
    near = torch.where(near > STEPS // 2, STEPS - near, near)
    return torch.cat([near, torch.full((len(sought), 1), THIRD)], dim=1)


def powers(
    waves: Float64[Tensor, "*many number 2"], rows: Float64[Tensor, "number d"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each wave: what it explains, a direction of it on the mean, and the lesser of its two."""
    amplitudes = waves.transpose(-1, -2) @ rows
    gram = amplitudes @ amplitudes.transpose(-1, -2)
    both, columns = gram.diagonal(dim1=-2, dim2=-1).sum(-1), (waves.abs().sum(-2) > 0).sum(-1)
    apart = torch.hypot((gram[..., 0, 0] - gram[..., 1, 1]) / 2, gram[..., 0, 1])
    least = (both / 2 - apart).clamp_min(0)
    return both, both / columns.clamp_min(1), torch.where(columns == 1, both, least)
