"""Heads that copy and heads that suppress: the signs of OV's eigenvalues, and of its diagonal."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from detectors.core.heads import Heads
from detectors.core.nulls import permutations
from detectors.subjects.sequences.circuits import Circuit, circuits
from detectors.subjects.sequences.heads import WEAK, Scored, by_weights
from detectors.subjects.sequences.patterns import sample_of
from detectors.subjects.sequences.view import SequenceView

OF_MANY = 0.5  # a score below which no cause is asked for in a language model, where many heads copy a little

SURE = 3.0  # standard deviations


def by_eigenvalues(model: SequenceView, sign: float, *, draws: int, seed: int) -> Heads:
    """sign: 1 for copying, -1 for its opposite. Chance is measured by the trace, the sum of the eigenvalues, in
    standard deviations over all permutations of the rows. Errors: NotApplicable as `circuits`.
    """
    sample = sample_of(model)
    found = circuits(model, sample)
    order = permutations(len(found[0].read), draws, seed)
    shares = torch.stack([sign * share(c) for c in found])
    one_by_one = (sign * (c.read @ c.write) for c in found)  # together they take half a gigabyte in a language model
    own, columns = zip(*((_own(m), _traces(m, order)) for m in one_by_one), strict=True)
    score, traces = torch.minimum(shares, torch.stack(own)).clamp(0, 1), torch.stack(columns, dim=1)
    nowhere = torch.full((len(score), sample.tokens.shape[1]), torch.nan)
    scored = Scored(score.float(), nowhere, traces[0].float(), traces[1:].float())
    weak = OF_MANY if model.language else WEAK
    return by_weights(model, sample, scored, "rows of OV", weak=weak, seed=seed)


def share(circuit: Circuit) -> Tensor:
    """Sum of the real parts of the eigenvalues over the sum of their sizes; 0 of a head that writes nothing.

    >>> share(Circuit(torch.eye(3, dtype=torch.float64), -torch.eye(3, dtype=torch.float64))).item()
    -1.0
    """
    values = circuit.eigenvalues()
    return values.real.sum() / values.abs().sum().clamp_min(1e-300)


def sign(circuit: Circuit) -> int | None:
    """1 of a head that says what it sees, -1 of one that says anything but that; None where OV's trace is within three
    standard deviations over permutations of its rows, as where OV is rounding, or names other tokens.

    >>> one = torch.eye(30, dtype=torch.float64) - 1 / 30
    >>> [sign(Circuit(one, by)) for by in (one, -one, one.roll(1, 0))]
    [1, -1, None]
    """
    matrix = circuit.read @ circuit.write
    trace = float(_traces(matrix, torch.zeros(0, len(matrix), dtype=torch.long))[0])
    return None if abs(trace) < SURE else 1 if trace > 0 else -1


def _own(matrix: Float64[Tensor, "token token"]) -> Tensor:
    """Share of the tokens whose own entry is the largest of their row."""
    return (matrix.argmax(1) == torch.arange(len(matrix))).double().mean() * bool(matrix.abs().max() > 1e-12)


def _traces(matrix: Float64[Tensor, "token token"], order: Int[Tensor, "draws token"]) -> Float64[Tensor, draws + 1]:
    """As it is and with its rows permuted, of rows and columns about their means: then the mean over all permutations
    is 0, and the variance the sum of squares over n - 1 (Hoeffding 1951, on the combinatorial central limit theorem).
    """
    n = len(matrix)
    deviation = (matrix.square().sum() / (n - 1)).sqrt().clamp_min(1e-300)
    every = torch.cat([torch.arange(n)[None], order])
    return matrix[every, torch.arange(n)].sum(1) / deviation
