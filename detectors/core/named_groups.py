"""The groups that have names: their tables, their irreps' names, and recognising one in a table."""

from __future__ import annotations

import itertools
import math
import re
import string
from collections import Counter
from collections.abc import Iterator

import numpy as np

from detectors.core.errors import TaskError
from detectors.core.groups import MAX_ORDER, Floats, Group, Ints, Irrep


def named_table(name: str) -> Ints:
    """Cayley table of `C12`, `D5`, `S4`, `A5`, or of a direct product `C2xS3`.

    >>> named_table("C3").tolist()
    [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
    """
    factors = [_factor(f, name) for f in name.split("x")]
    if math.prod(order for order, _ in factors) > MAX_ORDER:
        raise TaskError(f"group {name!r} has more than {MAX_ORDER} elements")
    table = np.zeros((1, 1), dtype=np.int64)
    for order, build in factors:
        t = build()
        table = (table[:, None, :, None] * order + t[None, :, None, :]).reshape((len(table) * order,) * 2)
    return table


def _factor(factor: str, name: str):  # type: ignore[no-untyped-def]
    match = re.fullmatch(r"([CDSA])([1-9]\d{0,3})", factor)
    if not match:
        raise TaskError(f"unknown group {name!r}: write C113, D59, S5, A5, or a product such as C2xS3")
    kind, n = match[1], int(match[2])
    if kind in "SA" and n > 6:
        raise TaskError(f"group {name!r}: {kind}{n} has too many elements; up to {kind}6 is supported")
    if kind == "C":
        return n, lambda: np.add.outer(np.arange(n), np.arange(n)) % n
    if kind == "D":
        return 2 * n, lambda: _dihedral(n)
    perms = _permutations(n, even=kind == "A")
    return len(perms), lambda: _compose(perms)


def _dihedral(n: int) -> Ints:
    rotation, flip = np.arange(2 * n) % n, np.arange(2 * n) // n
    sign = 1 - 2 * flip
    return (rotation[:, None] + sign[:, None] * rotation) % n + n * (flip[:, None] ^ flip)


def _permutations(n: int, even: bool) -> Ints:
    perms = np.array(list(itertools.permutations(range(n))), dtype=np.int64).reshape(-1, n)
    return perms[_parity(perms) == 1] if even else perms


def _parity(perms: Ints) -> Ints:
    i, j = np.triu_indices(perms.shape[1], 1)
    return 1 - 2 * ((perms[:, i] > perms[:, j]).sum(axis=1) % 2)


def _compose(perms: Ints) -> Ints:
    code = perms.shape[1] ** np.arange(perms.shape[1])[::-1]
    index = {int(c): i for i, c in enumerate(perms @ code)}
    products = perms[:, perms] @ code  # [a, b] -> a[b[i]]
    return np.vectorize(index.__getitem__, otypes=[np.int64])(products)


def name_irreps(group: Group, irreps: list[Irrep], spans: list[Floats]) -> tuple[tuple[Irrep, ...], list[Floats]]:
    """Sort blocks (trivial first, then by dimension and character) and name them for the named families."""
    order = sorted(
        range(len(irreps)),
        key=lambda i: (
            irreps[i].character.min() < 0.999 or irreps[i].dimension > 1,
            irreps[i].dimension,
            tuple(-np.round(irreps[i].character[np.unique(group.classes, return_index=True)[1]], 6)),
        ),
    )
    ordered, spans = [irreps[i] for i in order], [spans[i] for i in order]
    known = _known_characters(group)
    letters = _letters(group, ordered, known)
    named = []
    for k, irrep in enumerate(ordered):
        name, frequency = known(irrep) or (letters[k], None)
        named.append(Irrep(name, irrep.dimension, irrep.character, frequency))
    return tuple(named), spans


def _known_characters(group: Group):  # type: ignore[no-untyped-def]
    """A function from an irrep to (name, frequency), or to None where the literature has no name."""
    n = group.order
    match = re.fullmatch(r"([DSA])(\d+)", group.name)
    family, m = (match[1], int(match[2])) if match else ("", 0)
    if family in ("S", "A"):
        perms = _permutations(m, even=family == "A")
        fixed, sign = (perms == np.arange(m)).sum(axis=1) - 1.0, _parity(perms).astype(float)
        table = {"sign": sign, "standard": fixed, "standard_sign": fixed * sign}
    elif family == "D":
        table = {"sign": np.where(np.arange(n) < m, 1.0, -1.0)}
    else:
        table = {}

    def known(irrep: Irrep) -> tuple[str, int | None] | None:
        if irrep.dimension == 1 and irrep.character.min() > 0.999:
            return "trivial", 0 if family == "D" else None
        for name, character in table.items():
            if np.allclose(irrep.character, character, atol=1e-6):
                return name, None
        if family == "D" and irrep.dimension == 4:
            k = round(float(np.arccos(np.clip(irrep.character[1] / 2, -1, 1))) * m / (2 * np.pi))
            return f"freq_{k}", k
        return None

    return known


