"""Cayley tables of the groups that have names."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from detectors.core.errors import TaskError

MAX_ORDER = 2048  # one dense symmetric eigenproblem of this size is a minute; a table of it is 32 MB


def named_table(name: str) -> Int[np.ndarray, "n n"]:
    """Of `C12`, `D5`, `Dic3`, `S4`, `A5`, or of a direct product `C2xS3`.

    >>> named_table("C3").tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """
    factors = [_factor(f, name) for f in name.split("x")]
    orders = [
        {"C": m, "D": 2 * m, "Dic": 4 * m}.get(kind) or math.factorial(m) // (1 + (kind == "A")) or 1
        for kind, m in factors
    ]
    if math.prod(orders) > MAX_ORDER:
        raise TaskError(f"group {name!r} has more than {MAX_ORDER} elements")
    table = np.zeros((1, 1), dtype=np.int64)
    for order, (kind, m) in zip(orders, factors, strict=True):
        t = _TABLES[kind](m)
        table = (table[:, None, :, None] * order + t[None, :, None, :]).reshape((len(table) * order,) * 2)
    return table


def _order(kind: str, m: int) -> int:
    linear = {"C": 1, "D": 2, "Dic": 4}
    return linear[kind] * m if kind in linear else math.factorial(m) // (1 + (kind == "A")) or 1


def _factor(factor: str, name: str) -> tuple[str, int]:
    match = re.fullmatch(r"([CDSA]|Dic)([1-9]\d{0,3})", factor)
    if not match:
        raise TaskError(f"unknown group {name!r}: write C113, D59, Dic3, S5, A5, or a product such as C2xS3")
    kind, m = match[1], int(match[2])
    if kind in "SA" and m > 6:  # S7 has 5040 elements
        raise TaskError(f"group {name!r}: {kind}{m} has too many elements; up to {kind}6 is supported")
    return kind, m


def _dihedral(m: int) -> Int[np.ndarray, "n n"]:
    rotation, flip = np.arange(2 * m) % m, np.arange(2 * m) // m
    return (rotation[:, None] + (1 - 2 * flip)[:, None] * rotation) % m + m * (flip[:, None] ^ flip)


def _dicyclic(m: int) -> Int[np.ndarray, "n n"]:
    """a^k is k and a^k x is 2m + k, with a^2m = 1, x^2 = a^m and x a = a^-1 x."""
    power, x = np.arange(4 * m) % (2 * m), np.arange(4 * m) // (2 * m)
    turned = power[:, None] + (1 - 2 * x)[:, None] * power + m * (x[:, None] & x)
    return turned % (2 * m) + 2 * m * (x[:, None] ^ x)


def permutations(m: int, *, even: bool) -> Int[np.ndarray, "n m"]:
    """Of 0..m-1 in lexicographic order, all or the even ones."""
    perms = np.array(list(itertools.permutations(range(m))), dtype=np.int64).reshape(-1, m)
    return perms[parity(perms) == 1] if even else perms


def parity(perms: Int[np.ndarray, "n m"]) -> Int[np.ndarray, " n"]:
    """1 for even permutations, -1 for odd ones."""
    i, j = np.triu_indices(perms.shape[1], 1)
    return 1 - 2 * ((perms[:, i] > perms[:, j]).sum(axis=1) % 2)


def _compose(perms: Int[np.ndarray, "n m"]) -> Int[np.ndarray, "n n"]:
    """a*b is a after b: (a*b)[i] = a[b[i]]."""
    code = perms.shape[1] ** np.arange(perms.shape[1])[::-1]
    products = perms[:, perms] @ code
    return np.searchsorted(perms @ code, products)  # lexicographic order is the order of the codes


_TABLES: dict[str, Callable[[int], np.ndarray]] = {
    "C": lambda m: np.add.outer(np.arange(m), np.arange(m)) % m,
    "D": _dihedral,
    "Dic": _dicyclic,
    "S": lambda m: _compose(permutations(m, even=False)),
    "A": lambda m: _compose(permutations(m, even=True)),
}
