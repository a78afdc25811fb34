"""Finite groups from a Cayley table alone: classes, isotypic blocks, real characters, names.

Orientation is fixed throughout: `table[a, b]` is a*b. An *isotypic block* is the span of all matrix
entries of a real irreducible representation; its dimension is d*d for an irrep of dimension d that
is real (or quaternionic), 2*d*d where an irrep and its complex conjugate are joined.

Source: Serre, Linear Representations of Finite Groups, sections 2.6 and 6.3; the blocks are the joint
eigenspaces of the symmetrised class sums, so one symmetric eigenproblem of size n finds them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.core.errors import TaskError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_ORDER = 2048  # one dense symmetric eigenproblem of this size is a minute; a table of it is 32 MB


@dataclass(frozen=True, eq=False)
class Irrep:
    """One isotypic block of the real group algebra.

    name: as the literature has it (`freq_3`, `sign`, `standard`), else `block_<dimension>_<index>`.
    dimension: of the block (d*d or 2*d*d).
    character: [n] real character; the sum of an irrep's and its conjugate's where they are joined.
    frequency: for cyclic and dihedral groups, the integer k in cos(2 pi k g / n); else None.
    """

    name: str
    dimension: int
    character: Floats
    frequency: int | None = None


class Group:
    """A finite group given by its Cayley table [n, n].

    >>> g = Group.from_name("S3")
    >>> g.order, [i.name for i in g.irreps], [i.dimension for i in g.irreps]
    (6, ['trivial', 'sign', 'standard'], [1, 1, 4])
    """

    def __init__(self, table: Ints, name: str | None = None) -> None:
        self.table = _checked(np.asarray(table))
        self.order = len(self.table)
        self.name = name or f"unnamed group of order {self.order}"
        self.identity = _identity(self.table)
        self.inverse: Ints = np.argmax(self.table == self.identity, axis=1)

    @classmethod
    def from_name(cls, name: str) -> Group:
        """`C12` cyclic, `D5` dihedral of order 10, `S4` symmetric, `A5` alternating, `C2xS3` products.

        Element numbering: C_n by residue; D_n rotation r**k is k and s*r**k-type reflections are
        n + k with (r**k s) = n + k; S_n and A_n in lexicographic order of the permutations as tuples,
        a*b meaning "b first"; products major in the first factor.
        """
        from detectors.core.named_groups import named_table

        return cls(named_table(name), name)

    @property
    def is_cyclic(self) -> bool:
        """Numbered as the residues mod n, so that the discrete Fourier transform applies."""
        g = np.arange(self.order)
        return bool(np.array_equal(self.table[1 % self.order], (g + 1) % self.order)) and bool(
            np.array_equal(self.table, (g[:, None] + g) % self.order)
        )

    @cached_property
    def element_orders(self) -> Ints:
        """[n] the order of every element."""
        orders = np.zeros(self.order, dtype=np.int64)
        power, k = np.arange(self.order), 1
        while (orders == 0).any():
            orders[(orders == 0) & (power == self.identity)] = k
            power, k = self.table[power, np.arange(self.order)], k + 1
        return orders

    @cached_property
    def classes(self) -> Ints:
        """[n] index of every element's conjugacy class, numbered by first appearance."""
        label = np.full(self.order, -1, dtype=np.int64)
        for g in range(self.order):
            if label[g] < 0:
                label[self.table[self.table[:, g], self.inverse]] = label.max() + 1
        return label

    @cached_property
    def class_sizes(self) -> Ints:
        """[n] size of every element's conjugacy class."""
        return np.bincount(self.classes)[self.classes].astype(np.int64)

    @cached_property
    def quotient(self) -> Ints:
        """[n, n] with entry [a, b] = a^-1 b, so that class functions become convolution matrices."""
        return self.table[self.inverse]

    @cached_property
    def _blocks(self) -> tuple[tuple[Irrep, ...], Floats]:
        if self.is_cyclic:
            return _cyclic_blocks(self.order)
        from detectors.core.named_groups import name_irreps

        spans = _isotypic_spans(self)
        irreps, spans = name_irreps(self, [_irrep_of_span(self, q) for q in spans], spans)
        return irreps, np.concatenate(spans, axis=1)

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """Isotypic blocks, the trivial one first."""
        return self._blocks[0]

    @property
    def basis(self) -> Floats:
        """[n, n] orthonormal columns, block after block in the order of `irreps`."""
        return self._blocks[1]

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """The columns of `basis` that span each irrep."""
        ends = np.cumsum([i.dimension for i in self.irreps])
        return tuple(slice(int(e) - i.dimension, int(e)) for e, i in zip(ends, self.irreps, strict=True))

    @cached_property
    def idempotents(self) -> Floats:
        """[irreps, n] e with projector P[a, b] = e[a^-1 b]: the character times d / n."""
        scale = [_degree(i.dimension) / self.order for i in self.irreps]
        return np.stack([s * i.character for s, i in zip(scale, self.irreps, strict=True)])

    def projector(self, irrep: Irrep) -> Floats:
        """[n, n] orthogonal projector on the block of `irrep`."""
        result: Floats = self.idempotents[self.irreps.index(irrep)][self.quotient]
        return result

    def frequencies(self, irreps: Sequence[int]) -> tuple[int, ...]:
        """The integers k of those irreps that are frequencies; `irreps` counts the non-trivial ones from 0."""
        found = (self.irreps[i + 1].frequency for i in irreps)
        return tuple(k for k in found if k is not None)

    def __repr__(self) -> str:
        return f"Group({self.name}, order {self.order})"


