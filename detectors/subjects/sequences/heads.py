"""Motifs of attention heads: one score, null, cause and picture for all that are templates.

A motif by content is a template: from the tokens alone, which keys a query should look at. Score of a head: its mass on
the template beyond what its patterns on other sequences have there, over what a perfect head could have. Null:
templates exchanged between sequences.

p-values are of the largest statistic over all heads (max-T; Westfall and Young, Resampling-Based Multiple Testing,
1993), so that the number of heads costs what it must and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from detectors.core.errors import NotApplicable
from detectors.core.heads import DRAWN, Heads, Seen
from detectors.core.nulls import TIE, permutation_null, step_down
from detectors.core.score import Causal
from detectors.subjects.sequences.asking import Address, Without
from detectors.subjects.sequences.head_causes import causes
from detectors.subjects.sequences.patterns import (
    ALIKE,
    Excess,
    Looks,
    Sample,
    Template,
    beyond_rivals,
    excess,
    heard,
    mean_of_stratum,
    patterns,
    sample_of,
    weights,
)
from detectors.subjects.sequences.view import SequenceView

LISTED = 16  # heads whose cause is asked for, strongest first
WEAK = 0.1  # a score below which no cause is asked for: untrained heads reach 0.04 on short sequences
RARE = 0.05  # p-value above which none is
WORKS = 0.5  # of its best query: a head works where it has at least so much


class Scored(NamedTuple):
    """Of all heads: score, its parts by query [head, query] (NaN where nothing counts), and what chance is measured by:
    the statistic observed and its null [draws, head]. Neither is corrected by moments of the draws alone, under which
    the observed one would be no draw among others.
    """

    score: Float[Tensor, " head"]
    by_query: Float[Tensor, "head query"]
    observed: Float[Tensor, " head"] | None = None
    null: Float[Tensor, "draws head"] | None = None


class Sought(NamedTuple):
    """A motif of one model, scored. looks: at what a head is to look; alone: whether patterns of just that may be put
    in the place of its own. weak: score below which no cause is asked for.
    """

    sample: Sample
    scored: Scored
    looks: Looks
    without: tuple[Without, ...]
    exchanged: str
    alone: bool = True
    weak: float = WEAK


def by_content(model: SequenceView, template: Template, *, draws: int, seed: int) -> Heads:
    """Errors: NotApplicable where no query of the sequences has a key that the template names."""
    sample = sample_of(model)
    looks = template(sample)
    looks = looks._replace(at=looks.at & sample.keys)
    weight, counted = weights(looks, sample.stratum)
    if not bool(counted.any()):
        raise NotApplicable("no query of these sequences has a key that this motif would look at")

    def of(layer: int, pattern: Float[Tensor, "batch head query key"]) -> Excess:
        """Chance of all queries, and the score of all or of those that are heard, the less: of few it is noise too."""
        every = excess(pattern, weight, sample.stratum, draws, np.random.default_rng(seed))
        own = weight * heard(model, sample, layer)[..., None]
        if torch.equal(own, weight):
            return every.times(beyond_rivals(pattern, looks))
        here = excess(pattern, own, sample.stratum, 0, np.random.default_rng(seed))
        of_all, of_heard = (x.found.sum(1) / x.could.sum(1).clamp_min(TIE) for x in (every, here))
        less = (of_heard < of_all)[:, None]
        found, could = (torch.where(less, x, y) for x, y in zip(here[:2], every[:2], strict=True))
        return every._replace(found=found, could=could).times(beyond_rivals(pattern, looks))

    found = [of(layer, pattern) for layer, pattern in enumerate(patterns(model, sample))]
    own, could, observed, null = (torch.cat([part[i] for part in found], dim=i // 3) for i in range(4))
    often = counted.sum(0) >= ALIKE
    by_query = torch.where(often, own / could.clamp_min(TIE), torch.nan)
    scored = Scored(own.sum(1) / could.sum(1).clamp_min(TIE), by_query, observed, null)
    return heads_of(model, Sought(sample, scored, looks, _ways(model), "templates between sequences"), seed)


def _ways(model: SequenceView) -> tuple[Without, ...]:
    """On varying lags both lose as much in a language model (10.74 and 10.76 nats measured), and each costs a pass."""
    return ("z",) if model.language else ("z", "pattern")


def by_shape(model: SequenceView, sample: Sample, score: Scored, looks: Looks, *, weak: float, seed: int) -> Heads:
    """A motif without a null: what its patterns look like, and whether they do as well as the head's own."""
    return heads_of(model, Sought(sample, score, looks, ("z",), "", weak=weak), seed)


def by_weights(model: SequenceView, sample: Sample, scored: Scored, exchanged: str, *, weak: float, seed: int) -> Heads:
    """A motif of the weights, whose patterns say nothing."""
    sought = Sought(sample, scored, Looks(sample.keys & False), ("z",), exchanged, alone=False, weak=weak)
    return heads_of(model, sought, seed)


def distances(model: SequenceView, sample: Sample, other: Callable[[Tensor], Tensor]) -> Float[Tensor, "head query"]:
    """Total variation between a head's patterns and what `other` makes of them [batch, head, query, key], a mean over
    sequences; NaN for queries with a single key.
    """
    several = sample.real & (sample.keys.sum(-1) > 1)
    if not bool(several.any()):
        raise NotApplicable("no query has more than one key to attend to")
    found = []
    for layer, p in enumerate(patterns(model, sample)):
        here = several & heard(model, sample, layer)
        counted = here if bool(here.any()) else several
        rows = counted.float() / counted.sum(0).clamp_min(1)
        apart = torch.einsum("bhqk,bq->hq", (p - other(p)).abs() / 2, rows)
        found.append(apart.masked_fill(~counted.any(0), torch.nan))
    return torch.cat(found)


