"""How a first layer adds: its neurons in clusters of one frequency, and where each stands between disc and torus.

Source: arXiv:2512.25060 (disc, torus, circle; linear CKA), arXiv:2306.17844 (gradient symmetricity, distance
irrelevance, circularity, circles one at a time), arXiv:2602.16849 (another activation function). "Clock" and "pizza"
were published as two algorithms; since, first layers were found to make a disc (cos *wa* + cos *wb*, one phase for both
operands) or a torus (each operand for itself), and practically never the product form. So these are coordinates, and no
label.

Score: the share of the preactivations' variance in cos and sin of *wa*, *wb*, *w*(*a*+*b*), *w*(*a*−*b*) of one
frequency a neuron, each neuron weighed by what it does to the logits; 0 is what tokens in random order reach, 1 every
neuron in one cluster. Null: one permutation of the tokens for both operands. The coordinates are in the checkpoint's
own units, as published: a neuron times 1e4 moves them, and neither value nor verdict. There is no cause of its own.

What fools it: a disc has a CKA of 1/√2 = 0.707 with the torus, so 0.70 is a floor and no evidence; phase concentration
separates the two. Any network that sees *E*[*a*] + *E*[*b*] alone has gradient symmetricity 1, trained or not. A
pattern of distances shows early in training too: under 99% right it is said. A square wave of one period has 9% of its
power at three times its frequency and 3% at five times: five such codes mod 113 have 2% of the power and more at six
frequencies, which `families` counts as five, and a concentration of 0.84 where five cosines have 0.91. In eleven
published networks no two frequencies above 2% are one wave. That all is right under |*x*| and *x*² shows no disc: a
torus is, and so is a lookup by one neuron a pair. Where attention depends on the tokens, a circle alone changes it and
fits neither clock nor pizza (down to −0.6), and *x*² costs 3% to 22% of the answers. Neurons whose
readouts cancel have no weight, unless what is left of them is over 5% of the logits' squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from detectors.core.errors import Undetermined
from detectors.core.nulls import permutation_null
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.subjects.operands.circles import circles
from detectors.subjects.operands.clusters import clusters, spectra
from detectors.subjects.operands.effects import effects_before
from detectors.subjects.operands.families import RANK_BEFORE, Families, beyond_chance
from detectors.subjects.operands.harmonics import harmonic_families
from detectors.subjects.operands.swaps import swapped
from detectors.subjects.operands.symmetry import circularity, distance_irrelevance, gradient_symmetricity
from detectors.subjects.operands.view import ModelView

COORDINATES = ("disc", "torus", "circle", "logits_circle", "phase_concentration")
CONVERGED = 0.99  # of the pairs answered right
MOST = 8  # circles: each costs two passes


@dataclass(frozen=True, kw_only=True, slots=True)
class AdditionMechanism(Score):
    """Evidence. clusters: by frequency, each `{frequency, neurons, energy, disc, torus, circle, logits_circle,
    phase_concentration}`, those of at least 2% of the energy. mean: their coordinates weighed by energy, a phase
    concentration of those that have one. weighed: the same with every neuron in units of what it does to the logits,
    which no rescaling moves, and of which the sentence speaks, and by cluster `{frequencies, energies,
    phase_concentrations}`. Circles of the embedding, of the frequencies of the eight strongest of those clusters at
    most, strongest first, over all pairs of orders up to 64 and 2048 of others. circles: each `{frequency, clock,
    pizza, kept, removed}`: what cos *w*(*a*+*b*−*c*) and, with the offset between the operands that fits,
    |cos(*w*(*a*−*b*)/2)| cos *w*(*a*+*b*−*c*) explain of the logits with it alone, 2*r* − 1 of Pearson's *r*, from 1
    down to −3; the share of pairs right with it alone, and without it. circles_alone: the share right with all of them
    alone. families: frequencies of at least 2% of the power in *a* and in *b*, each list one period: a frequency, and
    its odd harmonics if their power falls as a square or triangle wave's and their phases are locked to its own.
    swapped: the share right with |*x*| (`abs`) and *x*² (`square`) for the activation function, weights as they are.
    The published scalars: gradient_symmetricity with its standard error, over 20,480 random triples or all, None where
    no gradient passes; distance_irrelevance, None where the right logit is constant; circularity of the embedding, a
    mean over operands with tables of their own.
    """

    clusters: tuple[Mapping[str, Any], ...]
    mean: Mapping[str, float | None]
    weighed: Mapping[str, Any]
    circles: tuple[Mapping[str, Any], ...]
    circles_alone: float | None
    families: tuple[list[int], ...]
    swapped: Mapping[str, float]
    gradient_symmetricity: float | None
    gradient_symmetricity_error: float | None
    distance_irrelevance: float | None
    circularity: float


def clause(score: AdditionMechanism) -> str:
    """Coordinates, of which units of neurons are no part."""
    found = score.weighed["frequencies"]
    many, at = len(found), ", ".join(map(str, found))
    last = "circle" if score.weighed["phase_concentration"] is None else "phase_concentration"
    placed = ", ".join(f"{k.replace('_', ' ')} {score.weighed[k]:.2f}" for k in ("disc", "torus", last))
    return f"first layer in {many} cluster{'s' if many != 1 else ''} of one frequency ({at}): {placed}"


@detector(
    needs=("neurons", "preactivations", "cyclic group", "logits", "run"),
    version=3,
    source="arXiv:2512.25060",
    formula=r"\text{disc: } \cos(wa) + \cos(wb)"
    "\n"
    r"\text{torus: } \cos(wa),\ \sin(wa),\ \cos(wb),\ \sin(wb)"
    "\n"
    r"\text{circle: } \cos(w(a+b))",
    invariant_to=tuple(edit for edit in FREE if edit not in ("neuron_scale", "residual_rotation")),
    question="how",
    causal=False,
    clause=clause,
    order=60,
)
def addition_mechanism(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> AdditionMechanism:
    """The first layer's neurons are clusters of one frequency.

    model: a cyclic group; preactivations and neurons of its only layer. Errors: NotApplicable for other groups;
    Undetermined where there are several layers.

    >>> import detectors, models_zoo
    >>> score = detectors.addition_mechanism(models_zoo.trig_mlp(p=11, frequencies=(3,), act_fn="square"))
    >>> [c["frequency"] for c in score.clusters], round(score.mean["disc"], 3), round(score.mean["torus"], 3)
    ([3], 1.0, 0.707)
    """
    model.group.as_cyclic()
    if len(model.neuron_layers) > 1:
        raise Undetermined(f"its logits are not read off the first of {len(model.neuron_layers)} layers with neurons")
    number = model.neuron_layers[0]
    effect, (found, weighed) = effects_before(model, number), clusters(model, number)
    own = spectra(model, number).times(effect.sqrt())
    of_neurons = Families(own.total, own.waves.family)
    layer = beyond_chance(model, number, model.preactivations(number), of_neurons, effect, draws, seed, RANK_BEFORE)
    strongest = sorted(weighed, key=lambda c: -c.energy)[:MOST]
    each, together = circles(model, [c.frequency for c in strongest], seed)
    symmetric = gradient_symmetricity(model, seed)
    accuracy = model.figures().accuracy.all or 0.0
    return AdditionMechanism(
        value=layer.score,
        null=permutation_null(layer.null.observed, layer.null.means, "tokens of the strongest neurons"),
        causal=None,
        remark=f"it is right on {accuracy:.1%} alone" if accuracy < CONVERGED else "",
        clusters=tuple(c._asdict() for c in found),
        mean={key: _mean(found, key) for key in COORDINATES},
        weighed={
            "frequencies": [c.frequency for c in weighed],
            "energies": [c.energy for c in weighed],
            "phase_concentrations": [c.phase_concentration for c in weighed],
            **{key: _mean(weighed, key) for key in COORDINATES},
        },
        circles=tuple(c._asdict() for c in each),
        circles_alone=together,
        families=tuple(harmonic_families(torch.cat([own.waves.of_a, own.waves.of_b]), model.group.order)),
        swapped=swapped(model, number, seed),
        gradient_symmetricity=symmetric.mean,
        gradient_symmetricity_error=symmetric.error,
        distance_irrelevance=distance_irrelevance(model),
        circularity=circularity(model),
    )


def _mean(found: list[Any], key: str) -> float | None:
    """By energy, of those that have it."""
    known = [(value, c.energy) for c in found if (value := getattr(c, key)) is not None]
    return float(sum(value * by for value, by in known) / sum(by for _, by in known)) if known else None
