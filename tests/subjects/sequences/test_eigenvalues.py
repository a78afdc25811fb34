"""The sum of OV's eigenvalues under permutations of its rows: its moments over all of them are 0 and 1."""

from itertools import permutations

import torch

from detectors.subjects.sequences.eigenvalues import _traces


def test_moments_over_all_permutations_are_those_in_closed_form():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(5, 5, dtype=torch.float64, generator=generator)
    matrix = matrix - matrix.mean(0)
    matrix = matrix - matrix.mean(1, keepdim=True)
    every = torch.tensor(list(permutations(range(5))))
    found = _traces(matrix, every)
    assert torch.isclose(found[0] * (matrix.square().sum() / 4).sqrt(), matrix.trace())
    assert torch.isclose(found[0], found[1])  # the first permutation changes nothing
    assert abs(float(found[1:].mean())) < 1e-12
    assert torch.isclose(found[1:].square().mean(), torch.ones((), dtype=torch.float64))
    rows = every[37]
    assert torch.isclose(found[38] / found[0], matrix[rows].trace() / matrix.trace())
