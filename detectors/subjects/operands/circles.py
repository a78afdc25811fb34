"""What the answers of a cyclic network rest on: the circles of its embedding, and its activation function.

Source: "The Clock and the Pizza" (arXiv:2306.17844), sections 3 and 4: the logits with one circle of the embedding kept
are held against cos w(a + b - c), the clock, and |cos(w(a - b) / 2)| cos w(a + b - c), the pizza. There a circle is a
pair of principal components; here it is the rows' part in cos and sin of wa, since components of equal variance mix
circles. arXiv:2602.16849 for another activation function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from detectors.core.activations import activation
from detectors.core.nulls import subset
from detectors.subjects.operands.edits import edit_embedding, of_irreps, with_neurons
from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import ROUNDING, answered

PAIRS = 4096  # all of orders up to 64, as published; of more a share has a standard error of 0.8% at most
SWAPS = ("abs", "square")


class Circle(NamedTuple):
    """clock, pizza: `explained` by each, with this circle of the embedding alone, the mean kept; None where the logits
    are then constant. kept: share of the pairs answered right with it alone; removed: without it.
    """

    frequency: int
    clock: float | None
    pizza: float | None
    kept: float
    removed: float


def circles(model: ModelView, frequencies: Sequence[int], seed: int) -> tuple[list[Circle], float | None]:
    """Each circle of the embeddings of a cyclic group's network, and the share right with all of them alone, None of
    none. Over at most 4096 pairs, a fixed random subset.
    """
    n, some = model.group.order, _some(model, seed)
    pairs, intervene = model.plane.pairs[some], edit_embedding(model)

    def logits(of: Sequence[int], keep: bool) -> Float[Tensor, "pairs answers"]:
        with torch.no_grad():
            return intervene(pairs, of_irreps(model.group, of)).logits(keep)

    whole, found = model.logits()[pairs][:, model.plane.answers], []
    for k in frequencies:
        alone = logits([k], True)
        own, a, b = alone[:, model.plane.answers], some // n, some % n
        clock, pizza = clock_form(n, k, a, b), pizza_form(n, k, a, b, offset(own, k, a, b))
        right = (_right(model, some, x) for x in (alone, logits([k], False)))
        found.append(Circle(k, explained(own, clock, whole), explained(own, pizza, whole), *right))
    return found, _right(model, some, logits(frequencies, True)) if frequencies else None


def swapped(model: ModelView, layer: int, seed: int) -> Mapping[str, float]:
    """Share of the pairs answered right with |x| and with x^2 for the activation function of a layer, all weights as
    they are, at the answer position. Of ReLU neurons |x| = 2 ReLU(x) - x takes away the linear part alone.
    """
    some = _some(model, seed)
    pairs = model.plane.pairs[some]
    before = model.preactivations(layer)[pairs]
    with torch.no_grad():
        return {
            name: _right(model, some, with_neurons(model, layer, pairs, activation(name)(before))) for name in SWAPS
        }


def clock_form(n: int, k: int, a: Int[Tensor, " pairs"], b: Int[Tensor, " pairs"]) -> Float64[Tensor, "pairs n"]:
    """cos w(a + b - c) over every c, w = 2 pi k / n.

    >>> clock_form(4, 1, torch.tensor([1]), torch.tensor([2])).argmax(1)
    tensor([3])
    """
    wave = (2 * torch.pi * k / n * torch.arange(n, dtype=torch.float64)).cos()
    return wave[(a[:, None] + b[:, None] - torch.arange(n)) % n]


def pizza_form(
    n: int, k: int, a: Int[Tensor, " pairs"], b: Int[Tensor, " pairs"], offset: float = 0.0
) -> Float64[Tensor, "pairs n"]:
    """|cos((w(a - b) - offset) / 2)| cos w(a + b - c) over every c, w = 2 pi k / n: none of opposite a and b.

    >>> pizza_form(4, 1, torch.tensor([1, 3]), torch.tensor([1, 1])).abs().amax(1).round(decimals=6)
    tensor([1., 0.], dtype=torch.float64)
    """
    width = (torch.pi * k / n * (a - b).double() - offset / 2).cos().abs()
    return width[:, None] * clock_form(n, k, a, b)


def offset(logits: Float[Tensor, "pairs n"], k: int, a: Int[Tensor, " pairs"], b: Int[Tensor, " pairs"]) -> float:
    """Of a pizza, which operands with vocabularies of their own have: the phase of the logits' cos w(a + b - c) in
    w(a - b).

    >>> a, b = torch.arange(121) // 11, torch.arange(121) % 11
    >>> round(offset(pizza_form(11, 3, a, b, 0.7), 3, a, b), 2)
    0.7
    """
    n = logits.shape[1]
    apart, along = 2 * torch.pi * k / n * (a - b).double(), (logits.double() * clock_form(n, k, a, b)).sum(1)
    return float(torch.atan2((along * apart.sin()).sum(), (along * apart.cos()).sum()))


def explained(
    logits: Float[Tensor, "pairs n"], form: Float64[Tensor, "pairs n"], of: Float[Tensor, "pairs n"] | None = None
) -> float | None:
    """Share of the variance that a form explains, both standardised over all entries: 2r - 1, r Pearson's correlation.

    No centring over the answers, and no r^2: so it is published. None of constant logits. of: the logits that these
    were made from, whose size says what rounding is; themselves where None.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 4.0]])
    >>> explained(x, 3 * x.double() + 1), explained(-x, x.double()), explained(0 * x + 1, x.double())
    (1.0, -3.0, None)
    """
    x, y = (t.double() - t.double().mean() for t in (logits, form))
    if float(x.norm()) <= ROUNDING * float((logits if of is None else of).double().norm()):
        return None
    return round(2 * float((x * y).sum() / (x.norm() * y.norm()).clamp_min(1e-300)) - 1, 12)


def _some(model: ModelView, seed: int) -> Int[Tensor, " pairs"]:
    """Places in the group's square."""
    return subset(model.group.order**2, PAIRS, seed)


def _right(model: ModelView, some: Int[Tensor, " pairs"], logits: Float[Tensor, "pairs answers"]) -> float:
    plane = model.plane
    whole = model.logits()[plane.pairs[some]]
    return float(answered(logits, plane.answers[plane.product[some]], of=whole).double().mean())
