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
_COPY = re.compile(
    r"(^|_)(ema|swa|avg|averaged?|target|grads?|exp_avg|moments?|init|initial|prev|previous|old|backup|best)(_|\d|$)",
    re.I,
)


def is_matrix(node: Any) -> bool:
    size = _size(node)
    return array(node) is not None and (size is None or len(size) >= 2)


def _size(node: Any) -> tuple[int, ...] | None:
    """None of no array, and of one that is wrong, so that what is wrong with it is said where it is read."""
    found = array(node)
    try:
        return None if found is None else tuple(shape(found))
    except ValueError:
        return None


def unprefixed(arrays: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Without the components that wrappers put before every name and without copies; a note of those."""
    note = ""
    for _ in range(DEEP):
        matrices = [name for name, node in arrays.items() if is_matrix(node)]
        groups: dict[str, set[str]] = {}
        for name in matrices:
            first, _, rest = name.partition(".")
            groups.setdefault(first, set()).add(rest)
        if copies := _copies({name: _size(arrays[name]) for name in matrices}, groups):
            note = f"{', '.join(map(short, copies))} beside the weights, tensors of the same names and shapes, left out"
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


def _copies(matrices: Mapping[str, tuple[int, ...] | None], groups: Mapping[str, set[str]]) -> list[str]:
    """First components below which all matrices lie once more: averages, gradients, moments, an earlier state."""
    some = [first for first, rest in groups.items() if _COPY.search(first) and "" not in rest]
    own = {name: size for name, size in matrices.items() if name.partition(".")[0] not in some}
    below = own if len(groups) == len(some) + 1 else {}
    bare = {name.partition(".")[2]: size for name, size in below.items()}
    forms = [{name.replace(".", ""): size for name, size in names.items()} for names in (own, bare) if names]
    copies = {first: {rest.replace(".", ""): matrices[f"{first}.{rest}"] for rest in groups[first]} for first in some}
    return [first for first, form in copies.items() if form in forms]