def heads_of(model: SequenceView, sought: Sought, seed: int) -> Heads:
    """The result of a motif."""
    score, _, observed, drawn = sought.scored
    best, null = int(score.argmax()), None
    p: Sequence[float | None] = [None] * len(score)
    if observed is not None and drawn is not None:
        exchanged = f"{sought.exchanged}, the largest of {len(score)} heads"
        p, null = step_down(observed, drawn), permutation_null(float(observed[best]), drawn.amax(1), exchanged)
    found = asked(model, sought, p, seed)
    return Heads(
        value=float(score[best].clamp(0, 1)),
        null=null,
        causal=found.causes[0],
        heads=tuple(found.entries),
        heads_looked_at=len(score),
        **found.together,
        causes=tuple((causal,) for causal in found.causes),
        seen=seen(model, sought, best, found.entries[0]["positions"]),
    )


class Asked(NamedTuple):
    """The heads worth listing, strongest first, each as evidence has it and with its cause; together: what is said of
    them all, by the names of `Heads`.
    """

    entries: list[dict[str, Any]]
    causes: list[Causal | None]
    together: dict[str, Any]


def asked(model: SequenceView, sought: Sought, p: Sequence[float | None], seed: int, also: Sequence[int] = ()) -> Asked:
    """Causes of the heads that have something, or the strongest alone where none has. also: other heads that are no
    control. A score without a null counts from where causes are asked for, since idle heads come near it: half of an
    averaging head's is anybody's.
    """
    score, by_query, observed, _ = sought.scored
    asking, luck = able(sought, p), 0.0 if observed is not None else sought.weak
    works = {i: _works(by_query[i]) for i in asking or [int(score.argmax())]}
    found = causes(
        model,
        sought.sample,
        [(address(model, i), sought.looks if sought.alone else None) for i in asking],
        [float(score[i]) - luck for i in asking],
        sought.without,
        seed,
        [address(model, i) for i in also],
    )
    causal: list[Causal | None] = found.causes if asking else [None]
    entries = [
        entry(address(model, i), float(score[i].clamp(0, 1)), p[i], c, works[i])
        for i, c in zip(works, causal, strict=True)
    ]
    unasked = len(able(sought, p, most=len(score))) - len(asking)
    together = {key: value for key, value in found._asdict().items() if key != "causes"}
    return Asked(entries, causal, {"unasked": unasked, **together})


def able(sought: Sought, p: Sequence[float | None], most: int = LISTED) -> list[int]:
    """Heads whose cause is asked for, strongest first."""
    order = sought.scored.score.argsort(descending=True, stable=True).tolist()[:most]
    enough = [i for i in order if float(sought.scored.score[i]) >= sought.weak]
    return [i for i in enough if (one := p[i]) is None or one <= RARE]


def address(model: SequenceView, number: int) -> Address:
    return Address(*divmod(number, model.n_heads))


def entry(
    where: Address, score: float, p_value: float | None, causal: Causal | None, works: Sequence[int]
) -> dict[str, Any]:
    """A head as evidence has it."""
    return {
        "layer": where.layer,
        "head": where.head,
        "score": score,
        "p_value": p_value,
        "necessity": None if causal is None else causal.necessity,
        "sufficiency": None if causal is None else causal.sufficiency,
        "control": None if causal is None else causal.control,
        "positions": list(works),
    }


def _works(by_query: Float[Tensor, " query"]) -> list[int]:
    """Queries where a head has at least half of what it has at its best one."""
    values = by_query.nan_to_num(-1.0)
    best = float(values.max())
    return (values >= WORKS * best).nonzero()[:, 0].tolist() if best > 0 else []


def seen(model: SequenceView, sought: Sought, number: int, works: Sequence[int]) -> Seen:
    """For the picture: the mean pattern, the mean ideal, and a sequence whose query at the head's best place looks."""
    sample, where = sought.sample, address(model, number)
    with torch.no_grad():
        name = f"blocks.{where.layer}.attn.hook_pattern"
        nowhere = torch.zeros_like(sample.tokens, dtype=torch.bool)
        pattern = model.run(sample.tokens, capture=(name,), at=nowhere)[1][name][:, where.head]
    query = works[-1] if works else sample.tokens.shape[1] - 1
    said = (sought.looks.at[:, query].any(-1)).nonzero()
    one = int(said[0]) if len(said) else 0
    return Seen(
        layer=where.layer,
        head=where.head,
        mean=mean_of_stratum(pattern, sample.stratum)[one].numpy(),
        template=sought.looks.ideal[one].numpy(),
        pattern=pattern[one].numpy(),
        tokens=tuple(sample.tokens[one].tolist()),
        query=query,
        scores=_strongest(model, sought.scored.score),
    )


def _strongest(model: SequenceView, score: Float[Tensor, " head"]) -> dict[str, float]:
    """As many as are drawn, by name."""
    strongest = score.argsort(descending=True, stable=True)[:DRAWN].tolist()
    return {"{}.{}".format(*address(model, number)): float(score[number].clamp(0, 1)) for number in strongest}
