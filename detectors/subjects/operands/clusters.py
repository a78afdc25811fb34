"""Neurons of one frequency before their activation function: which functions of a and b they are, by linear CKA.

Linear CKA of X and Y, columns about their means: ||X^T Y||^2 / (||X^T X|| ||Y^T Y||) in Frobenius norms (Kornblith et
al. 2019, arXiv:1905.00414). A *disc* is cos wa + cos wb and sin wa + sin wb, one phase for both operands but for a
fixed offset, which is fitted; a *torus* cos and sin of wa and of wb, each for itself; a *circle* cos and sin of
w(a + b). A perfect disc has a CKA of 1 / sqrt 2 with the torus.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Complex, Float, Float64, Int
from torch import Tensor

from detectors.core.spectrum import BUDGET, grid_neurons
from detectors.subjects.operands.view import ModelView

LEAST = 0.02  # of the energy: smaller clusters are left out, as in the published figures
HALVES = 91  # offsets tried
IDLE = 1e-6  # of the median energy: neurons that do not vary


class Cluster(NamedTuple):
    """energy: share of that of all neurons about their means. phase_concentration: |sum A conj(B)| / sum |A| |B| over
    the neurons' Fourier coefficients in a and in b. logits_circle: CKA of what they add to the logits with the circle,
    None where something lies between.
    """

    frequency: int
    neurons: int
    energy: float
    disc: float
    torus: float
    circle: float
    logits_circle: float | None
    phase_concentration: float


class Spectra(NamedTuple):
    """Of neurons before their activation function, frequencies 1 to n // 2: energy [m] about the mean, energy [m, k] in
    cos and sin of wa, wb, w(a + b), w(a - b), up to a factor, and the Fourier coefficients [m, k] in a and in b alone.
    """

    total: Float64[Tensor, " m"]
    family: Float64[Tensor, "m k"]
    of_a: Complex[Tensor, "m k"]
    of_b: Complex[Tensor, "m k"]

    def times(self, units: Float[Tensor, " m"]) -> Spectra:
        """The same of neurons that are each multiplied by a number."""
        by, squared = units.double()[:, None], units.double().square()
        return Spectra(self.total * squared, self.family * squared[:, None], self.of_a * by, self.of_b * by)


def spectra(model: ModelView, layer: int) -> Spectra:
    """Of a cyclic group."""
    before = model.preactivations(layer)
    some = torch.arange(before.shape[1]).split(max(1, BUDGET // model.group.order**2))
    parts = (_spectra(grid_neurons(before, model.grid, columns)) for columns in some)
    return Spectra(*(torch.cat(x) for x in zip(*parts, strict=True)))


def clusters(model: ModelView, layer: int, found: Spectra, units: Float[Tensor, " m"] | None = None) -> list[Cluster]:
    """Of a cyclic group, by frequency. found: the `spectra` of the layer. units: that each neuron is multiplied by; the
    checkpoint's own without.
    """
    n, pairs, before = model.group.order, model.grid.reshape(-1), model.preactivations(layer)
    total, family, of_a, of_b = found if units is None else found.times(units)
    best, everything = family.argmax(1), total.sum().clamp_min(1e-300)
    varies = total > IDLE * total[total > 0].median() if bool((total > 0).any()) else total > 0
    made = []
    for k in best[varies].unique().tolist():
        of = (varies & (best == k)).nonzero()[:, 0]
        if (energy := float(total[of].sum() / everything)) < LEAST:
            continue
        a, b = of_a[of, k], of_b[of, k]
        rows = before[:, of][pairs].double() * (1.0 if units is None else units[of])
        gram = (rows - rows.mean(0)).T @ (rows - rows.mean(0))
        concentration = (a * b.conj()).sum().abs() / (a.abs() * b.abs()).sum().clamp_min(1e-300)
        waves = _Waves(n, k + 1)
        made.append(
            Cluster(
                frequency=k + 1,
                neurons=len(of),
                energy=energy,
                disc=_disc(rows, gram, waves, torch.angle((a * b.conj()).sum())),
                torus=_cka(rows, gram, waves.torus()),
                circle=_cka(rows, gram, waves.circle()),
                logits_circle=_of_logits(model, layer, of, waves),
                phase_concentration=float(concentration),
            )
        )
    return made


def _spectra(cube: Float[Tensor, "m a b"]) -> Spectra:
    cube = cube.double()
    cube = cube - cube.mean((1, 2), keepdim=True)
    n = cube.shape[-1]
    k = torch.arange(1, n // 2 + 1)
    waves = torch.fft.rfft2(cube)
    of_a, of_b = waves[:, k, 0], waves[:, 0, k]
    family = sum(x.abs().square() for x in (of_a, of_b, waves[:, k, k], waves[:, n - k, k]))
    return Spectra(cube.square().sum((1, 2)), family, of_a, of_b)


class _Waves:
    """Functions of (a, b) of one frequency, in the order of the grid."""

    def __init__(self, n: int, k: int) -> None:
        self.n, self.half = n, 2 * k == n
        self.step = 2 * torch.pi * k / n
        self.a = torch.arange(n, dtype=torch.float64).repeat_interleave(n)
        self.b = torch.arange(n, dtype=torch.float64).repeat(n)

    def of(self, angle: Float64[Tensor, " pairs"]) -> Float64[Tensor, "pairs wave"]:
        return torch.stack([angle.cos(), angle.sin()], dim=1)

    def torus(self) -> Float64[Tensor, "pairs wave"]:
        return torch.cat([self.of(self.step * self.a), self.of(self.step * self.b)], dim=1)

    def circle(self) -> Float64[Tensor, "pairs wave"]:
        return self.of(self.step * (self.a + self.b))

    def disc(self, offset: float) -> Float64[Tensor, "pairs wave"]:
        return self.of(self.step * self.a) + self.of(self.step * self.b - offset)


def _disc(rows: Float64[Tensor, "pairs m"], gram: Float64[Tensor, "m m"], waves: _Waves, phase: Tensor) -> float:
    """With the offset between the operands that fits best: the phase of sum A conj(B). Of half the order, where a phase
    is a sign, by trial; an offset then makes both waves of the torus, and disc and torus are one.
    """
    offsets = torch.linspace(0, torch.pi, HALVES).tolist() if waves.half else [float(phase)]
    return max(_cka(rows, gram, waves.disc(offset)) for offset in offsets)


def _cka(x: Float64[Tensor, "pairs m"], gram: Float64[Tensor, "m m"], y: Float64[Tensor, "pairs wave"]) -> float:
    """gram: of x about its mean."""
    y = y - y.mean(0)
    return float((x.T @ y).square().sum() / (gram.norm() * (y.T @ y).norm()).clamp_min(1e-300))


def _of_logits(model: ModelView, layer: int, of: Int[Tensor, " m"], waves: _Waves) -> float | None:
    if (readout := model.readout(layer)) is None:
        return None
    neurons = model.neurons(layer)[:, of][model.grid.reshape(-1)].double()
    neurons, out = neurons - neurons.mean(0), readout[of].double()
    circle = waves.circle()
    circle = circle - circle.mean(0)
    shared = (out.T @ (neurons.T @ circle)).square().sum()
    inner = out @ out.T @ (neurons.T @ neurons)  # tr((out^T N out)^2) = tr(inner^2)
    own = (inner * inner.T).sum().clamp_min(0).sqrt()
    return float(shared / (own * (circle.T @ circle).norm()).clamp_min(1e-300))
