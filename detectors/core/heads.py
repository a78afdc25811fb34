"""What a motif of attention heads finds: a score, a p-value and a cause for each head that may have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from detectors.core.picture import Bars, HeatMap, Picture, Shares
from detectors.core.score import Causal, Score, for_picture

DRAWN = 24  # keys of a query, and heads


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """The strongest head's mean pattern, what the motif would have it be, and one sequence's own of both.

    scores: of the strongest heads, by name.
    """

    layer: int
    head: int
    mean: Float[np.ndarray, "query key"]
    template: Float[np.ndarray, "query key"]
    pattern: Float[np.ndarray, "query key"]
    tokens: tuple[int, ...]
    query: int
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Heads(Score):
    """Evidence. value: of the strongest head; null and causal are its own, in a report causal that of the head that the
    verdict speaks of.

    heads: strongest first, each `{layer, head, score, p_value, necessity, sufficiency, control, positions}`: p_value
    is adjusted for all heads looked at, None where the motif has no null; positions: queries where the head works;
    necessity: the larger of what is lost without the head and what it gives back to a model without any of the heads
    listed; the causal figures are None where too few answers are right, or the head is too weak to ask. A report
    keeps those that are not absent, each with its verdict. heads_looked_at: how many there are in all. group,
    group_control: what is lost without all heads that share a job, and without as many others at the most; losses: as
    it is, and without either, in nats, of the sequences that causes are asked on. unasked: heads beyond those listed
    that have something too, and whose causes were not asked for. causes: of each head, one for each thing that is
    said of it.
    """

    heads: tuple[Mapping[str, Any], ...]
    heads_looked_at: int
    group: float | None = None
    group_control: float | None = None
    losses: Mapping[str, float] | None = None
    unasked: int = 0
    causes: tuple[tuple[Causal | None, ...], ...] | None = for_picture()
    seen: Seen | None = for_picture()

    def pictures(self) -> list[Picture]:
        """The strongest head's mean pattern beside what the motif asks for, and where one query of a sequence looks; of
        a motif that names no keys the scores of the heads, and the pattern.
        """
        if self.seen is None:
            return []
        maps = _maps(self.seen)
        return [*maps, _row(self.seen)] if len(maps) > 1 else [_scores(self.seen), *maps]


def label(head: Mapping[str, Any]) -> str:
    """As the literature writes it.

    >>> label({"layer": 1, "head": 3})
    '1.3'
    """
    return f"{head['layer']}.{head['head']}"


def spoken(motif: str) -> Callable[[Heads], str]:
    """What a motif of heads adds to the sentence of a report.

    >>> spoken("induction")(Heads(value=1.0, null=None, causal=None, heads_looked_at=8, heads=(
    ...     {"layer": 1, "head": 2, "verdict": "present"}, {"layer": 0, "head": 1, "verdict": "inert"})))
    'induction by head 1.2'
    """

    def clause(score: Heads) -> str:
        named = [label(head) for head in score.heads if head.get("verdict", "present") == "present"]
        return f"{motif} by head{'s' if len(named) > 1 else ''} {', '.join(named)}" if named else ""

    return clause


def _maps(seen: Seen) -> list[Picture]:
    name, bound = f"{seen.layer}.{seen.head}", float(max(seen.mean.max(), 1e-9))
    drawn = [
        (seen.mean, f"Head {name}, its mean pattern", "Attention of each query (row) to each key (column).", bound)
    ]
    if seen.template.any():
        asks = "What the motif would have it look at, in one of the sequences."
        drawn.append((seen.template, "The motif", asks, 1.0))
    return [
        Picture(
            title=title,
            reading=reading,
            data=HeatMap(values=values.astype(float), bound=most, rows="query", columns="key"),
            half=len(drawn) > 1,
        )
        for values, title, reading, most in drawn
    ]


def _scores(seen: Seen) -> Picture:
    names, shares = [f"head {name}" for name in seen.scores], list(seen.scores.values())
    reading = "How much of the motif each head has, layer and head from 0, the strongest first."
    return Picture(title="Scores of the heads", reading=reading, data=Shares(names=names, shares=shares))


def _row(seen: Seen) -> Picture:
    """Keys of one query: those that it looks at most, and those that the motif would have it look at."""
    row, asked = seen.pattern[seen.query], seen.template[seen.query]
    shown = np.sort(np.lexsort((np.arange(len(row)), -row, asked <= 0))[:DRAWN])
    shown = shown[(row[shown] > 0) | (asked[shown] > 0)]
    names = [f"{place}: {seen.tokens[place]}" for place in shown]
    reading = (
        f"Attention of query {seen.query}, token {seen.tokens[seen.query]}, to the tokens of one sequence (place: "
        f"token), the {len(shown)} that it looks at most; dark where the motif looks."
    )
    return Picture(
        title=f"Head {seen.layer}.{seen.head} on one sequence",
        reading=reading,
        data=Bars(
            names=names,
            heights=[float(x) for x in row[shown]],
            chance=[float(x) for x in seen.mean[seen.query][shown]],
            key=[n for n, x in zip(names, asked[shown], strict=True) if x > 0],
            unit="attention",
            form=".0%",
            of="token",
            band="the mean pattern",
        ),
    )
