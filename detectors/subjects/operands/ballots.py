"""The votes by which a square with errors and holes corrects itself into a group's table.

A group table determines every entry from seven others (the quadrangle criterion), so each entry is put to the vote of
random quadrangles (the self-correction of Blum, Luby and Rubinfeld, Journal of Computer and System Sciences 47, 1993).
Of few elements too few quadrangles are free of errors. There a row and a column are taken for right, mended by one
entry at most, and make a loop of the table, of which (xy)z = x(yz) determines every product from three others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
from jaxtyping import Int

from detectors.core.groups import is_associative

# A vote rests on seven entries: with a fifth of them wrong it agrees with the entry that it is on 0.8**7 = 21% of the
# time, in a random table once in n. Whether it does is asked first, of a few thousand, since a ballot takes minutes.
AGREEING, SAMPLED = 0.1, 4096
CELLS = 2**24  # of the tally at a time, 64 MB: that of all pairs of 2048 tokens would be 34 GB

Table = Int[np.ndarray, "n n"]
Line = Int[np.ndarray, " n"]


def completed(t: Table) -> Table:
    """With one empty row or column filled by what each column or row lacks; -1 is unknown."""
    t = t.copy()
    for side in (t, t.T):
        empty = np.flatnonzero((side < 0).all(axis=1))
        if len(empty) == 1:
            rest = np.delete(side, empty, axis=0)
            whole = (rest >= 0).all(axis=0) & np.array([len(np.unique(column)) == len(rest) for column in rest.T])
            side[empty[0], whole] = len(t) * (len(t) - 1) // 2 - rest[:, whole].sum(axis=0)
    return t


def loops(t: Table, rounds: int = 3) -> Iterator[Table]:
    """The group tables [n, n] that a row and a column of t, mended by one entry at most, make of the rest by votes."""
    n = len(t)
    lines = [[(k, line) for k in range(n) for line in _mended(side[k])] for side in (t, t.T)]
    for (a, row), (b, column) in product(*lines):
        if row[b] != column[a]:
            continue
        loop = np.full((n, n), -1)
        loop[np.ix_(column, row)] = t
        for _ in range(rounds):
            loop[row[b]] = loop[:, row[b]] = np.arange(n)  # the identity's
            loop = _associated(loop)
        loop = completed(loop)
        if all((np.sort(side, axis=1) == np.arange(n)).all() for side in (loop, loop.T)) and is_associative(loop):
            yield loop[np.ix_(column, row)]


def _mended(line: Line) -> Iterator[Line]:
    """The permutations that differ from a line in one entry at most."""
    n = len(line)
    lacking = np.setdiff1d(np.arange(n), line)
    if len(lacking) == 0:
        yield line
    if len(lacking) == 1:
        held = np.bincount(line[line >= 0], minlength=n)
        for k in np.flatnonzero((line < 0) | (held[line] > 1)):
            yield np.where(np.arange(n) == k, lacking[0], line)


def _associated(loop: Table) -> Table:
    """Each product xy [n, n] by majority, over z, of the v with vz = x(yz)."""
    n = len(loop)
    x, y, z = np.indices((n, n, n))
    row_of = np.full((n, n), -1)  # [column, answer] -> a row holding it
    known = np.nonzero(loop >= 0)
    row_of[known[1], loop[known]] = known[0]
    inner = loop[y, z]
    outer = loop[x, inner]
    vote = row_of[z, outer]
    ok = np.minimum.reduce([inner, outer, vote]) >= 0
    tally = np.zeros((n, n, n), dtype=np.int32)
    np.add.at(tally, (x[ok], y[ok], vote[ok]), 1)
    return np.where(tally.max(axis=2) > 0, tally.argmax(axis=2), -1)


def ballot(t: Table, rng: np.random.Generator) -> Table:
    """Each entry [n, n] by majority over random quadrangles; -1 in t is unknown. Itself where they hardly agree."""
    n = len(t)
    votes = int(np.clip(2**21 / n**2, 32, 512))
    column_of = np.full((n, n), -1)  # [row, answer] -> a column holding it, -1 where none does
    row_of = np.full((n, n), -1)  # [column, answer] -> a row holding it
    known = np.nonzero(t >= 0)
    column_of[known[0], t[known]] = known[1]
    row_of[known[1], t[known]] = known[0]

    def drawn(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # t[a,b] = u e^-1 v with u = t[a,g], e = t[f,g], v = t[f,b]; the same u, e, v found elsewhere vote
        f, g, f2 = (rng.integers(n, size=len(a)) for _ in range(3))
        u, e, v = t[a, g], t[f, g], t[f, b]
        g2 = column_of[f2, e]
        row, column = row_of[g2, u], column_of[f2, v]
        vote = t[row, column]
        return vote, np.minimum.reduce([u, e, v, g2, row, column, vote]) >= 0  # -1 reads the last, and is no vote

    if not len(known[0]):
        return t
    some = rng.integers(len(known[0]), size=SAMPLED)
    vote, ok = drawn(known[0][some], known[1][some])
    if (vote == t[known][some])[ok].sum() < AGREEING * max(int(ok.sum()), 1):
        return t
    voted = np.empty_like(t)
    for rows in np.array_split(np.arange(n), math.ceil(n**3 / CELLS)):
        a, b = (x.ravel() for x in np.meshgrid(rows, np.arange(n), indexing="ij"))
        tally = np.zeros((len(a), n), dtype=np.int32)
        for _ in range(votes):
            vote, ok = drawn(a, b)
            np.add.at(tally, (np.flatnonzero(ok), vote[ok]), 1)
        voted[rows] = np.where(tally.max(axis=1) > 0, tally.argmax(axis=1), -1).reshape(len(rows), n)
    return voted
