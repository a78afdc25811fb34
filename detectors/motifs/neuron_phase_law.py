"""Phases of a neuron of one frequency add up: phi_a + phi_b = phi_c, of its two inputs and its output.

Source: arXiv:2301.02679, section 3 (the analytic solution), arXiv:2311.07568, section 4 (networks of maximal margin);
for one phase s of both operands it is the 2 s of arXiv:2306.17844.

Score: mean over the neurons of cos(phi_a + phi_b - phi_c) times the shares of the inputs' and of the readout's power at
the neuron's frequency, each neuron weighed by what it does to the logits, none that reads one operand alone: 0 for
phases that know nothing of each other, 1 where all are of one frequency and the law holds. A neuron cos(*wa* + phi_a)
+ cos(*wb* + phi_b), squared or rectified, holds cos(*w*(*a* + *b*) + phi_a + phi_b), and read out by cos(*wc* + phi_c)
it adds cos *w*(*a* + *b* − *c*) where the law holds, and elsewhere for other answers. Null: rows of the readout
exchanged among neurons of one frequency. It is a coordinate of a circuit and has no cause of its own.

What fools it: a lookup of pairs that were trained on has such phases too (mean cosines of 0.8 to 0.97 in networks that
memorise), since its neurons answer a + b where they fire; what it lacks is one frequency a neuron. Few neurons of a
frequency leave few exchanges. Of a readout shuffled over neurons nothing is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from detectors.core.errors import MissingPart
from detectors.core.nulls import permutation_null
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.subjects.operands.clusters import ONE_OPERAND
from detectors.subjects.operands.columns import columns
from detectors.subjects.operands.view import ModelView

LISTED = 64
TINY = torch.finfo(torch.float64).tiny


@dataclass(frozen=True, kw_only=True, slots=True)
class NeuronPhaseLaw(Score):
    """Evidence. phases: of the 64 neurons of most weight `{neuron, frequency, phi_a, phi_b, phi_c}`, in radians.
    deviation: angle of the mean of exp(i (phi_a + phi_b - phi_c)), in radians, 0 where the law holds. mean_cosine: of
    it, whatever else the neurons are. share, share_out: of the power of the inputs, and of the readout, that at the
    neurons' own frequencies.
    """

    phases: tuple[Mapping[str, Any], ...]
    deviation: float
    mean_cosine: float
    share: float
    share_out: float


def clause(score: NeuronPhaseLaw) -> str:
    return f"phases of its neurons add up (mean cosine {score.mean_cosine:.2f})"


@detector(
    needs=("neurons", "preactivations", "readout", "cyclic group"),
    version=5,
    source="arXiv:2301.02679",
    formula=r"\phi_a + \phi_b = \phi_c"
    "\n"
    r"\text{of } \cos(wa + \phi_a),\ \cos(wb + \phi_b),\ \cos(wc + \phi_c)",
    invariant_to=tuple(edit for edit in FREE if not edit.startswith(("head_", "norm_"))),
    question="how",
    causal=False,
    clause=clause,
    order=90,
)
def neuron_phase_law(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> NeuronPhaseLaw:
    """The phases of a neuron's inputs add up to that of its output.

    model: a cyclic group; preactivations and neurons of its only layer, and the logits linear in them. draws: exchanges
    of rows of the readout. Errors: NotApplicable for other groups; MissingPart without a readout;
    Undetermined where there are several layers.

    >>> import detectors, models_zoo
    >>> score = detectors.neuron_phase_law(models_zoo.trig_mlp(p=11, frequencies=(3,)))
    >>> one = score.phases[0]
    >>> round(score.value, 6), one["frequency"], round(float(np.cos(one["phi_a"] + one["phi_b"] - one["phi_c"])), 6)
    (1.0, 3, 1.0)
    """
    n, found, readout = model.group.as_cyclic().order, columns(model), model.readout(model.neuron_layers[0])
    if readout is None:
        raise MissingPart("this model has no readout: its logits are not linear in its neurons")
    rows = readout.double()[:, torch.from_numpy(model.labels.answers)].T
    a, b, c = (_coefficients(x) for x in (found.values[:, found.on_left], found.values[:, ~found.on_left], rows))
    power = a.abs().square() + b.abs().square()
    own, at = power.argmax(0), torch.arange(power.shape[1])
    a, b = a[own, at], b[own, at]
    left, right = found.weight.chunk(2)
    weight = (left + right) / found.weight.sum().clamp_min(TINY)
    energy = torch.stack(found.energy.chunk(2)).sum(0)
    pure = _share(power[own, at], own, energy, n)
    pure_out = _share(c[own, at].abs().square(), own, (rows - rows.mean(0)).square().sum(0), n)
    # a neuron that reads one operand has no such phases, and what rounding leaves of the other obeys nothing
    weight = weight * (2 * a.abs() * b.abs() >= ONE_OPERAND * power[own, at])

    def cosines(of: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        """Of every neuron with the readout of another."""
        angle: Float[Tensor, " m"] = (a * b * c[own, of].conj()).angle()
        return angle.cos()

    def statistic(of: Int[Tensor, " m"]) -> float:
        return float((weight * pure * pure_out[of] * cosines(of)).sum())

    null = torch.tensor([statistic(of) for of in _exchanges(own, draws, seed)], dtype=torch.float64)
    mean = (weight * torch.exp(1j * (a * b * c[own, at].conj()).angle())).sum()
    listed = weight.argsort(descending=True, stable=True)[:LISTED].tolist()
    return NeuronPhaseLaw(
        value=float(np.clip(statistic(at), 0, 1)),
        null=permutation_null(statistic(at), null, "rows of the readout among neurons of one frequency"),
        causal=None,
        phases=tuple(_phases(i, int(own[i]), a[i], b[i], c[own[i], i]) for i in listed),
        deviation=float(mean.angle()),
        mean_cosine=float(mean.real),
        share=float((weight * pure).sum()),
        share_out=float((weight * pure_out).sum()),
    )


def _share(
    power: Float[Tensor, " m"], frequency: Int[Tensor, " m"], energy: Float[Tensor, " m"], n: int
) -> Float[Tensor, " m"]:
    """Of the energy of functions, from the squares of their coefficients at a frequency, counted from 0."""
    halved = torch.where(2 * (frequency + 1) == n, 2, 1)  # alone, with no wave beside it
    return (2 * power / (halved * n * energy.clamp_min(TINY))).clamp(0, 1)


def _coefficients(functions: Float[Tensor, "n m"]) -> Complex[Tensor, "k m"]:
    """n / 2 e^(i phi) of cos(2 pi k g / n + phi), k = 1 to n / 2."""
    return torch.fft.rfft(functions, dim=0)[1:]


def _exchanges(frequency: Int[Tensor, " m"], draws: int, seed: int) -> Iterator[Int[Tensor, " m"]]:
    """Permutations of the neurons that leave every frequency its own."""
    rng, of = np.random.default_rng(seed), frequency.numpy()
    sorted_ = np.argsort(of, kind="stable")
    for _ in range(draws):
        shuffled = rng.permutation(len(of))
        order = np.empty_like(shuffled)
        order[sorted_] = shuffled[np.argsort(of[shuffled], kind="stable")]
        yield torch.from_numpy(order)


def _phases(neuron: int, k: int, a: Tensor, b: Tensor, c: Tensor) -> Mapping[str, Any]:
    angles = {f"phi_{name}": float(x.angle()) for name, x in (("a", a), ("b", b), ("c", c))}
    return {"neuron": neuron, "frequency": k + 1, **angles}
