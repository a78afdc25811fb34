"""Finite groups from a Cayley table alone: classes, isotypic blocks, real characters, names.

Orientation is fixed throughout: `table[a, b]` is a*b. An *isotypic block* is the span of all matrix
entries of a real irreducible representation; its dimension is d*d for an irrep of dimension d that
is real (or quaternionic), 2*d*d where an irrep and its complex conjugate are joined.

Source: Serre, Linear Representations of Finite Groups, sections 2.6 and 6.3; the blocks are the joint
eigenspaces of the symmetrised class sums, so one symmetric eigenproblem of size n finds them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from detectors.core.errors import NotApplicable, TaskError
from detectors.core.irrep_names import Irrep, in_order, named
from detectors.core.named_tables import MAX_ORDER, named_table

Ints = NDArray[np.int64]
Elements = Int[np.ndarray, " n"]
Table = Int[np.ndarray, "n n"]


class Group:
    """A finite group given by its Cayley table.

    >>> g = Group.from_name("S3")
    >>> g.order, [i.name for i in g.irreps], [i.dimension for i in g.irreps]
    (6, ['trivial', 'sign', 'standard'], [1, 1, 4])
    """

    def __init__(self, table: np.ndarray, name: str | None = None) -> None:
        self.table = _latin_square(np.asarray(table))
        self.order = len(self.table)
        self.name = name or f"unnamed group of order {self.order}"
        self.identity = _identity(self.table)
        if not is_associative(self.table):
            raise TaskError("not a group: the table is not associative")
        self.inverse: Elements = np.argmax(self.table == self.identity, axis=1)

    @classmethod
    def from_name(cls, name: str) -> Group:
        """`C12` cyclic, `D5` dihedral of order 10, `Dic3` dicyclic of order 12, `S4` symmetric, `A5` alternating,
        `C2xS3` products.

        Element numbering: C_n by residue; D_n rotation r**k is k and s*r**k-type reflections are
        n + k with (r**k s) = n + k; Dic_n a**k is k and a**k x is 2n + k; S_n and A_n in lexicographic
        order of the permutations as tuples, a*b meaning "b first"; products major in the first factor.
        """
        return cls(named_table(name), name)

    @property
    def is_cyclic(self) -> bool:
        """Numbered as the residues mod n, so that the discrete Fourier transform applies."""
        g = np.arange(self.order)
        by_one = np.array_equal(self.table[1 % self.order], (g + 1) % self.order)  # cheap, and false for most others
        return by_one and np.array_equal(self.table, (g[:, None] + g) % self.order)

    def as_cyclic(self) -> Group:
        """Itself; NotApplicable where it is not numbered as the residues mod n."""
        if not self.is_cyclic:
            raise NotApplicable(f"{self.name} is no cyclic group")
        return self

    @property
    def kinds(self) -> set[str]:
        """What a motif of groups may need."""
        abelian = np.array_equal(self.table, self.table.T)
        return ({"cyclic group"} if self.is_cyclic else set()) | (set() if abelian else {"non-abelian group"})

    @cached_property
    def element_orders(self) -> Elements:
        orders = np.zeros(self.order, dtype=np.int64)
        power, k = np.arange(self.order), 1
        while (orders == 0).any():
            orders[(orders == 0) & (power == self.identity)] = k
            power, k = self.table[power, np.arange(self.order)], k + 1
        return orders

    @cached_property
    def classes(self) -> Elements:
        """Index of every element's conjugacy class, numbered by first appearance."""
        label = np.full(self.order, -1, dtype=np.int64)
        for g in range(self.order):
            if label[g] < 0:
                label[self.table[self.table[:, g], self.inverse]] = label.max() + 1
        return label

    @cached_property
    def class_sizes(self) -> Elements:
        """Size of every element's conjugacy class."""
        return np.bincount(self.classes)[self.classes].astype(np.int64)

    @cached_property
    def quotient(self) -> Table:
        """Entry [a, b] = a^-1 b, so that class functions become convolution matrices."""
        return self.table[self.inverse]

    @cached_property
    def _blocks(self) -> tuple[tuple[Irrep, ...], Float[np.ndarray, "n n"]]:
        if self.is_cyclic:
            return _cyclic_blocks(self.order)
        spans = _isotypic_spans(self)
        irreps = [_irrep_of_span(self, span) for span in spans]
        order = in_order(irreps, self.classes)
        return named([irreps[i] for i in order], self.name), np.concatenate([spans[i] for i in order], axis=1)

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """Isotypic blocks, the trivial one first."""
        return self._blocks[0]

    @property
    def basis(self) -> Float[np.ndarray, "n n"]:
        """Orthonormal columns, block after block in the order of `irreps`."""
        return self._blocks[1]

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """The columns of `basis` that span each irrep."""
        ends = np.cumsum([i.dimension for i in self.irreps]).tolist()
        return tuple(slice(end - i.dimension, end) for end, i in zip(ends, self.irreps, strict=True))

    @cached_property
    def idempotents(self) -> Float[np.ndarray, "irreps n"]:
        """e with projector P[a, b] = e[a^-1 b]: the character times d / n."""
        return np.stack([_degree(i.dimension) / self.order * i.character for i in self.irreps])

    def projector(self, irrep: Irrep) -> Float[np.ndarray, "n n"]:
        """Orthogonal, on the block of `irrep`."""
        return self.idempotents[self.irreps.index(irrep)][self.quotient]

    def frequencies(self, irreps: Sequence[int]) -> tuple[int, ...]:
        """The integers k of those irreps that are frequencies; `irreps` counts the non-trivial ones from 0."""
        found = (self.irreps[i + 1].frequency for i in irreps)
        return tuple(k for k in found if k is not None)

    def __repr__(self) -> str:
        return f"Group({self.name}, order {self.order})"


