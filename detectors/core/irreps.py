"""What every motif that ranks irreps says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectors.core.groups import Group


def named(group: Group, ranked: Sequence[int], key: Sequence[int]) -> dict[str, Any]:
    """Evidence `irreps`, `dimensions`, `key_irreps`, `frequencies` of irreps counted from 0 without the trivial one.

    >>> named(Group.from_name("C5"), [1, 0], [1])
    {'irreps': ('freq_2', 'freq_1'), 'dimensions': (2, 2), 'key_irreps': ('freq_2',), 'frequencies': (2,)}
    """
    irreps = group.irreps[1:]
    return {
        "irreps": tuple(irreps[i].name for i in ranked),
        "dimensions": tuple(irreps[i].dimension for i in ranked),
        "key_irreps": tuple(irreps[i].name for i in key),
        "frequencies": group.frequencies(key),
    }
