"""Motifs of heads by position: which place a query looks at, whatever stands there.

Score of a head: mass of its mean pattern on the place wanted beyond the best other one, a mean over all queries or
those that are heard, the less, corrected for chance. Null: the places of the keys exchanged, query by query.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.errors import NotApplicable
from detectors.core.heads import Heads
from detectors.subjects.sequences.heads import Scored, Sought, heads_of
from detectors.subjects.sequences.patterns import ALIKE, Looks, Sample, heard, patterns
from detectors.subjects.sequences.view import SequenceView


class Places(NamedTuple):
    """option: which place a key belongs to [query, key], -1 for none. wanted: of each query, -1 for none."""

    option: Int[Tensor, "query key"]
    wanted: Int[Tensor, " query"]


def by_position(model: SequenceView, sample: Sample, places: Places, *, draws: int, seed: int) -> Heads:
    """Errors: NotApplicable where no query has its place."""
    scored = positional(model, sample, places, draws=draws, seed=seed)
    at = (places.option == places.wanted[:, None]) & (places.wanted >= 0)[:, None] & sample.keys
    sought = Sought(sample, scored, Looks(at), ("z",), "places of keys, query by query", alone=False)
    return heads_of(model, sought, seed)


def positional(model: SequenceView, sample: Sample, places: Places, *, draws: int, seed: int) -> Scored:
    """Mass of the mean pattern on the place wanted, beyond the best other place and beyond exchanged places."""
    real, size = sample.real, int(places.option.max()) + 1
    open_to = (sample.keys & real[..., None]).sum(0) >= ALIKE
    option = places.option.masked_fill(~open_to | (places.option < 0), size)  # of its own for all that has none
    available = torch.zeros(len(option), size + 1, dtype=torch.bool).scatter_(1, option, True)[:, :size]
    counted = (places.wanted >= 0) & available.gather(1, places.wanted.clamp_min(0)[:, None])[:, 0]
    counted &= available.sum(1) > 1
    if not bool(counted.any()):
        raise NotApplicable("no query of these sequences has the place that this motif would look at, beside others")
    every, here, read = [], [], []
    for layer, pattern in enumerate(patterns(model, sample)):
        where = heard(model, sample, layer)
        every.append(_mean(pattern, real))
        here.append(_mean(pattern, where))
        read.append(where.any(0).expand(pattern.shape[1], -1))
    mean = torch.cat(every)
    wanted = places.wanted.masked_fill(~counted, -1)
    rng = np.random.default_rng(seed)
    by_query = _beyond(mean, option, wanted, available)
    null = (
        _one_key_each(mean, option, wanted, available, draws, rng)
        if int(torch.zeros(len(option), size + 1).scatter_add_(1, option, torch.ones(option.shape))[:, :size].max())
        == 1
        else torch.stack([_beyond(mean, _exchanged(option, size, rng), wanted, available).sum(1) for _ in range(draws)])
    )
    observed, chance = by_query.sum(1) / counted.sum(), null / counted.sum()
    lucky = chance.mean(0)  # of few places one is the right one by chance
    by_heard = _beyond(torch.cat(here), option, wanted, available).masked_fill(~(counted & torch.cat(read)), torch.nan)
    score = by_heard.nanmean(1).nan_to_num(0.0).minimum(observed)  # the less: of few queries it is noise too
    return Scored((score - lucky) / (1 - lucky), by_heard, observed, chance)


def _mean(
    pattern: Float[Tensor, "batch head query key"], of: Bool[Tensor, "batch query"]
) -> Float[Tensor, "head query key"]:
    """Over the sequences that have the query."""
    return torch.einsum("bhqk,bq->hqk", pattern, of.float() / of.sum(0).clamp_min(1))


def _beyond(
    mean: Float[Tensor, "head query key"],
    option: Int[Tensor, "query key"],
    wanted: Int[Tensor, " query"],
    available: Bool[Tensor, "query option"],
) -> Float[Tensor, "head query"]:
    """Mass on the place wanted less that on the best other place; 0 where another has more, or none is wanted."""
    heads, queries, size = len(mean), *available.shape
    mass = torch.zeros(heads, queries, size + 1).scatter_add_(2, option.expand(heads, -1, -1), mean)[..., :size]
    best = torch.where(available, mass, -torch.inf).topk(2, dim=-1)
    return ((best.values[..., 0] - best.values[..., 1]) * (best.indices[..., 0] == wanted)).nan_to_num(0.0)


def _one_key_each(
    mean: Float[Tensor, "head query key"],
    option: Int[Tensor, "query key"],
    wanted: Int[Tensor, " query"],
    available: Bool[Tensor, "query option"],
    draws: int,
    rng: np.random.Generator,
) -> Float[Tensor, "draws head"]:
    """Sums of what is beyond under exchange: any key is then as likely the one at the place wanted."""
    key = option < available.shape[1]
    best = torch.where(key, mean, -torch.inf).topk(2, dim=-1)
    gap = (best.values[..., 0] - best.values[..., 1]).nan_to_num(0.0) * (wanted >= 0)
    orders = (torch.from_numpy(rng.random(key.shape, dtype=np.float32)).masked_fill_(~key, -1.0) for _ in range(draws))
    return torch.stack([((best.indices[..., 0] == one.argmax(1)) * gap).sum(1) for one in orders])


def _exchanged(option: Int[Tensor, "query key"], none: int, rng: np.random.Generator) -> Int[Tensor, "query key"]:
    """The places of the keys of each query in random order; keys that have none keep that."""
    order = torch.from_numpy(rng.random(option.shape)) + 2.0 * (option == none)
    moved = torch.full_like(option, none)
    sources = option.sort(dim=1).values
    return moved.scatter_(1, order.argsort(dim=1), sources)
