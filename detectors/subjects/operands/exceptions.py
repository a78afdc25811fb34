"""Pairs that a model answers, with a margin, otherwise than its own structured part: a backdoor in a circuit."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.subjects.operands.plane import LogitGrid

# Of the median pair's lead of its first answer over its second: less is indecision, as of a circuit's weakest pairs.
MARGIN = 0.1
LISTED = 100


class Exceptions(NamedTuple):
    """How many, and of the first hundred the rows (a, b, answer given, answer of the structured part)."""

    number: int
    listed: Int[Tensor, "listed 4"]


def exceptions(grid: LogitGrid, f: Float[Tensor, " n"]) -> Exceptions:
    """The labelled pairs whose own answer leads that of S = f(a b c^-1) by a margin. f: [n] fibre means.

    S answers at the largest value of f, which is the right answer where that is the identity.
    """
    expected = grid.answers[grid.shift[grid.product, int(f.argmax())]]
    lead, ahead, given = [], [], []
    for k in grid.batches(grid.everything):
        rows = grid.logits[grid.pairs[k]].double()
        top = rows.topk(min(2, rows.shape[1]), dim=1)
        lead.append(top.values[:, 0] - top.values[:, -1])
        ahead.append(top.values[:, 0] - rows.gather(1, expected[k, None]).squeeze(1))
        given.append(top.indices[:, 0])
    found = torch.nonzero(torch.cat(ahead) > MARGIN * torch.cat(lead).median()).squeeze(1)
    pairs, some = grid.pairs[found], found[:LISTED]
    a, b = (pairs[:LISTED] // grid.n_tokens, pairs[:LISTED] % grid.n_tokens)
    return Exceptions(len(found), torch.stack([a, b, torch.cat(given)[some], expected[some]], dim=1))
