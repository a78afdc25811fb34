"""What the answers of a cyclic network rest on: the circles of its embedding.

Source: "The Clock and the Pizza" (arXiv:2306.17844), sections 3 and 4: the logits with one circle of the embedding kept
are held against cos w(a + b - c), the clock, and |cos(w(a - b) / 2)| cos w(a + b - c), the pizza. There a circle is a
pair of principal components; here it is the rows' part in cos and sin of wa, since components of equal variance mix
circles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from detectors.subjects.operands.edits import edit_embedding, of_irreps
from detectors.subjects.operands.swaps import share_right, some_pairs
from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import ROUNDING


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
    none. Over `some_pairs`.
    """
    n, some = model.group.order, some_pairs(model, seed)
    pairs, intervene = model.plane.pairs[some], edit_embedding(model)

    def logits(of: Sequence[int], keep: bool) -> Float[Tensor, "pairs answers"]:
        with torch.no_grad():
            return intervene(pairs, of_irreps(model.group, of)).logits(keep)

    whole, found = model.logits().index_select(0, pairs)[:, model.plane.answers], []
    for k in frequencies:
        alone = logits([k], True)
        own, a, b = alone[:, model.plane.answers], some // n, some % n
        clock, pizza = clock_form(n, k, a, b), pizza_form(n, k, a, b, offset(own, k, a, b))
        right = (share_right(model, some, x) for x in (alone, logits([k], False)))
        found.append(Circle(k, explained(own, clock, whole), explained(own, pizza, whole), *right))
    return found, share_right(model, some, logits(frequencies, True)) if frequencies else None


def clock_form(n: int, k: int, a: Int[Tensor, " pairs"], b: Int[Tensor, " pairs"]) -> Float64[Tensor, "pairs n"]:
    """cos w(a + b - c) over every c, w = 2 pi k / n.

    >>> clock_form(4, 1, torch.tensor([1]), torch.tensor([2])).argmax(1)
    tensor([3])
    """
    every = torch.arange(n)
    wave = (2 * torch.pi * k / n * every.double()).cos()
    return wave[(every[:, None] - every) % n][(a + b) % n]


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
    w(a - b), beside a constant, by least squares, since of some of the pairs waves are not orthogonal.

    >>> a, b = torch.arange(121) // 11, torch.arange(121) % 11
    >>> round(offset(pizza_form(11, 3, a, b, 0.7), 3, a, b), 2)
    0.7
    """
    n = logits.shape[1]
    apart, along = 2 * torch.pi * k / n * (a - b).double(), (logits.double() * clock_form(n, k, a, b)).sum(1)
    waves = torch.stack([torch.ones_like(apart), apart.cos(), apart.sin()], dim=1)
    _, cosine, sine = torch.linalg.lstsq(waves, along[:, None], driver="gelsd").solution[:, 0].tolist()
    return math.atan2(sine, cosine)


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
