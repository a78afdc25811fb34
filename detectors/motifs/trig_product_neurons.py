"""Neurons that multiply sines and cosines: N(a, b) = sum of f(a) g(b) with f, g in {1, cos(wa), sin(wa)}, one w each.

Source: arXiv:2301.05217, section 4 (neurons fitted by sines and cosines of one frequency); arXiv:2302.03025,
section 4 (any group: the span of the matrix entries of one irrep in a and in b).

Score: 0 is what neurons over tokens in random order reach, 1 every neuron in one family. A neuron's share is the
largest part of its power about the mean in one family {trivial, irrep} x {trivial, irrep}; the statistic is its mean
over live neurons, each weighed by what it does to the logits (`detectors/subjects/operands/families.py`). Of several
layers the one with the highest score is taken. Null: one permutation of the tokens for both operands, on a rank-six
approximation of the 64 neurons of largest weight, a choice that does not depend on the labels; the largest over the
layers, which pays for having looked at several.

What fools it: a readout shuffled over neurons leaves every neuron pure (no cause can then be shown). Dead neurons,
those that nothing reads and those that cancel each other have no share and are counted apart. Where no gradient
reaches them, as in a network that gives detached logits, power alone weighs them, which the reason says: a neuron's
unit then matters. The best of many families is high by chance in small groups, which the null corrects. A ReLU's second
harmonic, or a square's, is outside its family: see `with_harmonic`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import mode

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.irreps import named, with_doubles, within_family
from detectors.core.nulls import carriers, permutation_null
from detectors.core.registry import FREE, detector
from detectors.core.score import Score, for_picture
from detectors.core.spectrum import grid_neurons, ranked
from detectors.subjects.operands.edits import cause, edit_neurons, of_irreps, other_neurons
from detectors.subjects.operands.effects import POWER_ALONE
from detectors.subjects.operands.families import Families, Layer, layer_of
from detectors.subjects.operands.view import ModelView

EXPLAINED = 0.85  # the share above which arXiv:2301.05217 counts a neuron
# Operands of the papers' largest groups but S6, of order 122, are whole; a dot has three numbers: no more than a map.
SIDE, DRAWN = 128, 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Neurons:
    """The live neurons, strongest first and at most DRAWN: number, name of the best irrep, its share of their power. An
    example, the strongest of the irrep that most have, about its mean, and its projection on that irrep's family.
    """

    numbers: tuple[int, ...]
    irreps: tuple[str, ...]
    shares: tuple[float, ...]
    example: int
    values: Float[np.ndarray, "a b"]
    fit: Float[np.ndarray, "a b"]
    fit_share: float
    order: int
    relabelled: bool
    layer: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrigProductNeurons(Score):
    """Evidence. Lists are parallel, strongest irrep first, unless said.

    irreps: those that are some live neuron's best, by their weight. dimensions: of their blocks. neurons_per_irrep: how
    many neurons. power: mean over live neurons, counted alike, of the share of their power in the family of their best
    irrep, by irrep. key_cuts: those of which chance passes any in 1 draw of 100. key_irreps: those above their cut, and
    frequencies: their integers, for cyclic and dihedral groups (not parallel). mean_share: the statistic.
    share_above_085: of live neurons, the published figure, `share_above_0.85` in JSON. live, dead: counts.
    with_harmonic: the statistic with the family of 2k pooled in (cyclic groups; else None). layer: the one that all
    this speaks of. layers: scores of all that have neurons. weighed_by: `effect` on the logits, or `power` alone where
    no gradient reaches the neurons from there, so that their units matter.
    """

    irreps: tuple[str, ...]
    dimensions: tuple[int, ...]
    neurons_per_irrep: tuple[int, ...]
    power: tuple[float, ...]
    key_irreps: tuple[str, ...]
    frequencies: tuple[int, ...]
    key_cuts: tuple[float, ...]
    mean_share: float
    share_above_085: float = field(metadata={"key": "share_above_0.85"})
    live: int
    dead: int
    with_harmonic: float | None
    layer: int
    layers: tuple[float, ...]
    weighed_by: str
    neurons: Neurons | None = for_picture()


@detector(
    needs=("neurons", "group", "logits", "run"),
    version=4,
    source="arXiv:2301.05217",
    formula=r"N(a, b) = \sum f(a)\, g(b), \quad f, g \in \{1, \cos(wx), \sin(wx)\}"
    "\n"
    r"\text{one } w \text{ a neuron; of any group: one irrep}",
    invariant_to=(*FREE, "residual_scale"),
    chose="key_irreps",
    parallel=("irreps", "dimensions", "neurons_per_irrep", "power", "key_cuts"),
    carrier="neurons",
    order=20,
)
def trig_product_neurons(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> TrigProductNeurons:
    """Each neuron is a product of functions of one irrep.

    model: neurons(layer) [pairs, m], after the activation function, at the answer position. draws: permutations of
    the tokens. Errors: NotApplicable where the task has no group; MissingPart where there are no neurons.

    A square neuron (cos wa + cos wb)^2 holds 1/5 of its power in cos 2wa and cos 2wb:

    >>> import detectors, models_zoo
    >>> score = detectors.trig_product_neurons(models_zoo.trig_mlp(p=11, frequencies=(3,), act_fn="square"))
    >>> score.frequencies, round(score.mean_share, 6), round(score.with_harmonic, 6)
    ((3,), 0.8, 1.0)
    """
    layers = [layer_of(model, number, draws, seed) for number in model.neuron_layers]
    scores = [layer.score for layer in layers]
    best = layers[scores.index(max(scores))]
    group, live, everything = model.group, best.live, best.families
    mean_share, weighted = everything.of(live).shares()
    alike, found = everything.of(live).alike(), everything.power[live].max(1)
    strongest = [i for i in ranked(weighted) if weighted[i] > 0]
    # every layer's statistic on the scale of the best one's, so that of one layer it is itself
    scale = [(1 - best.null_mean) / max(1 - layer.null_mean, 1e-9) for layer in layers]
    raised = [(x.null.means - x.null_mean) * k + best.null_mean for x, k in zip(layers, scale, strict=True)]
    observed = max((x.null.observed - x.null_mean) * k + best.null_mean for x, k in zip(layers, scale, strict=True))
    used = [i + 1 for i in carriers(weighted, best.null.shares)]
    several = f", the largest of {len(layers)} layers" if len(layers) > 1 else ""
    return TrigProductNeurons(
        value=best.score,
        null=permutation_null(observed, torch.stack(raised).amax(0), f"tokens of the strongest neurons{several}"),
        causal=cause(
            model,
            of_irreps(group, used),
            edit_neurons(model, best.number),
            seed=seed,
            elsewhere=other_neurons(model, best.number),
        ),
        remark="; ".join(_remarks(best, len(layers))),
        **named(group, strongest, alike, best.null.alike),
        neurons_per_irrep=tuple(found.indices.bincount()[strongest].tolist()),
        power=tuple(alike[strongest].tolist()),
        mean_share=mean_share,
        share_above_085=int((found.values / everything.total[live] >= EXPLAINED).sum()) / max(len(live), 1),
        live=len(live),
        dead=len(everything.total) - len(live),
        with_harmonic=_with_harmonic(model, everything.of(live)),
        layer=best.number,
        layers=tuple(scores),
        weighed_by="effect" if best.weighed else "power",
        neurons=_for_picture(model, best, live[:DRAWN]),
    )


def _remarks(best: Layer, looked_at: int) -> Iterator[str]:
    if looked_at > 1:
        yield f"of layer {best.number}, {looked_at} looked at"
    if not best.weighed:
        yield f"its neurons are weighed by {POWER_ALONE}"


def _with_harmonic(model: ModelView, live: Families) -> float | None:
    group = model.group
    return Families(live.total, with_doubles(group, live.power)).shares()[0] if group.is_cyclic else None


def _for_picture(model: ModelView, layer: Layer, drawn: Int[Tensor, " drawn"]) -> Neurons | None:
    if not len(drawn):
        return None
    group, (total, power) = model.group, layer.families.of(drawn)
    best = power.max(1)
    names = [group.irreps[i + 1].name for i in best.indices.tolist()]
    most = names.index(mode(names))
    neuron = grid_neurons(model.neurons(layer.number)[:, drawn[most : most + 1]], model.grid)[0].double()
    neuron = neuron - neuron.mean()
    fit = within_family(group, neuron, int(best.indices[most]) + 1)
    return Neurons(
        numbers=tuple(drawn.tolist()),
        irreps=tuple(names),
        shares=tuple((best.values / total).tolist()),
        example=int(drawn[most]),
        values=neuron[:SIDE, :SIDE].numpy(),
        fit=fit[:SIDE, :SIDE].numpy(),
        fit_share=float(fit.square().sum() / neuron.square().sum()),
        order=group.order,
        relabelled=not all(np.array_equal(t, np.arange(group.order)) for t in (model.labels.left, model.labels.right)),
        layer=layer.number,
    )
