"""Weekdays and months in a circle: neighbours alike, and the last beside the first.

Source: "Not All Language Model Features Are One-Dimensionally Linear" (arXiv:2405.14860), section 4: circles of days
and months. A circle's R^2 is had by smooth open curves too; what tells them apart is the pair that closes the circle.

Score: of the best concept and place, order times closure times roundness. Order: log *p* of the words' own among all
orders over the log of the smallest that can be had, 1 where no order has neighbours more alike. Closure: the cosine of
the closing pair (Sunday and Monday, December and January) over the mean of the other neighbours, of rows about their
mean, cut to [0, 1]. Roundness: of the two directions of the circle, the variance along the lesser over that along the
greater, from a quarter on 1: a line out and back, as of the months' temperatures, closes too; and less where once round
goes less of the rows than by chance, 2/(*n* − 1), as of a cycle of half a year. Null: the words in
another order, all 360 circles of weekdays, random ones of months; statistic: the summed cosine of neighbours in a
circle, in standard deviations over orders, the largest over places (step-down), times the number of concepts. Places:
the embedding, and the residual stream at a quarter, half and three quarters of the layers.

What fools it: a curve that happens to end near its start is a circle for anybody who sees seven or twelve points of it,
and so are the months in four clusters, a season each, since their order is as good as any that keeps the seasons whole.
Concepts whose words are not all single tokens are left out. What it cannot say: that anything is computed with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor

from detectors.core.errors import NotApplicable
from detectors.core.nulls import permutation_null, step_down
from detectors.core.nulls import permutations as random_orders
from detectors.core.registry import detector
from detectors.core.score import Null, Score, for_picture
from detectors.subjects.words.names import CONCEPTS
from detectors.subjects.words.view import Words

ORDERS = 9999  # of a concept that has more
FEW = 8  # words of which all orders are tried
LEVEL = 0.05
ROUND = 0.25  # of circles in noise at least 0.3, of arcs and open curves 0.2 and less


@dataclass(frozen=True, kw_only=True, slots=True)
class CyclicConcepts(Score):
    """Evidence. concepts: each `{name, where, order_p_value, closure, r2, roundness}`, at its strongest place: p
    adjusted for the other places, closure may lie outside [0, 1], r2 of a circle in this order, roundness a ratio of
    variances; and `order`, as in the score.
    """

    concepts: tuple[Mapping[str, Any], ...]
    likeness: Mapping[str, Float64[np.ndarray, "word word"]] | None = for_picture()


def clause(score: CyclicConcepts) -> str:
    """The concept that the score is of, and others that have half as much."""
    ordered = [concept for concept in score.concepts if _strength(concept)[0]]
    named = [f"{c['name']} ({c['where']})" for c in ordered if _strength(c)[1] >= score.value / 2]
    return f"{' and '.join(named)} in a circle"


@detector(
    needs=("words",),
    version=2,
    source="arXiv:2405.14860",
    subject="words",
    formula=r"\cos(h_i, h_{i+1}) \text{ for all } i \bmod n",
    invariant_to=("residual_rotation",),
    causal=False,
    clause=clause,
    order=230,
)
def cyclic_concepts(model: Words, /, *, draws: int = 199, seed: int = 0) -> CyclicConcepts:
    """Weekdays or months lie in a circle.

    draws: of no effect where more orders are tried anyway. Errors: NotApplicable where neither are single tokens.

    >>> import models_zoo, detectors
    >>> score = detectors.cyclic_concepts(models_zoo.concept_rows("circle", seed=0))
    >>> [c["name"] for c in score.concepts], score.value > 0.8
    (['weekdays', 'months'], True)
    """
    found, nulls, likeness = [], [], {}
    for name, words in CONCEPTS.items():
        tokens = [token for token in model.tokens_of(words) if token is not None]
        if len(tokens) < len(words):
            continue
        places = {where: cosines(rows) for where, rows in model.rows(tokens).items()}
        each, null = _each(name, places, _orders(len(words), max(ORDERS, draws), seed))
        best = max(each, key=_strength)
        found.append(best)
        nulls.append(null)
        likeness[name] = places[best["where"]].numpy()
    if not found:
        raise NotApplicable("neither weekdays nor months are single tokens of this model")
    number = max(range(len(found)), key=lambda i: _strength(found[i]))
    p_value, smallest = (min(1.0, len(found) * p) for p in (found[number]["order_p_value"], nulls[number].smallest))
    return CyclicConcepts(
        value=_strength(found[number])[1],
        null=replace(nulls[number], p_value=p_value, smallest=smallest),
        causal=None,
        concepts=tuple(found),
        likeness=likeness,
    )


def _each(
    name: str, places: Mapping[str, Tensor], orders: Int[Tensor, "draws word"]
) -> tuple[list[dict[str, Any]], Null]:
    """The concept as evidence has it, place by place, and the null of the strongest."""
    whole = torch.stack(list(places.values()))
    drawn, own = around(whole, orders), around(whole, torch.arange(whole.shape[1])[None])
    mean, spread = drawn.mean(0), drawn.std(0).clamp_min(1e-9)
    observed, null = ((own - mean) / spread)[0], (drawn - mean) / spread
    each = [
        {
            "name": name,
            "where": where,
            "order": abs(math.log(p)) / math.log(len(orders) + 1),
            "order_p_value": p,
            "closure": closure(c),
            "r2": float(waves_in(c).trace() / c.trace().clamp_min(1e-300)),
            "roundness": roundness(c),
        }
        for (where, c), p in zip(places.items(), step_down(observed, null), strict=True)
    ]
    return each, permutation_null(float(observed.max()), null.amax(1), f"{name} in other orders")


def _strength(concept: Mapping[str, Any]) -> tuple[bool, float]:
    """Whether its order is beyond chance, and its score: to find the best by."""
    by_chance = 2 / (len(CONCEPTS[concept["name"]]) - 1)
    round_ = min(1.0, concept["roundness"] / ROUND) * min(1.0, concept["r2"] / by_chance)
    closed = float(np.clip(concept["closure"], 0, 1)) * round_
    return concept["order_p_value"] <= LEVEL, concept["order"] * closed


def _orders(words: int, most: int, seed: int) -> Int[Tensor, "draws word"]:
    """Circles other than the words' own: all of few words, with the first one kept, in one direction; else random."""
    if words >= FEW:
        return random_orders(words, most, seed)
    rest = [order for order in permutations(range(1, words)) if order[0] < order[-1]]
    return torch.tensor([(0, *order) for order in rest if order != tuple(range(1, words))])


