"""Frequencies that are one period: a square or a triangle wave has odd harmonics besides its own frequency.

A square wave cos x - cos 3x / 3 + cos 5x / 5 - ... has amplitudes 1 / j, a triangle wave 1 / j^2, and j times a
frequency is another one mod n. That frequencies are multiples is no evidence: mod a prime every one is an odd multiple
of every other. What is: the power falls as a square wave's or faster, and the harmonic's phase is locked: where
neuron i has A_i at k, it has c A_i^j / |A_i|^(j - 1) at jk, with one c for all neurons. Of two frequencies that a
network uses side by side the phases, and the neurons, are independent.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex
from torch import Tensor

LEAST = 0.02  # of the power: less is no frequency to count
MULTIPLES = (3, 5, 7, 9)  # a square wave has 1/121 at the eleventh, under the least
SLACK = 2.0  # at most twice a square wave's power; half of a triangle wave's, 1/162, is under the least
LOCKED = 0.9  # cosine: n independent phases reach it with a probability of exp(-0.81 n)
ENOUGH = 8.0  # neurons, effectively


def harmonic_families(coefficients: Complex[Tensor, "m k"], n: int) -> list[list[int]]:
    """Frequencies with at least 2% of the power, strongest first, each with its odd harmonics as one list.

    coefficients: of functions of the residues mod n, frequencies 1 to n // 2.

    >>> phase = torch.arange(16) * torch.pi / 8
    >>> wave = torch.cos(2 * torch.pi * 2 * torch.arange(41)[None] / 41 + phase[:, None] + 0.05).sign()
    >>> harmonic_families(torch.fft.fft(wave)[:, 1:21], 41)[0][:3]
    [2, 6, 10]
    """
    power = coefficients.abs().square().sum(0)
    share = power / power.sum().clamp_min(1e-300)
    found: list[list[int]] = []
    for k in (int(i) + 1 for i in share.argsort(descending=True, stable=True) if share[i] >= LEAST):
        parts = [_part(coefficients, n, family[0], k) for family in found]
        if sum(parts) >= LOCKED**2:  # one frequency may be a harmonic of two, each in neurons of its own
            found[parts.index(max(parts))].append(k)
        else:
            found.append([k])
    return found


def locking(coefficients: Complex[Tensor, "m k"], n: int, base: int, j: int) -> tuple[float, float]:
    """How far the phases at j times a frequency are j times those at it: the cosine of what is there with what a wave
    of one period has there, and the number of neurons that it effectively rests on.
    """
    own, other = coefficients[:, base - 1], coefficients[:, _folded(j * base, n) - 1]
    other = other.conj() if (j * base) % n > n // 2 else other
    expected = own.abs() * torch.polar(torch.ones_like(own.abs()), j * own.angle())
    each = (other * expected.conj()).abs()
    if not float(each.sum()):
        return 0.0, 0.0
    cosine = (other * expected.conj()).sum().abs() / (other.norm() * expected.norm())
    return float(cosine), float(each.sum().square() / each.square().sum())


def _part(coefficients: Complex[Tensor, "m k"], n: int, base: int, k: int) -> float:
    """Share of the power at k that is a harmonic of a wave at the base."""
    own, other = (coefficients[:, i - 1].abs().square().sum() for i in (base, k))
    for j in MULTIPLES:
        if _folded(j * base, n) == k:
            cosine, neurons = locking(coefficients, n, base, j)
            if neurons >= ENOUGH and float(cosine**2 * other) <= float(SLACK * own / j**2):
                return cosine**2
    return 0.0


def _folded(k: int, n: int) -> int:
    """The frequency from 0 to n // 2 that k is, up to the sign."""
    return min(k % n, -k % n)
