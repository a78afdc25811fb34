"""Columns of a first layer, and the subgroups whose cosets they count."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.core.device import accelerated
from detectors.core.groups import Group
from detectors.core.subgroups import SIDES, Masks, alignments
from detectors.core.turns import turned

TIED = 0.01  # the largest subgroup as good as the best, which a column constant on its cosets is for all within it too
AT_ONCE = 8  # draws: what is made of the table for each call costs as much as one


@accelerated
def aligned(
    group: Group, values: Float[Tensor, "n columns"], on_left: Bool[Tensor, " columns"], masks: Masks
) -> Float[Tensor, "2 columns subgroups"]:
    """Alignments on the cosets of the operand's own side, and on those of the other."""
    sides = torch.stack([alignments(group, values, masks, side) for side in SIDES])
    return torch.where(on_left[None, :, None], sides, sides.flip(0))


def by_order(
    group: Group, to_each: Float[Tensor, "2 columns subgroups"], masks: Masks
) -> tuple[Float[Tensor, " columns"], Float[Tensor, " columns"]]:
    """Largest alignment with a subgroup of index 3 to a third of the order, and with one of order 2 whose two elements
    are no centre: on cosets of those every function is constant whose irreps are.
    """
    order, most = torch.from_numpy(masks.sum(1)), to_each.amax(0)
    central = torch.from_numpy(~(masks & (group.table != group.table.T).any(1)).any(1))
    two = most[:, (order == 2) & ~central]
    judged = most[:, (order > 2) & (order * 2 < masks.shape[1])]
    return judged.amax(1), two.amax(1) if two.shape[1] else torch.zeros_like(judged[:, 0])


def by_order_turned(
    group: Group,
    values: Float[Tensor, "n columns"],
    on_left: Bool[Tensor, " columns"],
    masks: Masks,
    draws: int,
    seed: int,
) -> Iterator[tuple[Float[Tensor, " columns"], Float[Tensor, " columns"]]]:
    """`by_order` of what the columns are once `turned`, of each draw."""
    drawn, many = turned(group, values, draws, seed), values.shape[1]
    while some := list(islice(drawn, AT_ONCE)):
        to_each = aligned(group, torch.cat(some, dim=1), on_left.repeat(len(some)), masks)
        yield from zip(*(x.split(many) for x in by_order(group, to_each, masks)), strict=True)


class Best(NamedTuple):
    """The largest alignment of a column with any subgroup, on either side and on its own; the largest subgroup within
    0.01 of it, 0 or 1 where its own or the other side has it, and whether its index is 2.
    """

    either: Float[Tensor, " columns"]
    subgroup: Int[Tensor, " columns"]
    side: Int[Tensor, " columns"]
    sign: Bool[Tensor, " columns"]
    own: Float[Tensor, " columns"]
    own_subgroup: Int[Tensor, " columns"]
    own_sign: Bool[Tensor, " columns"]


def best_of(aligned: Float[Tensor, "2 columns subgroups"], masks: Masks) -> Best:
    index_two = torch.from_numpy(masks.sum(1) * 2 == masks.shape[1])

    def largest(of: Float[Tensor, "columns subgroups"]) -> tuple[Tensor, Tensor, Tensor]:
        most = of.amax(1)
        first = (of >= most[:, None] - TIED).int().argmax(1)  # they lie from large to small
        return most, first, index_two[first]

    either, subgroup, sign = largest(aligned.amax(0))
    side = aligned[:, torch.arange(len(subgroup)), subgroup].argmax(0)
    return Best(either, subgroup, side, sign, *largest(aligned[0]))
