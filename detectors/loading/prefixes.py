"""Names as the model has them: without what wrappers put before, and without copies of all weights beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from detectors.loading.arrays import array, shape
from detectors.loading.containers import short

DEEP = 12  # wrappers in one another
# first components of names: those that a wrapper adds, and those of averages, gradients, moments and earlier states
_WRAPPERS = {"model", "module", "net", "network", "transformer", "_orig_mod", "_model", "_module"}
_WRAPPERS |= {"_forward_module", "_fsdp_wrapped_module"}
_COPY = re.compile(r"ema|averag|target|swa|grad|exp_avg|moment|init|prev|old|backup|best", re.I)


def is_matrix(node: Any) -> bool:
    found = array(node)
    try:
        return found is not None and len(shape(found)) >= 2
    except ValueError:
        return found is not None  # so that what is wrong with it is said


def unprefixed(arrays: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Without the components that wrappers put before every name and without copies; a note of those."""
    note = ""
    for _ in range(DEEP):
        matrices = [name for name, node in arrays.items() if is_matrix(node)]
        groups: dict[str, set[str]] = {}
        for name in matrices:
            first, _, rest = name.partition(".")
            groups.setdefault(first, set()).add(rest)
        if copies := _copies(matrices, groups):
            note = f"{', '.join(map(short, copies))} beside the weights, tensors of the same names, left out"
            arrays = {name: node for name, node in arrays.items() if name.partition(".")[0] not in copies}
            continue
        (first,) = groups if len(groups) == 1 else ("",)
        if first not in _WRAPPERS or "" in groups[first]:
            return arrays, note
        stripped = {name.removeprefix(first + "."): node for name, node in arrays.items()}
        if len(stripped) < len(arrays):
            return arrays, note
        arrays = stripped
    return arrays, note


def _copies(matrices: list[str], groups: Mapping[str, set[str]]) -> list[str]:
    """First components below which all matrices lie once more: averages, gradients, moments, an earlier state."""
    some = [first for first, rest in groups.items() if _COPY.search(first) and "" not in rest]
    own = [name for name in matrices if name.partition(".")[0] not in some]
    bare = {name.partition(".")[2] for name in own} if len(groups) == len(some) + 1 else set()
    forms = [{name.replace(".", "") for name in names} for names in (own, bare) if names]
    return [first for first in some if {name.replace(".", "") for name in groups[first]} in forms]