def _degree(dimension: int) -> int:
    root = math.isqrt(dimension)
    return root if root * root == dimension else math.isqrt(dimension // 2)


def _latin_square(table: np.ndarray) -> Table:
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
        raise TaskError(f"a Cayley table is a square array; this one has shape {table.shape}")
    if table.dtype.kind not in "iu":
        raise TaskError(f"a Cayley table holds integers; this one holds {table.dtype}")
    n = len(table)
    if n > MAX_ORDER:
        raise TaskError(f"groups up to order {MAX_ORDER} are supported; this table has {n} elements")
    t: Table = table.astype(np.int64)
    if t.min() < 0 or t.max() >= n:
        raise TaskError(f"a Cayley table of {n} elements holds 0..{n - 1}; this one {t.min()}..{t.max()}")
    if not all((np.sort(side, axis=1) == np.arange(n)).all() for side in (t, t.T)):
        raise TaskError("not a group: some row or column of the table repeats an element")
    return t


def _identity(table: Table) -> int:
    same = np.arange(len(table))
    hits = np.flatnonzero((table == same).all(axis=1) & (same == table.T).all(axis=1))
    if len(hits) != 1:
        raise TaskError("not a group: the table has no identity element")
    return int(hits[0])


def is_associative(table: Table) -> bool:
    """(ab)c = a(bc) for every a, c and every b of a generating set, which implies it for all b (Light)."""
    return all(np.array_equal(table[table[:, b]], table[:, table[b]]) for b in generating(table, range(len(table))))


def generating(table: Table, candidates: Iterable[int]) -> list[int]:
    """Of the candidates, in their order, those that no product of the ones before reaches."""
    chosen, reached = [], np.zeros(len(table), dtype=bool)
    for g in candidates:
        if reached[g]:
            continue
        chosen.append(g)
        reached[g] = True
        size = 0
        while size != (size := int(reached.sum())):
            reached[table[np.ix_(reached, reached)]] = True
    return chosen


def _cyclic_blocks(n: int) -> tuple[tuple[Irrep, ...], Float[np.ndarray, "n n"]]:
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


def _isotypic_spans(group: Group) -> list[Float[np.ndarray, "n d"]]:
    """Joint eigenspaces of the symmetrised class sums, through one generic combination of them.

    Real irreps are as many as conjugacy classes up to inversion (Serre, section 13.2). A random combination gives two
    of them one eigenvalue with probability 0; where two are closer than 1e-9 of the largest, the count or the
    dimensions are wrong and another combination is drawn. Rounding moves an eigenvalue by order * 2e-16 of the largest,
    5e-13 at most; the nearest two of 2048 normal ones lie 2e-7 of it apart, so that one draw in some hundreds fails.
    """
    inverse_class = np.empty(group.classes.max() + 1, dtype=np.int64)
    inverse_class[group.classes] = group.classes[group.inverse]
    irreps = len({frozenset(pair) for pair in enumerate(inverse_class.tolist())})
    for seed in range(8):
        weight = np.random.default_rng(seed).standard_normal(len(inverse_class))
        weight = (weight + weight[inverse_class]) / np.sqrt(np.bincount(group.classes))
        values, vectors = np.linalg.eigh(weight[group.classes][group.quotient])
        cuts = np.flatnonzero(np.diff(values) > 1e-9 * np.abs(values).max()) + 1
        spans = np.split(vectors, cuts, axis=1)
        if len(spans) == irreps and all(_degree(d := q.shape[1]) ** 2 in (d, d / 2) for q in spans):
            return [np.ascontiguousarray(q) for q in spans]
    raise TaskError(f"the isotypic blocks of {group!r} could not be told apart")  # pragma: no cover


def _irrep_of_span(group: Group, span: Float[np.ndarray, "n d"]) -> Irrep:
    n, dimension = group.order, span.shape[1]
    first = span @ span[group.identity]  # P[g, 1] = e[g^-1], and e is real and central: e[g^-1] = e[g]
    per_class = np.bincount(group.classes, weights=first) / np.bincount(group.classes)
    return Irrep("", dimension, per_class[group.classes] * n / _degree(dimension))