def _degree(dimension: int) -> int:
    root = math.isqrt(dimension)
    return root if root * root == dimension else math.isqrt(dimension // 2)


def _checked(table: NDArray[np.generic]) -> Ints:
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
        raise TaskError(f"a Cayley table is a square array; this one has shape {table.shape}")
    if table.dtype.kind not in "iu":
        raise TaskError(f"a Cayley table holds integers; this one holds {table.dtype}")
    n = len(table)
    if n > MAX_ORDER:
        raise TaskError(f"groups up to order {MAX_ORDER} are supported; this table has {n} elements")
    t: Ints = table.astype(np.int64)
    if t.min() < 0 or t.max() >= n:
        raise TaskError(f"a Cayley table of {n} elements holds 0..{n - 1}; this one {t.min()}..{t.max()}")
    reference = np.arange(n)
    if not ((np.sort(t, axis=0) == reference[:, None]).all() and (np.sort(t, axis=1) == reference).all()):
        raise TaskError("not a group: some row or column of the table repeats an element")
    _identity(t)
    if not is_associative(t):
        raise TaskError("not a group: the table is not associative")
    return t


def _identity(table: Ints) -> int:
    n = len(table)
    hits = np.flatnonzero((table == np.arange(n)).all(axis=1) & (table == np.arange(n)[:, None]).all(axis=0))
    if len(hits) != 1:
        raise TaskError("not a group: the table has no identity element")
    return int(hits[0])


def is_associative(table: Ints) -> bool:
    """(ab)c = a(bc) for every a, c and every b of a generating set, which implies it for all b (Light)."""
    n, reached, generators = len(table), np.zeros(len(table), dtype=bool), []
    for g in range(n):
        if reached[g]:
            continue
        generators.append(g)
        reached[g] = True
        size = 0
        while size != (size := int(reached.sum())):
            reached[table[np.ix_(reached.nonzero()[0], reached.nonzero()[0])].ravel()] = True
    return all(np.array_equal(table[table[:, b]], table[:, table[b]]) for b in generators)


def _cyclic_blocks(n: int) -> tuple[tuple[Irrep, ...], Floats]:
    g, irreps, columns = np.arange(n), [Irrep("trivial", 1, np.ones(n), 0)], [np.full(n, n**-0.5)]
    for k in range(1, n // 2 + 1):
        # k*g mod n in integers keeps the angle exact to the last bit for large n
        angle = 2 * np.pi * ((k * g) % n) / n
        if 2 * k == n:
            irreps.append(Irrep("sign", 1, np.cos(angle), k))
            columns.append(np.cos(angle) / n**0.5)
        else:
            irreps.append(Irrep(f"freq_{k}", 2, 2 * np.cos(angle), k))
            columns += [np.cos(angle) * (2 / n) ** 0.5, np.sin(angle) * (2 / n) ** 0.5]
    return tuple(irreps), np.stack(columns, axis=1)


def _isotypic_spans(group: Group) -> list[Floats]:
    """Joint eigenspaces of the symmetrised class sums, through one generic combination of them."""
    inverse_class = np.empty(group.classes.max() + 1, dtype=np.int64)
    inverse_class[group.classes] = group.classes[group.inverse]
    for seed in range(8):
        weight = np.random.default_rng(seed).standard_normal(len(inverse_class))
        weight = (weight + weight[inverse_class]) / np.sqrt(np.bincount(group.classes))
        values, vectors = np.linalg.eigh(weight[group.classes][group.quotient])
        cuts = np.flatnonzero(np.diff(values) > 1e-9 * np.abs(values).max()) + 1
        spans = np.split(vectors, cuts, axis=1)
        if all(_degree(d := q.shape[1]) ** 2 in (d, d / 2) for q in spans) and len(spans) == _n_blocks(
            group, inverse_class
        ):
            return [np.ascontiguousarray(q) for q in spans]
    raise TaskError(f"the isotypic blocks of {group!r} could not be told apart")  # pragma: no cover


def _n_blocks(group: Group, inverse_class: Ints) -> int:
    """Real irreps = conjugacy classes up to inversion (Serre, section 13.2)."""
    return len({frozenset((c, int(i))) for c, i in enumerate(inverse_class)})


def _irrep_of_span(group: Group, span: Floats) -> Irrep:
    n, dimension = group.order, span.shape[1]
    first = span @ span[group.identity]  # P[g, 1] = e[g^-1], and e is real and central: e[g^-1] = e[g]
    per_class = np.bincount(group.classes, weights=first) / np.bincount(group.classes)
    return Irrep("", dimension, per_class[group.classes] * n / _degree(dimension))
