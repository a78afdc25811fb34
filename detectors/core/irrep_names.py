"""Isotypic blocks, and the names that the literature has for them."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from detectors.core.named_tables import parity, permutations


@dataclass(frozen=True, eq=False)
class Irrep:
    """One isotypic block of the real group algebra.

    name: as the literature has it (`freq_3`, `sign`, `standard`), else `block_<dimension>_<index>`.
    dimension: of the block (d*d or 2*d*d).
    character: real; the sum of an irrep's and its conjugate's where they are joined.
    frequency: for cyclic and dihedral groups, the integer k in cos(2 pi k g / n); else None.
    """

    name: str
    dimension: int
    character: Float[np.ndarray, " n"]
    frequency: int | None = None


def in_order(irreps: list[Irrep], classes: Int[np.ndarray, " n"]) -> list[int]:
    """Places of the irreps: the trivial one first, then by dimension and character."""
    one_of_each = np.unique(classes, return_index=True)[1]

    def key(i: int) -> tuple[bool, int, tuple[float, ...]]:
        character = irreps[i].character
        rounded = tuple(-np.round(character[one_of_each], 6))  # exact to about 1e-12; they differ by 4e-5 or more
        return not _is_trivial(irreps[i]), irreps[i].dimension, rounded

    return sorted(range(len(irreps)), key=key)


def _is_trivial(irrep: Irrep) -> bool:
    return irrep.dimension == 1 and bool(irrep.character.min() > 0.999)  # another of dimension 1 has a -1 somewhere


def named(irreps: list[Irrep], group: str) -> tuple[Irrep, ...]:
    """With the names of the named families; what has none is `s5_5d_a` in a permutation group, else `block_16_0`."""
    out: list[Irrep] = []
    unknown: Counter[int] = Counter()
    known = _known_characters(group, len(irreps[0].character))
    for irrep in irreps:
        d, index = math.isqrt(irrep.dimension), unknown[irrep.dimension]
        name, frequency = _name(irrep, group, known)
        if not name:
            unknown[irrep.dimension] += 1
            name = f"block_{irrep.dimension}_{index}"
            if re.fullmatch(r"[SA]\d", group) and d * d == irrep.dimension:
                name = f"{group.lower()}_{d}d_{string.ascii_lowercase[index]}"
        out.append(replace(irrep, name=name, frequency=frequency))
    return tuple(out)


def _known_characters(group: str, n: int) -> dict[str, Float[np.ndarray, " n"]]:
    match = re.fullmatch(r"([DSA])(\d+)", group)
    if not match:
        return {}
    m = int(match[2])
    if match[1] == "D":
        return {"sign": np.where(np.arange(n) < m, 1.0, -1.0)}
    perms = permutations(m, even=match[1] == "A")
    fixed, sign = (perms == np.arange(m)).sum(axis=1) - 1.0, parity(perms).astype(float)
    return {"sign": sign, "standard": fixed, "standard_sign": fixed * sign}


def _name(irrep: Irrep, group: str, known: dict[str, Float[np.ndarray, " n"]]) -> tuple[str, int | None]:
    """Name and frequency; empty where the literature has none."""
    dihedral = re.fullmatch(r"D(\d+)", group)
    if _is_trivial(irrep):
        return "trivial", 0 if dihedral else None
    for name, character in known.items():
        if np.allclose(irrep.character, character, atol=1e-6):  # exact to 1e-12; others differ by 1 or more
            return name, None
    if dihedral and irrep.dimension == 4:  # the character of the rotation r is 2 cos(2 pi k / m)
        k = round(float(np.arccos(np.clip(irrep.character[1] / 2, -1, 1))) * int(dihedral[1]) / (2 * np.pi))
        return f"freq_{k}", k
    return "", None