def cosines(rows: Float64[Tensor, "word d_model"]) -> Float64[Tensor, "word word"]:
    """Of rows about their mean."""
    rows = rows / rows.abs().max().clamp_min(1e-300)
    rows = rows - rows.mean(0)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-300)
    return rows @ rows.T


def around(
    cosines: Float64[Tensor, "place word word"], orders: Int[Tensor, "draws word"]
) -> Float64[Tensor, "draws place"]:
    """Summed cosine of neighbours in a circle."""
    return cosines[:, orders, orders.roll(-1, 1)].sum(2).T


def closure(cosines: Float64[Tensor, "word word"]) -> float:
    """Of the last and the first word over the mean of the other neighbours; 0 where those are not alike.

    >>> closure(torch.tensor([[1.0, 0.5, 0.2], [0.5, 1.0, 0.5], [0.2, 0.5, 1.0]], dtype=torch.float64))
    0.4
    """
    near = float(cosines.diagonal(1).mean())
    return float(cosines[-1, 0]) / near if near > 0 else 0.0


def waves_in(cosines: Float64[Tensor, "word word"]) -> Float64[Tensor, "2 2"]:
    """What of rows, each made of length 1, goes round once in the order of the words: variances along cosine and sine,
    and their covariance.
    """
    angle = 2 * torch.pi * torch.arange(len(cosines), dtype=torch.float64) / len(cosines)
    waves = torch.stack([angle.cos(), angle.sin()]) * (2 / len(cosines)) ** 0.5
    return waves @ cosines @ waves.T


def roundness(cosines: Float64[Tensor, "word word"]) -> float:
    """The lesser variance over the greater of what goes round once: 1 of a circle, 0 of a line.

    >>> line = torch.cos(2 * torch.pi * torch.arange(12, dtype=torch.float64) / 12)
    >>> round(roundness(torch.outer(line, line)), 6)
    0.0
    """
    least, most = torch.linalg.eigvalsh(waves_in(cosines)).tolist()
    return max(0.0, least) / most if most > 0 else 0.0
