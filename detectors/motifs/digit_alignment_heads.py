"""Digit-alignment heads: for a digit of a sum, a query looks at both operands' digits of its place, or the one below.

Source: arXiv:2301.05217, appendix on 5-digit addition; the monthly problem of ARENA for September 2023.

Score: mass of the mean pattern on the two digits, beyond the best other place, a mean over the digits asked for: for
the place answered (0) and the place below, from where the carry comes (-1); a head has both, and its score is the
larger. Null: places of the keys exchanged, query by query; p-values are of the largest score over all heads and both.
Cause: the head's output set to its mean over sequences (its mean pattern is what it does), beside other heads or
directions.

What fools it: an average over digits hides a head that serves one of them, as carries do; `positions` names where a
head works. A head that attends to all digits alike has nothing beyond another place.
"""

from __future__ import annotations

from typing import Any

import torch

from detectors.core.errors import NotApplicable
from detectors.core.heads import Heads, spoken
from detectors.core.nulls import permutation_null, step_down
from detectors.core.registry import detector
from detectors.core.score import Causal
from detectors.subjects.sequences.heads import Asked, Scored, Sought, able, asked, seen
from detectors.subjects.sequences.patterns import Looks, Sample, sample_of
from detectors.subjects.sequences.positions import Places, positional
from detectors.subjects.sequences.view import SequenceView

PLACES = (0, -1)


@detector(
    needs=("attention", "run"),
    version=2,
    source="arXiv:2301.05217",
    subject="sequences",
    formula=r"A_{qk} \text{ on the digits } x_i \text{ and } y_i"
    "\n"
    r"i = \text{place}(q) \text{ or } \text{place}(q) - 1",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("digits of a place"),
    order=150,
)
def digit_alignment_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head looks at both operands' digits of the place answered, or of the one below.

    Errors: NotApplicable where the task does not say how many digits there are.
    """
    sample = sample_of(model)
    found = [_scored(model, sample, place, draws, seed) for place in PLACES]
    tested = [(s.observed, s.null) for _, s in found if s.observed is not None and s.null is not None]
    observed, drawn = torch.cat([own for own, _ in tested]), torch.cat([null for _, null in tested], dim=1)
    every = step_down(observed, drawn)
    heads = len(every) // len(PLACES)
    p = [every[i * heads : (i + 1) * heads] for i in range(len(PLACES))]
    carriers = {i for (sought, _), own in zip(found, p, strict=True) for i in able(sought, own)}
    claims = [asked(model, sought, own, seed, sorted(carriers)) for (sought, _), own in zip(found, p, strict=True)]
    best = max(range(len(PLACES)), key=lambda i: float(found[i][1].score.max()))
    score, number = found[best][1].score, int(found[best][1].score.argmax())
    largest = float(observed[best * heads + number])
    entries, causes = _merged(claims)
    return Heads(
        value=float(score.max().clamp(0, 1)),
        null=permutation_null(largest, drawn.amax(1), f"places, the largest of {heads} heads and two places"),
        causal=causes[0][0],
        heads=tuple(entries),
        heads_looked_at=heads,
        **claims[best].together,
        causes=tuple(causes),
        seen=seen(model, found[best][0], number, claims[best].entries[0]["positions"]),
    )


def _scored(model: SequenceView, sample: Sample, place: int, draws: int, seed: int) -> tuple[Sought, Scored]:
    places = _places(model, sample, place)
    scored = positional(model, sample, places, draws=draws, seed=seed)
    at = (places.option == places.wanted[:, None]) & (places.wanted >= 0)[:, None] & sample.keys
    return Sought(sample, scored, Looks(at), ("z",), "places of keys, query by query", alone=False), scored


def _places(model: SequenceView, sample: Sample, below: int) -> Places:
    """Of the keys the decimal place of their digit, of the queries that of the digit asked for, or the one below."""
    digits = model.task.parameters.get("num_digits")
    size = sample.tokens.shape[1]
    if not isinstance(digits, int):
        raise NotApplicable("the task does not say of how many digits its numbers are (num_digits in NAME.json)")
    if not 1 <= digits <= (size - 1) // 2:
        raise NotApplicable(f"{size} tokens hold no two numbers of {digits} digits (num_digits in NAME.json)")
    place = torch.full((size,), -1)
    for start in (0, digits + 1):
        place[start : start + digits] = torch.arange(digits - 1, -1, -1)
    asked_for = sample.asked.any(0).nonzero()[:, 0]
    wanted = torch.full((size,), -1)
    wanted[asked_for] = torch.arange(len(asked_for) - 1, -1, -1) + below
    return Places(place.expand(size, size), wanted.masked_fill((wanted < 0) | (wanted >= digits), -1))


def _merged(claims: list[Asked]) -> tuple[list[dict[str, Any]], list[tuple[Causal | None, ...]]]:
    """One entry a head, with its places, strongest first; and its causes, place by place."""
    heads: dict[tuple[int, int], list[tuple[dict[str, Any], Causal | None]]] = {}
    for place, claim in zip(PLACES, claims, strict=True):
        for entry, causal in zip(claim.entries, claim.causes, strict=True):
            heads.setdefault((entry["layer"], entry["head"]), []).append(({"place": place, **entry}, causal))
    merged = []
    for found in heads.values():
        found.sort(key=lambda pair: -pair[0]["score"])
        first = {key: value for key, value in found[0][0].items() if key != "place"}
        places = [{k: v for k, v in e.items() if k not in ("layer", "head")} for e, _ in found]
        merged.append((first | {"places": places}, tuple(causal for _, causal in found)))
    merged.sort(key=lambda pair: -pair[0]["score"])
    return [entry for entry, _ in merged], [causes for _, causes in merged]
