"""Pairs that a model answers, with a margin, otherwise than its own structured part: a backdoor in a circuit.

The group labels no pair outside it, as (0, b) of multiplication, and the structured part has no answer there. Where the
model answers nearly all of those as the task does, the task's own answer is the regular one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.subjects.operands.plane import LogitGrid

# Of the median pair's lead of its first answer over its second: less is indecision, as of a circuit's weakest pairs.
MARGIN = 0.1
LISTED = 100
# Of the pairs outside the group: with fewer right the model has not learnt them, and what it answers there is no
# exception. A summary takes more than a tenth of all pairs for none either.
REGULAR = 0.9


class Exceptions(NamedTuple):
    """How many, and of the first hundred the rows (a, b, answer given, regular answer), the labelled pairs first."""

    number: int
    listed: Int[Tensor, "listed 4"]


def exceptions(grid: LogitGrid, f: Float[Tensor, " n"]) -> Exceptions:
    """The pairs whose own answer leads the regular one by a margin. f: [n] fibre means.

    On a labelled pair that is the answer of S = f(a b c^-1), at the largest value of f, which is the right one where
    that is the identity; on others the task's, if the model gives it on 90% of them.
    """
    expected = grid.answers[grid.shift[grid.product, int(f.argmax())]]
    inside, outside = _against(grid, grid.pairs, expected), _against(grid, grid.outside, grid.stated)
    regular = int((outside.given == grid.stated).sum()) >= REGULAR * len(grid.stated)
    found = torch.cat([side.found for side in ((inside, outside) if regular else (inside,))])
    return Exceptions(len(found), found[:LISTED])


class _Against(NamedTuple):
    """The answers given to some pairs [pairs], and of those that stand against the expected ones the rows."""

    given: Int[Tensor, " pairs"]
    found: Int[Tensor, "found 4"]


def _against(grid: LogitGrid, pairs: Int[Tensor, " pairs"], expected: Int[Tensor, " pairs"]) -> _Against:
    lead, ahead, given = [torch.empty(0)], [torch.empty(0)], [expected[:0]]
    for k in grid.batches(torch.arange(len(pairs))):
        rows = grid.logits.index_select(0, pairs[k]).double()
        top = rows.topk(min(2, rows.shape[1]), dim=1)
        lead.append(top.values[:, 0] - top.values[:, -1])
        ahead.append(top.values[:, 0] - rows.gather(1, expected[k, None]).squeeze(1))
        given.append(top.indices[:, 0])
    answers, leads = torch.cat(given), torch.cat(lead)
    some = torch.nonzero(torch.cat(ahead) > MARGIN * leads.median()).squeeze(1) if len(leads) else answers[:0]
    a, b = pairs[some] // grid.n_tokens, pairs[some] % grid.n_tokens
    return _Against(answers, torch.stack([a, b, answers[some], expected[some]], dim=1))
