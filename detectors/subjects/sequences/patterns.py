"""Attention patterns of a sample of sequences, and what is compared with them: templates, other sequences' patterns.

A template says from the tokens alone which keys a query should look at. Its null is the head's own behaviour: a pattern
that has nothing to do with what stands in the sequence has the same mass on it when the templates of the sequences are
exchanged. Sequences are exchanged only with those of which the same keys may be attended to (the same padding).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.errors import NotApplicable
from detectors.core.memory import check_memory
from detectors.core.nulls import TIE
from detectors.subjects.sequences.view import SequenceView

MOST = 256  # sequences: an excess of 1% over 10 queries each then stands out by several standard errors
NUMBERS = 2**22  # of the patterns of a layer, which take 16 MiB: fewer sequences where they are long
LEAST = 32
ALIKE = 8  # sequences at the least that may be exchanged among each other


@dataclass(frozen=True)
class Sample:
    """Sequences of a task as a template sees them.

    tokens, targets: as `Sequences`. keys: which keys a query may attend to. stratum: number of the set of sequences of
    the same keys that each belongs to.
    """

    tokens: Int[Tensor, "batch pos"]
    targets: Int[Tensor, "batch pos"]
    keys: Bool[Tensor, "batch query key"]
    stratum: Int[Tensor, " batch"]

    def some(self, numbers: Int[Tensor, " some"]) -> Sample:
        """Of its sequences these."""
        return Sample(*(x[numbers] for x in (self.tokens, self.targets, self.keys, self.stratum)))

    @cached_property
    def asked(self) -> Bool[Tensor, "batch pos"]:
        """Where an answer is asked for."""
        return self.targets >= 0

    @cached_property
    def real(self) -> Bool[Tensor, "batch query"]:
        """Queries that are no padding."""
        return self.keys.diagonal(dim1=1, dim2=2)

    @cached_property
    def markers(self) -> Bool[Tensor, "batch pos"]:
        """Tokens that only say where one is: the same at that place in all sequences, and found nowhere else."""
        found = [v for v in self.tokens.unique().tolist() if self._marks(self.tokens == v)]
        return torch.isin(self.tokens, torch.tensor(found, dtype=self.tokens.dtype))

    def _marks(self, here: Bool[Tensor, "batch pos"]) -> bool:
        columns = here.any(0)
        return int(columns.sum()) == 1 and bool(here[:, columns].all())


class Looks(NamedTuple):
    """What a template asks for: keys to look at, and keys to look at less, of queries [batch, query, key]. rivals: keys
    that another motif, which has nothing to do with this one, would look at as much.
    """

    at: Bool[Tensor, "batch query key"]
    not_at: Bool[Tensor, "batch query key"] | None = None
    rivals: Bool[Tensor, "batch query key"] | None = None

    def some(self, numbers: Int[Tensor, " some"]) -> Looks:
        """Of these sequences."""
        return Looks(*(None if x is None else x[numbers] for x in self))  # type: ignore[arg-type]

    @property
    def ideal(self) -> Float[Tensor, "batch query key"]:
        """The patterns of a head that looks nowhere else; rows of zeros where nothing is said."""
        return self.at / self.at.sum(-1, keepdim=True).clamp_min(1)


Template = Callable[[Sample], Looks]


def sample_of(model: SequenceView) -> Sample:
    """Some sequences of the task, of which at least a few may be exchanged. Errors: NotApplicable where none may."""
    size = max(LEAST, min(MOST, NUMBERS // max(1, model.n_heads * model.sample.tokens.shape[1] ** 2)))
    tokens, targets = (x[:size] for x in model.sample)
    check_memory(len(tokens) * model.n_heads * tokens.shape[1] ** 2, f"patterns of {len(tokens)} sequences")
    keys = model.keys(tokens)
    _, stratum = torch.unique(keys.flatten(1), dim=0, return_inverse=True)
    enough = torch.bincount(stratum)[stratum] >= ALIKE
    if not bool(enough.any()):
        raise NotApplicable(f"no {ALIKE} sequences allow the same keys, so none can be exchanged: more are needed")
    return Sample(tokens[enough], targets[enough], keys[enough], torch.unique(stratum[enough], return_inverse=True)[1])


def patterns(model: SequenceView, sample: Sample) -> Iterator[Float[Tensor, "batch head query key"]]:
    """Layer by layer."""
    nowhere = torch.zeros_like(sample.tokens, dtype=torch.bool)
    for layer in range(model.network.n_layers):
        name = f"blocks.{layer}.attn.hook_pattern"
        with torch.no_grad():
            yield model.run(sample.tokens, capture=(name,), at=nowhere)[1][name]


def heard(model: SequenceView, sample: Sample, layer: int) -> Bool[Tensor, "batch query"]:
    """Queries of which what heads write is read on: of the last layer those where an answer is asked for, since nothing
    else looks there.
    """
    return sample.asked & sample.real if layer == model.network.n_layers - 1 else sample.real


def uniform(sample: Sample) -> Float[Tensor, "batch query key"]:
    """Attention to all keys alike."""
    return sample.keys / sample.keys.sum(-1, keepdim=True).clamp_min(1)


def mean_of_stratum(x: Float[Tensor, "batch ..."], stratum: Int[Tensor, " batch"]) -> Float[Tensor, "batch ..."]:
    """Each sequence's own replaced by the mean over its stratum."""
    counts = torch.bincount(stratum)
    sums = torch.zeros((len(counts), *x.shape[1:]), dtype=x.dtype).index_add_(0, stratum, x)
    return (sums / counts.reshape(-1, *[1] * (x.ndim - 1)))[stratum]


