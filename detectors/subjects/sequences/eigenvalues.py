"""Heads that copy and heads that suppress: the signs of OV's eigenvalues, and of its diagonal."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors.core.heads import Heads
from detectors.core.nulls import permutations
from detectors.subjects.sequences.circuits import Circuit, circuits
from detectors.subjects.sequences.heads import Scored, by_weights
from detectors.subjects.sequences.patterns import sample_of
from detectors.subjects.sequences.view import SequenceView


def by_eigenvalues(model: SequenceView, sign: float, *, draws: int, seed: int) -> Heads:
    """sign: 1 for copying, -1 for its opposite. Errors: NotApplicable as `circuits`."""
    sample = sample_of(model)
    found = circuits(model, sample)
    order = permutations(len(found[0].read), draws, seed)
    shares = torch.stack([sign * share(c) for c in found])
    null = torch.stack([torch.stack([sign * share(Circuit(c.read[o], c.write)) for o in order]) for c in found], dim=1)
    every = torch.cat([shares[None], null])  # the share found is one more draw, under the null
    standard = (every - every.mean(0)) / every.std(0).clamp_min(1e-9)
    own = torch.stack([_own(c, sign) for c in found])
    score = torch.minimum(shares, own).clamp(0, 1)
    nowhere = torch.full((len(score), sample.tokens.shape[1]), torch.nan)
    scored = Scored(score.float(), nowhere, standard[0].float(), standard[1:].float())
    return by_weights(model, sample, scored, "rows of OV", seed)


def share(circuit: Circuit) -> Tensor:
    """Sum of the real parts of the eigenvalues over the sum of their sizes; 0 of a head that writes nothing.

    >>> share(Circuit(torch.eye(3, dtype=torch.float64), -torch.eye(3, dtype=torch.float64))).item()
    -1.0
    """
    values = circuit.eigenvalues()
    return values.real.sum() / values.abs().sum().clamp_min(1e-300)


def _own(circuit: Circuit, sign: float) -> Tensor:
    """Share of the tokens whose own entry is the largest, or the smallest, of their row."""
    matrix = sign * (circuit.read @ circuit.write)
    return (matrix.argmax(1) == torch.arange(len(matrix))).double().mean() * bool(matrix.abs().max() > 1e-12)
