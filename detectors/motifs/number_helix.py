"""Numbers on a helix: beside a line, circles of periods such as 2, 5 and 10 in how a language model holds them.

Source: "Language Models Use Trigonometry to Do Addition" (arXiv:2502.00873), section 4: *h*(*a*) = *C* [*a*, cos, sin
(2π*a*/*T*)], *T* in {2, 5, 10, 100}. That fit cannot tell a helix from a smooth curve, which the line and *T* = 100
(the whole range of 0 to 99) take up; so these two are projected out, and what each other period explains is compared.

Score: what the circles of periods 2, 5 and 10 explain of the rows' variance beyond a line and one slow turn, and beyond
the periods next to them; of an ellipse as much as the circle inside it (a sawtooth of the last digit is a line and has
none), and of period 2, whose circle is two points on a line, nothing where there is no other. The number that no such
period explains: 10/3, of which a table of last digits has as much as of the others. Nothing where the last digits lie
on an open curve or in clusters: times 3 less the longest squared step from a digit to the next over the mean one, cut
to [0, 1]. In a circle no step is longer than the mean, of three clusters three are 10/3 times as long.
Null: the same ratio to the periods beside for numbers permuted, for random periods, and for smooth random curves
(Gaussian processes that turn over 3 to 50 numbers) of the same spread over directions; the largest p-value counts.
Strongest place: the embedding, or the residual stream at a quarter, half or three quarters of the layers.

What fools it: numbers of several tokens, whose last one is the last digit; so 0 to 99 must be single tokens. What it
cannot say: that anything is computed with it. No model at hand has such tokens: the thresholds are of rows that were
made (helices in noise; lines, slow curves, Gaussian processes, digit tables, other periods).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor

from detectors.core.errors import NotApplicable
from detectors.core.nulls import permutation_null, permutations, step_down
from detectors.core.registry import detector
from detectors.core.score import Score, for_picture
from detectors.core.waves import HIGHEST, NUMBERS, SPAN, STEPS, beside, powers, step_over_mean, waves_of
from detectors.subjects.words.view import Words

PERIODS = (2, 5, 10)
SLOWEST = STEPS // 20  # of random periods
SMOOTH = (3.0, 50.0)  # numbers over which a random curve turns
LEVEL = 0.05
# Of the variance, on circles of more than two points, beside which parity counts: of helices in noise 0.024 and more.
TURNING = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberHelix(Score):
    """Evidence. where: the strongest place. longest_step: from a last digit to the next, squared, over the mean one.
    periods: each `{period, r2, p_value}`: r2 beyond line and slow turn, p adjusted for the other periods and places.
    """

    where: str
    longest_step: float
    periods: tuple[Mapping[str, Any], ...]
    spectrum: tuple[float, ...] | None = for_picture()

    @property
    def found(self) -> list[int]:
        """Periods beyond chance."""
        return [p["period"] for p in self.periods if p["p_value"] <= LEVEL]


def clause(score: NumberHelix) -> str:
    """Which periods."""
    return f"numbers on circles of period {', '.join(f'{period:g}' for period in score.found)} ({score.where})"


@detector(
    needs=("words",),
    version=2,
    source="arXiv:2502.00873",
    subject="words",
    formula=r"h(a) = C \left[a,\ \cos\left(\frac{2\pi a}{T}\right),\ \sin\left(\frac{2\pi a}{T}\right)\right]",
    invariant_to=("residual_rotation",),
    causal=False,
    clause=clause,
    order=220,
)
def number_helix(model: Words, /, *, draws: int = 199, seed: int = 0) -> NumberHelix:
    """Numbers lie on circles of periods 2, 5, 10.

    Errors: NotApplicable where 0 to 99 are no single tokens.

    >>> import models_zoo, detectors
    >>> score = detectors.number_helix(models_zoo.number_rows("helix", seed=0))
    >>> [p["period"] for p in score.periods], score.value > 0.1, score.null.p_value
    ([2, 5, 10], True, 0.005)
    """
    places = {where: _centred(rows) for where, rows in model.rows(_tokens(model)).items()}
    rng = np.random.default_rng(seed)
    waves, sought = waves_of(), torch.tensor([STEPS // period for period in PERIODS])
    found = {where: _compared(waves, sought, rows) for where, rows in places.items()}
    value, r2, ratio = (torch.stack([one[i] for one in found.values()]) for i in range(3))
    turning = value[:, 1:].sum(1, keepdim=True)
    value = torch.where(turning >= TURNING, value, value.clone().index_fill_(1, torch.tensor([0]), 0.0))
    steps = [step_over_mean(rows) for rows in places.values()]
    value = value * (HIGHEST - torch.tensor(steps, dtype=value.dtype)).clamp(0, 1)[:, None]
    best = int(value.sum(1).argmax())
    observed, where = ratio.amax(0), list(found)[best]
    chance = {
        "numbers": _permuted(waves, sought, places, draws, seed),
        "periods": _other_periods(waves, places, draws, rng),
        "smooth random curves": _smooth(waves, sought, places, draws, rng),
    }
    p_values = np.max([step_down(observed, drawn) for drawn in chance.values()], axis=0)
    nulls = [permutation_null(float(observed.max()), drawn.amax(1), name) for name, drawn in chance.items()]
    return NumberHelix(
        value=float(value[best].sum().clamp(0, 1)),
        null=max(nulls, key=lambda null: null.p_value),
        causal=None,
        where=where,
        longest_step=steps[best],
        periods=tuple(
            {"period": period, "r2": float(r2[best, i]), "p_value": float(p_values[i])}
            for i, period in enumerate(PERIODS)
        ),
        spectrum=tuple(_spectrum(waves, places[where])),
    )


def _tokens(model: Words) -> list[int]:
    tokens = model.tokens_of([str(number) for number in range(NUMBERS)])
    if missing := [number for number, token in enumerate(tokens) if token is None]:
        raise NotApplicable(
            f"of the numbers 0 to {NUMBERS - 1} {len(missing)} are no single tokens, {missing[0]} the first: the last "
            "token of a longer number is its last digit, whose periods are no helix"
        )
    return [token for token in tokens if token is not None]


def _centred(rows: Float64[Tensor, "number d"]) -> Float64[Tensor, "number d"]:
    rows = rows / rows.abs().max().clamp_min(1e-300)
    rows = rows - rows.mean(0)
    return rows / rows.norm().clamp_min(1e-300)


def _compared(waves: Tensor, sought: Int[Tensor, " period"], rows: Float64[Tensor, "number d"]) -> tuple[Tensor, ...]:
    """Of each period what is beyond its neighbours, what it explains, and the ratio to the largest of them."""
    explained, _, least = powers(waves[sought], rows)
    largest = powers(waves[beside(sought)], rows)[1].amax(1)
    columns = (waves[sought].abs().sum(1) > 0).sum(1)
    return ((least - largest).clamp_min(0) * columns, explained, least / largest.clamp_min(1e-12))


def _permuted(
    waves: Tensor, sought: Int[Tensor, " period"], places: Mapping[str, Tensor], draws: int, seed: int
) -> Float64[Tensor, "draws period"]:
    orders = permutations(NUMBERS, draws, seed)
    return torch.stack([_largest(_compared(waves, sought, rows[o])[2] for rows in places.values()) for o in orders])


def _other_periods(
    waves: Tensor, places: Mapping[str, Tensor], draws: int, rng: np.random.Generator
) -> Float64[Tensor, "draws period"]:
    """Of random frequencies that are no multiples of a tenth."""
    tenth = np.arange(SLOWEST, STEPS // 2)
    free = tenth[np.abs((tenth + STEPS // 20) % (STEPS // 10) - STEPS // 20) > SPAN]
    drawn = torch.from_numpy(rng.choice(free, (draws, len(PERIODS))))
    flat = _largest(_compared(waves, drawn.flatten(), rows)[2] for rows in places.values())
    return flat.reshape(draws, len(PERIODS))


def _smooth(
    waves: Tensor, sought: Int[Tensor, " period"], places: Mapping[str, Tensor], draws: int, rng: np.random.Generator
) -> Float64[Tensor, "draws period"]:
    spreads = [torch.linalg.svdvals(rows) for rows in places.values()]
    apart = (torch.arange(NUMBERS)[:, None] - torch.arange(NUMBERS)).double().square()
    found = []
    for _ in range(draws):
        length = float(np.exp(rng.uniform(*np.log(SMOOTH))))
        covariance = (-apart / (2 * length**2)).exp() + 1e-9 * torch.eye(NUMBERS)
        curve = torch.linalg.cholesky(covariance) @ torch.from_numpy(rng.standard_normal((NUMBERS, len(spreads[0]))))
        found.append(_largest(_compared(waves, sought, _centred(curve * s))[2] for s in spreads))
    return torch.stack(found)


def _largest(ratios: Any) -> Tensor:
    return torch.stack(list(ratios)).amax(0)


def _spectrum(waves: Tensor, rows: Float64[Tensor, "number d"]) -> list[float]:
    return [float(x) for x in powers(waves[SPAN::SPAN], rows)[0]]
