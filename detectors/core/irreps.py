"""What every motif that ranks irreps says of them, and the picture of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.nulls import STILL, key_cut
from detectors.core.picture import Bars, Picture

LISTED = 8  # of a kind in a sentence: transformers of arXiv:2302.03025 have no more key irreps, one of nine apart


def named(
    group: Group, ranked: Sequence[int], shares: Float[Tensor, " irreps"], null: Float[Tensor, "draws irreps"]
) -> dict[str, Any]:
    """Evidence on irreps, counted from 0 without the trivial one; those are key whose share is above its cut.

    >>> found = named(Group.from_name("C5"), [1, 0], torch.tensor([0.25, 0.75]), torch.tensor([[0.5, 0.5]]))
    >>> found["irreps"], found["dimensions"], found["key_irreps"], found["frequencies"], found["key_cuts"]
    (('freq_2', 'freq_1'), (2, 2), ('freq_2',), (2,), (0.5, 0.5))
    """
    irreps, cut = group.irreps[1:], key_cut(null)
    key = [i for i in ranked if shares[i] > cut[i]]
    return {
        "irreps": tuple(irreps[i].name for i in ranked),
        "dimensions": tuple(irreps[i].dimension for i in ranked),
        "key_irreps": tuple(irreps[i].name for i in key),
        "frequencies": group.frequencies(key),
        "key_cuts": tuple(cut[list(ranked)].tolist()),
    }


def spoken(names: Sequence[str]) -> str:
    """Irreps in a sentence, frequencies first.

    >>> spoken(["freq_3", "sign", "freq_5"])
    'frequencies 3, 5 and the irrep sign'
    """
    frequencies = [k.removeprefix("freq_") for k in names if k.startswith("freq_")]
    others = [k for k in names if not k.startswith("freq_")]
    parts = []
    for kind, one, many in ((frequencies, "frequency", "frequencies"), (others, "the irrep", "the irreps")):
        weaker = f" and {len(kind) - LISTED} weaker" if len(kind) > LISTED else ""
        if kind:
            parts.append(f"{one if len(kind) == 1 else many} {', '.join(kind[:LISTED])}{weaker}")
    return " and ".join(parts)


def within_family(group: Group, values: Float[Tensor, "n n"], irrep: int) -> Float[Tensor, "n n"]:
    """Part of a function of (a, b) in the family {trivial, irrep} x {trivial, irrep} (an index into `group.irreps`)."""
    constant = torch.full((group.order, 1), group.order**-0.5, dtype=torch.float64)
    q = torch.cat([constant, torch.from_numpy(group.basis)[:, group.slices[irrep]]], dim=1)
    return q @ (q.T @ values @ q) @ q.T


def rank_one_share(group: Group, function: Float[Tensor, " n"], irrep: int) -> float:
    """Of its part in an irrep (an index into `group.irreps`), the share of the largest singular value: of tr A rho(g),
    |s_1|^2 over that of A. 1 where it is x rho(g) y.

    Its translates from the left span as many dimensions as rho has, times the rank, each singular value that often; an
    irrep joined with its conjugate has twice as many real ones, and a quaternionic one as many twice.

    >>> d4 = Group.from_name("D4")
    >>> entries = torch.from_numpy(d4.basis)[:, d4.slices[-1]]
    >>> character = torch.from_numpy(d4.irreps[-1].character)
    >>> round(rank_one_share(d4, character, len(d4.irreps) - 1), 3)
    0.5
    """
    basis, character = torch.from_numpy(group.basis)[:, group.slices[irrep]], group.irreps[irrep].character
    translates = basis.T @ function[torch.from_numpy(group.table.T.copy())]
    powers = torch.linalg.eigvalsh(translates @ translates.T)
    squares = character[np.diag(group.table)].mean() / character[group.identity]
    dimension = group.irreps[irrep].dimension
    degree = math.isqrt(dimension) if math.isqrt(dimension) ** 2 == dimension else 2 * math.isqrt(dimension // 2)
    copies = 2 * degree if squares < -STILL else degree
    return float(powers[-copies:].sum() / powers.sum().clamp_min(torch.finfo(powers.dtype).tiny))


def with_doubles(group: Group, power: Float[Tensor, "m irreps"]) -> Float[Tensor, "m irreps"]:
    """Power of k with that of 2k, of a cyclic group: where a square, or a ReLU, of frequency k has its harmonic."""
    k = torch.arange(1, group.order // 2 + 1)
    double = torch.minimum(2 * k, group.order - 2 * k)  # 0 where k is half the order
    return power + torch.where((double > 0) & (double != k), power[:, double - 1], 0.0)


def spectrum_bars(
    score: Any,
    heights: Sequence[float],
    title: str,
    reading: str,
    *,
    chance: Sequence[float] | None = None,
    unit: str = "share of the power",
    form: str = ".0%",
) -> list[Picture]:
    """A bar an irrep, from a score with the evidence of `named`; nothing where it lists none. chance: else the cuts."""
    chance = score.key_cuts if chance is None else chance
    bars = Bars(names=score.irreps, heights=heights, chance=chance, key=score.key_irreps, unit=unit, form=form)
    return [Picture(title=title, reading=reading, data=bars)] if score.irreps else []
