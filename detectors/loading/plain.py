"""What a file says in plain values: configurations, steps, lists of pairs, in Python's own types."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from detectors.core.errors import CheckpointError
from detectors.loading.arrays import Storages, array, no_storages, shape, tensor
from detectors.loading.unpickle import Inert


def children(node: Any) -> Iterator[tuple[Any, Any]]:
    """What lies in a container, a list by its places; nothing in a leaf or a whole module."""
    if isinstance(node, dict):
        yield from node.items()
    elif isinstance(node, list | tuple):
        yield from enumerate(node)
    elif isinstance(node, Inert) and node.how != "storage" and not is_module(node):
        state = node.state
        if (
            node.name == "numpy._core.multiarray._reconstruct"
            and isinstance(state, tuple)
            and isinstance(state[-1], list)
        ):
            if len(state[-1]) == 1:  # an array of objects: numpy.save of a dictionary
                yield from children(state[-1][0])
            return
        slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        for part in (node.pairs, *slots):
            if isinstance(part, dict):
                yield from part.items()


def is_module(node: Any) -> bool:
    """Whether it is a pickled torch module."""
    return isinstance(node, Inert) and isinstance(node.state, dict) and {"_modules", "_parameters"} <= node.state.keys()


def plain(node: Any, storages: Storages | None, budget: list[int]) -> Any:
    """A node in Python's own types, arrays as NumPy's where their bytes are at hand.

    budget: values that may still be made, counted down. Errors: CheckpointError where they are more.
    """
    budget[0] -= 1
    if budget[0] < 0:
        raise CheckpointError("too many values")
    if node is None or isinstance(node, str | int | float):
        return node
    if (found := array(node)) is not None:
        if storages is None and math.prod(shape(found)) > 1:
            raise CheckpointError("an array")
        budget[0] -= math.prod(shape(found))
        if budget[0] < 0:
            raise CheckpointError("too many values")
        values = tensor(found, storages or no_storages()).numpy()
        return values if storages else values.item()
    if isinstance(node, list | tuple):
        return [plain(value, storages, budget) for value in node]
    if isinstance(node, dict) or (isinstance(node, Inert) and next(children(node), None) is not None):
        return {str(key): plain(value, storages, budget) for key, value in children(node) if not isinstance(key, Inert)}
    if isinstance(node, Inert):
        if node.values is not None:
            return plain(node.values, storages, budget)
        if node.name.startswith("pathlib.") and all(isinstance(a, str) for a in node.args) and len(node.args) < 32:
            return "/".join(part[:256] for part in node.args)
        if node.how == "call" and len(node.args) == 1 and isinstance(node.args[0], str | int | float):
            return node.args[0]
        return node.name
    return f"{len(node)} bytes"