def weights(looks: Looks, stratum: Int[Tensor, " batch"]) -> tuple[Float[Tensor, "batch query key"], Tensor]:
    """What a pattern is multiplied with for its score, and the queries [batch, query] that count.

    With keys to avoid: mass on what to look at less mass on what to avoid, each a mean over the sequences of a stratum
    where there is such a key, so that how often a query has one or the other makes no difference.
    """
    if looks.not_at is None:
        return looks.at.float(), looks.at.any(-1)
    at, avoid = looks.at.any(-1).float(), looks.not_at.any(-1).float()
    often = [mean_of_stratum(x, stratum) for x in (at, avoid)]
    both = (often[0] > 0) & (often[1] > 0)
    scaled = [x.float() / often[i].clamp_min(1e-9)[..., None] for i, x in enumerate((looks.at, looks.not_at))]
    return (scaled[0] - scaled[1]) * both[..., None], both & ((at + avoid) > 0)


def beyond_rivals(pattern: Float[Tensor, "batch head query key"], looks: Looks) -> Float[Tensor, " head"]:
    """1 less the mass of a key that rivals, over that of a key to look at: queries with both alone, since where there
    is one of them nothing competes. 1 where no query has both, 0 for a head that makes no difference.
    """
    if looks.rivals is None:
        return torch.ones(pattern.shape[1])
    both = (looks.at.any(-1) & looks.rivals.any(-1))[..., None]
    of = [(x & both).float() for x in (looks.at, looks.rivals)]
    at, rival = (torch.einsum("bhqk,bqk->h", pattern, x) / x.sum().clamp_min(1) for x in of)
    return (1 - rival / at.clamp_min(TIE)).clamp(0, 1)


class Excess(NamedTuple):
    """Of every head of a layer: mass beyond that of other sequences' patterns [head, query], and what a perfect head
    could have there. observed [head], null [draws, head]: what chance is measured by, the mass beyond its mean over all
    permutations of the templates as a share of the most that it could be, as it is and under random ones.
    """

    found: Float[Tensor, "head query"]
    could: Float[Tensor, "head query"]
    observed: Float[Tensor, " head"]
    null: Float[Tensor, "draws head"]

    def times(self, by: Float[Tensor, " head"]) -> Excess:
        """What every head has multiplied by a number. Chance is of its mass as it is: a factor computed from the
        sequences as they stand is no part of what is exchanged between them.
        """
        return self._replace(found=self.found * by[:, None])


def excess(
    pattern: Float[Tensor, "batch head query key"],
    weight: Float[Tensor, "batch query key"],
    stratum: Int[Tensor, " batch"],
    draws: int,
    rng: np.random.Generator,
) -> Excess:
    """Summed over sequences. Permutations are of the sequences of each stratum; the same seed gives every layer the
    same, so that the largest over all heads can be taken draw by draw.
    """
    heads, queries = pattern.shape[1], pattern.shape[2]
    found, could = torch.zeros(heads, queries), torch.zeros(heads, queries)
    tested, room = torch.zeros(1 + draws, heads), torch.zeros(heads)
    for number in range(int(stratum.max()) + 1):
        of = (stratum == number).nonzero()[:, 0]
        n, own, w = len(of), pattern[of], weight[of]
        mass, most = torch.einsum("bhqk,bqk->hq", own, w), w.clamp_min(0).amax(-1).sum(0)
        every = torch.einsum("hqk,qk->hq", own.sum(0), w.sum(0))  # of each pattern and each template
        others = (every - mass) / (n - 1)
        found += mass - others
        could += most - others
        room += (most - every / n).sum(1)
        order = np.vstack([np.arange(n), rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)])
        for h in range(heads):
            gram = own[:, h].flatten(1) @ w.flatten(1).T  # of sequence b's pattern and sequence c's template
            tested[:, h] += gram[torch.arange(n), torch.from_numpy(order)].sum(1) - every[h].sum() / n
    tested /= room.clamp_min(TIE)
    return Excess(found, could, tested[0], tested[1:])
