"""Neurons of one frequency before their activation function: which functions of a and b they are, by linear CKA.

Linear CKA of X and Y, columns about their means: ||X^T Y||^2 / (||X^T X|| ||Y^T Y||) in Frobenius norms (Kornblith et
al. 2019, arXiv:1905.00414). A *disc* is cos wa + cos wb and sin wa + sin wb, one phase for both operands but for a
fixed offset, which is fitted; a *torus* cos and sin of wa and of wb, each for itself; a *circle* cos and sin of
w(a + b). A perfect disc has a CKA of 1 / sqrt 2 with the torus.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from detectors.core.spectrum import Waves, grid_neurons, in_turn, waves
from detectors.subjects.operands.effects import effects_before
from detectors.subjects.operands.once import once
from detectors.subjects.operands.view import ModelView

LEAST = 0.02  # of the energy: smaller clusters are left out, as in the published figures
HALVES = 91  # offsets tried
IDLE = 1e-6  # of the median energy: neurons that do not vary
PRODUCT = 0.05  # CKA with the torus: of products under 0.01, of trained sums over 0.6
# 2 |A| |B| of |A|^2 + |B|^2: under it one operand is not read, and its phase is rounding (1e-6) or little more
ONE_OPERAND = 0.01


class Cluster(NamedTuple):
    """energy: share of that of all neurons about their means. phase_concentration: |sum A conj(B)| / sum |A| |B| over
    the neurons' Fourier coefficients in a and in b, None where those hold next to nothing, as where a layer multiplies
    what it has of a with what it has of b, or where each neuron reads one operand alone. logits_circle: CKA of what
    they add to the logits with the circle, None where something lies between.
    """

    frequency: int
    neurons: int
    energy: float
    disc: float
    torus: float
    circle: float
    logits_circle: float | None
    phase_concentration: float | None


class Spectra(NamedTuple):
    """Of neurons before their activation function, in a cyclic group: power [m] about the mean, and `Waves`."""

    total: Float64[Tensor, " m"]
    waves: Waves

    def times(self, units: Float[Tensor, " m"]) -> Spectra:
        """The same of neurons that are each multiplied by a number."""
        return Spectra(self.total * units.double().square(), self.waves.times(units.double()))


@once
def spectra(model: ModelView, layer: int) -> Spectra:
    """Of a cyclic group."""
    before, n = model.preactivations(layer), model.group.order
    totals, parts = [], []
    for cube in in_turn(before, model.grid):
        cube -= cube.mean((1, 2), keepdim=True)
        totals.append(cube.square().sum((1, 2)))
        parts.append(waves(cube))
    of_a, of_b = torch.cat([x.of_a for x in parts]), torch.cat([x.of_b for x in parts])
    along, against = torch.cat([x.along for x in parts]), torch.cat([x.against for x in parts])
    return Spectra(torch.cat(totals), Waves(of_a, of_b, along, against, n))


class Clusters(NamedTuple):
    """own: in the checkpoint's own units. weighed: every neuron in units of what it does to the logits."""

    own: list[Cluster]
    weighed: list[Cluster]


@once
def clusters(model: ModelView, layer: int) -> Clusters:
    """Of a cyclic group, by frequency."""
    found, units = spectra(model, layer), effects_before(model, layer).sqrt()
    best, made = found.waves.family.argmax(1), Clusters([], [])
    both = [(made.own, torch.ones_like(units)), (made.weighed, units)]
    scaled = [found.total * by.square() for _, by in both]
    varies = [total > IDLE * total[total > 0].median() for total in scaled]  # nowhere where none does: NaN
    for k in best.unique().tolist():
        of = best == k
        energies = [float(x[of & v].sum() / x.sum().clamp_min(1e-300)) for x, v in zip(scaled, varies, strict=True)]
        if max(energies) < LEAST:
            continue
        shared = _Shared(model, layer, of.nonzero()[:, 0], k + 1, found.waves)
        for (into, by), energy, vary in zip(both, energies, varies, strict=True):
            if energy >= LEAST:
                into.append(shared.cluster(energy, by[of], vary[of]))
    return made


