"""Lines of a program that build a group's Cayley table, by the rule of its name or from a literal."""

from __future__ import annotations

import base64
import re
import textwrap
import zlib

import numpy as np

from detectors.core.groups import Group

RULES = {
    "C": ("cyclic", ["def cyclic(m):", "    return np.add.outer(np.arange(m), np.arange(m)) % m"]),
    "D": (
        "dihedral",
        [
            "def dihedral(m):  # r^k is k and r^k s is m + k",
            "    r, s = np.arange(2 * m) % m, np.arange(2 * m) // m",
            "    return (r[:, None] + (1 - 2 * s)[:, None] * r) % m + m * (s[:, None] ^ s)",
        ],
    ),
    "Dic": (
        "dicyclic",
        [
            "def dicyclic(m):  # a^k is k and a^k x is 2m + k, with x^2 = a^m and x a = a^-1 x",
            "    k, x = np.arange(4 * m) % (2 * m), np.arange(4 * m) // (2 * m)",
            "    turned = k[:, None] + (1 - 2 * x)[:, None] * k + m * (x[:, None] & x)",
            "    return turned % (2 * m) + 2 * m * (x[:, None] ^ x)",
        ],
    ),
    "S": (
        "symmetric",
        [
            "def symmetric(m):  # permutations in lexicographic order; p q is q first, then p",
            "    every = list(itertools.permutations(range(m)))",
            "    number = {p: i for i, p in enumerate(every)}",
            "    return np.array([[number[tuple(p[i] for i in q)] for q in every] for p in every])",
        ],
    ),
    "A": (
        "alternating",
        [
            "def alternating(m):  # even permutations in lexicographic order; p q is q first, then p",
            "    every = list(itertools.permutations(range(m)))",
            "    every = [p for p in every if sum(p[i] > p[j] for j in range(m) for i in range(j)) % 2 == 0]",
            "    number = {p: i for i, p in enumerate(every)}",
            "    return np.array([[number[tuple(p[i] for i in q)] for q in every] for p in every])",
        ],
    ),
}
TIMES = [
    "def times(s, t):  # the direct product, major in the first factor",
    "    return (s[:, None, :, None] * len(t) + t[None, :, None, :]).reshape(len(s) * len(t), -1)",
]


def product_table(group: Group) -> list[str]:
    """`PRODUCT = ...` and what it needs.

    >>> product_table(Group.from_name("C2xC2"))[-1]
    'PRODUCT = functools.reduce(times, [cyclic(2), cyclic(2)])'
    """
    factors = re.findall(r"(Dic|[CDSA])(\d+)(?:x|$)", group.name)
    if "x".join(kind + m for kind, m in factors) != group.name or not _is_named(group):
        return _literal(group)
    lines: list[str] = []
    for kind in dict(factors):
        lines += [*RULES[kind][1], "", ""]
    made = [f"{RULES[kind][0]}({m})" for kind, m in factors]
    if len(made) == 1:
        return [*lines, f"PRODUCT = {made[0]}"]
    table = textwrap.wrap(f"PRODUCT = functools.reduce(times, [{', '.join(made)}])", 116, subsequent_indent="    ")
    return [*lines, *TIMES, "", "", *table]


def _is_named(group: Group) -> bool:
    return np.array_equal(Group.from_name(group.name).table, group.table)


def _literal(group: Group) -> list[str]:
    data = base64.b64encode(zlib.compress(group.table.astype("<u2").tobytes(), 9)).decode()
    return [
        f'PACKED = "{data}"  # the table of the group\'s products, row by row',
        'PRODUCT = np.frombuffer(zlib.decompress(base64.b64decode(PACKED)), "<u2").astype(int)',
        f"PRODUCT = PRODUCT.reshape({group.order}, {group.order})",
    ]