def _letters(group: Group, irreps: list[Irrep], known) -> list[str]:  # type: ignore[no-untyped-def]
    """`s5_5d_a`, `s5_5d_b` for permutation groups; `block_16_0` elsewhere."""
    seen: Counter[int] = Counter()
    out = []
    for irrep in irreps:
        permutations = re.fullmatch(r"[SA]\d", group.name) and math.isqrt(irrep.dimension) ** 2 == irrep.dimension
        index = seen[irrep.dimension]
        if known(irrep) is None:
            seen[irrep.dimension] += 1
        if permutations:
            out.append(f"{group.name.lower()}_{math.isqrt(irrep.dimension)}d_{string.ascii_lowercase[index]}")
        else:
            out.append(f"block_{irrep.dimension}_{index}")
    return out


def recognise(group: Group) -> tuple[Group, Ints]:
    """The named group isomorphic to `group` and the isomorphism [n], or the group itself.

    Cyclic and dihedral groups are generated by the element of lowest index that can serve, so the
    frequencies are those of that generator. The names of S6's irreps are fixed only up to its outer
    automorphism: nothing in a table tells `standard` from `s6_5d_b`.
    """
    for name in _candidates(group):
        named = Group.from_name(name)
        image = _isomorphism(named, group)
        if image is not None:
            label = np.empty(group.order, dtype=np.int64)
            label[image] = np.arange(group.order)
            return named, label
    return group, np.arange(group.order)


def _candidates(group: Group) -> Iterator[str]:
    n = group.order
    abelian = bool((group.class_sizes == 1).all())
    if abelian:
        orders = Counter(group.element_orders.tolist())
        for factors in _abelian(n):
            if _abelian_orders(factors) == orders:
                yield "x".join(f"C{f}" for f in factors)
        return
    simple = [f"{k}{m}" for k in "SA" for m in range(3, 7) if math.factorial(m) // (1 + (k == "A")) == n]
    simple += [f"D{n // 2}"] if n % 2 == 0 and n >= 6 else []
    products = [
        f"C{n // size}x{x}"
        for x, size in [("S3", 6), ("S4", 24), ("A4", 12), ("S5", 120), ("A5", 60)]
        + [(f"D{m}", 2 * m) for m in range(4, n // 4 + 1) if n % (2 * m) == 0]
        if n % size == 0 and n > size
    ]
    fingerprint = Counter(zip(group.element_orders.tolist(), group.class_sizes.tolist(), strict=True))
    for name in simple + products:
        other = Group.from_name(name)
        if Counter(zip(other.element_orders.tolist(), other.class_sizes.tolist(), strict=True)) == fingerprint:
            yield name


def _abelian(n: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """Invariant factors d1, d2, ... of the abelian groups of order n, each dividing the one before."""
    if n == 1:
        yield () if largest else (1,)
        return
    for d in range(n, 1, -1):
        if n % d == 0 and (largest is None or largest % d == 0):
            yield from ((d, *rest) for rest in _abelian(n // d, d))


def _abelian_orders(factors: tuple[int, ...]) -> Counter[int]:
    orders = [1]
    for f in factors:
        orders = [math.lcm(o, f // math.gcd(f, g)) for o in orders for g in range(f)]
    return Counter(orders)


def _isomorphism(named: Group, group: Group) -> Ints | None:
    """Elements of `group` that the elements of `named` go to, by trying images of few generators."""
    generators = _generators(named)
    kinds = [(named.element_orders[g], named.class_sizes[g]) for g in generators]
    images = [np.flatnonzero((group.element_orders == order) & (group.class_sizes == size)) for order, size in kinds]
    for chosen in itertools.product(*images):
        image = _extend(named, group, generators, [int(c) for c in chosen])
        if image is not None:
            return image
    return None


def _generators(group: Group) -> list[int]:
    """Few generators whose (order, class size) is rare, so that few images have to be tried."""
    kinds = Counter(zip(group.element_orders.tolist(), group.class_sizes.tolist(), strict=True))
    ranked = sorted(
        range(group.order),
        key=lambda g: (-group.element_orders[g], kinds[group.element_orders[g], group.class_sizes[g]], g),
    )
    chosen: list[int] = []
    span = {group.identity}
    for g in ranked:
        if g in span:
            continue
        chosen.append(g)
        span = _closure(group, chosen)
        if len(span) == group.order:
            break
    return chosen


def _closure(group: Group, generators: list[int]) -> set[int]:
    span, frontier = {group.identity}, [group.identity]
    while frontier:
        products = {int(group.table[x, g]) for x in frontier for g in generators}
        frontier = list(products - span)
        span |= products
    return span


def _extend(named: Group, group: Group, generators: list[int], images: list[int]) -> Ints | None:
    image = np.full(named.order, -1, dtype=np.int64)
    image[named.identity] = group.identity
    frontier = [named.identity]
    while frontier:
        x = frontier.pop()
        for g, h in zip(generators, images, strict=True):
            y, z = int(named.table[x, g]), int(group.table[image[x], h])
            if image[y] < 0:
                image[y] = z
                frontier.append(y)
            elif image[y] != z:
                return None
    if len(np.unique(image)) < named.order:
        return None
    homomorphism = np.array_equal(image[named.table], group.table[np.ix_(image, image)])
    return image if homomorphism else None