class _Shared:
    """What the cluster of some neurons of one frequency is in any units: Gram matrices over the pairs, about means."""

    def __init__(self, model: ModelView, layer: int, of: Int[Tensor, " m"], k: int, found: Waves) -> None:
        self.frequency, self.n, self.half = k, model.group.order, 2 * k == model.group.order
        self.a, self.b, self.along = (x[of, k - 1] * self.n**2 for x in (found.of_a, found.of_b, found.along))
        self.gram = _gram(grid_neurons(model.preactivations(layer)[:, of], model.grid))
        readout = model.readout(layer)
        self.out = None if readout is None else readout[of].double()
        if self.out is not None:
            neurons = grid_neurons(model.neurons(layer)[:, of], model.grid)
            angle = 2 * torch.pi * k / self.n * (torch.arange(self.n)[:, None] + torch.arange(self.n)).double()
            circle = torch.stack([angle.cos(), angle.sin()], -1).reshape(-1, 2)
            self.circle, self.after = neurons.flatten(1).double() @ circle, _gram(neurons)

    def cluster(self, energy: float, units: Float[Tensor, " m"], vary: Bool[Tensor, " m"]) -> Cluster:
        """Of those that vary."""
        by = units.double()[vary]
        a, b, along = (x[vary] * by for x in (self.a, self.b, self.along))
        norm = (self.gram[vary][:, vary] * by[:, None] * by).norm()
        square, unit = self.n**2, 2 ** (0.5 if self.half else 0.0)

        def cka(shared: Tensor, waves: float) -> float:
            """waves: norm of the waves' own Gram matrix."""
            return float(shared / (norm * waves).clamp_min(1e-300))

        both, of_each = (a.abs() * b.abs()).sum(), a.abs().square().sum() + b.abs().square().sum()
        torus = cka(of_each, square * unit)
        known = torus >= PRODUCT and bool(2 * both >= ONE_OPERAND * of_each)
        return Cluster(
            frequency=self.frequency,
            neurons=int(vary.sum()),
            energy=energy,
            disc=max(cka((a + b * torch.exp(1j * x)).abs().square().sum(), self._disc(x)) for x in self._offsets(a, b)),
            torus=torus,
            circle=cka(along.abs().square().sum(), square * unit / 2**0.5),
            logits_circle=self._of_logits(vary),
            phase_concentration=float((a * b.conj()).sum().abs() / both) if known else None,
        )

    def _offsets(self, a: Tensor, b: Tensor) -> Tensor:
        """Between the operands, that which fits best: the phase of sum A conj(B). Of half the order, where a phase is a
        sign, by trial; an offset then makes both waves of the torus, and disc and torus are one.
        """
        trial = torch.linspace(0, torch.pi, HALVES, dtype=torch.float64)
        return trial if self.half else torch.angle((a * b.conj()).sum())[None]

    def _disc(self, offset: Tensor) -> float:
        if not self.half:
            return float(self.n**2 * 2**0.5)
        c, s = float(offset.cos()), float(offset.sin())
        return float(self.n**2 * ((1 + c * c) ** 2 + 2 * (c * s) ** 2 + s**4) ** 0.5)

    def _of_logits(self, vary: Bool[Tensor, " m"]) -> float | None:
        if self.out is None:
            return None
        out, after = self.out[vary], self.after[vary][:, vary]
        shared = (out.T @ self.circle[vary]).square().sum()
        inner = out @ out.T @ after  # tr((out^T N out)^2) = tr(inner^2)
        own = (inner * inner.T).sum().clamp_min(0).sqrt()
        waves = self.n**2 / (1 if self.half else 2**0.5)
        return float(shared / (own * waves).clamp_min(1e-300))


def _gram(neurons: Float[Tensor, "m n n"]) -> Float64[Tensor, "m m"]:
    rows = neurons.flatten(1).double()
    rows -= rows.mean(1, keepdim=True)
    return rows @ rows.T
