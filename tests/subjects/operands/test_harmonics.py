"""Square and triangle waves of one period are one family; frequencies side by side are as many, multiples or not."""

import numpy as np
import pytest
import torch

from detectors.subjects.operands.harmonics import harmonic_families, locking

P, M = 113, 60
PHASES = (np.arange(M) + 0.3) * 2 * np.pi / M


def coefficients(rows):
    return torch.fft.fft(torch.from_numpy(rows))[:, 1 : rows.shape[1] // 2 + 1]


def wave(k, shape=np.cos, p=P, phases=PHASES):
    return shape(2 * np.pi * k / p * np.arange(p) + phases[:, None])


def square(x):
    return np.sign(np.cos(x) + 1e-9)


def triangle(x):
    return 1 - 2 * np.arccos(np.clip(np.cos(x), -1, 1)) / np.pi


def folded(k, p=P):
    return min(k % p, -k % p)


@pytest.mark.parametrize("k", [1, 16, 37, 56])
@pytest.mark.parametrize("p", [113, 59])
def test_a_square_wave_is_one_period(k, p):
    k = k % (p // 2) + 1
    found = harmonic_families(coefficients(wave(k, square, p)), p)
    assert found == [[k, folded(3 * k, p), folded(5 * k, p)]]


def test_a_triangle_wave_is_one_period_whose_harmonics_are_under_the_least():
    found = coefficients(wave(16, triangle))
    assert harmonic_families(found, P) == [[16]]
    assert locking(found, P, 16, 3)[0] > 0.99


def with_third(phases, size=1 / 3, k=41, multiple=3):
    return wave(k) + size * wave(multiple * k, phases=phases)


@pytest.mark.parametrize("turn", [0.0, np.pi, 1.0])
def test_a_harmonic_is_locked_whatever_the_wave(turn):
    """Of any shape the harmonic stands at one angle to the cube of the phase, in every neuron the same."""
    assert harmonic_families(coefficients(with_third(3 * PHASES + turn)), P) == [[41, folded(123)]]


@pytest.mark.parametrize(
    "phases", [PHASES, -3 * PHASES, np.random.default_rng(0).uniform(0, 2 * np.pi, M)], ids=["own", "back", "random"]
)
def test_a_multiple_of_other_phases_is_a_frequency_of_its_own(phases):
    """The same powers at the same frequencies, and in the same neurons: the phases alone tell them apart."""
    assert harmonic_families(coefficients(with_third(phases)), P) == [[41], [folded(123)]]


@pytest.mark.parametrize("size", [1.0, 0.6, 0.2], ids=["as strong", "half", "small"])
def test_locked_phases_of_another_strength_are_a_harmonic_where_the_power_falls_as_one(size):
    """Up to twice a square wave's 1/9; equal strengths are no such wave."""
    found = harmonic_families(coefficients(with_third(3 * PHASES, size)), P)
    assert len(found) == (2 if size**2 > 2 / 9 else 1)


def test_a_multiple_in_neurons_of_its_own_is_a_frequency_of_its_own():
    rows = np.concatenate([wave(41), wave(3 * 41) / 3])
    assert harmonic_families(coefficients(rows), P) == [[41], [folded(123)]]


def test_a_frequency_may_be_a_harmonic_of_two():
    """2 is 3 x 37 and 5 x 23 mod 113, each in the neurons of its own period."""
    rows = np.concatenate([wave(k, square) for k in (37, 23)])
    found = harmonic_families(coefficients(rows), P)
    assert sorted(family[0] for family in found) == [23, 37]
    assert 2 in next(family for family in found if family[0] == 37)


def test_few_neurons_show_no_locking():
    phases = PHASES[:5]
    rows = wave(41, phases=phases) + wave(123, phases=3 * phases) / 3
    assert harmonic_families(coefficients(rows), P) == [[41], [folded(123)]]


def test_locking_of_random_phases_is_chance_and_that_of_a_wave_whole():
    rng = np.random.default_rng(1)
    chance = [locking(coefficients(with_third(rng.uniform(0, 2 * np.pi, M))), P, 41, 3)[0] ** 2 for _ in range(40)]
    assert np.mean(chance) == pytest.approx(1 / M, rel=0.4)  # exponential: its mean over 40 is within 0.4 at 2.5 sigma
    assert locking(coefficients(wave(41, square)), P, 41, 3) == pytest.approx((1.0, M), rel=0.02)


def test_nothing_is_no_family():
    assert harmonic_families(torch.zeros(4, 5, dtype=torch.complex128), 11) == []
