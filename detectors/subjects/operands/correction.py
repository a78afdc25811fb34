"""The group behind a table with errors and holes, by its own redundancy.

What a table misses is filled where the rest determines it: single entries, and a whole row, a column or every entry
with one answer. Of two missing rows nothing says which is which, and they are no group's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from detectors.core.groups import Ints
from detectors.subjects.operands.ballots import Table, ballot, completed, loops
from detectors.subjects.operands.tables import Labels, find_group, latin_part

# Shares of the busiest row's distinct answers that mark a row or column of the group's: errors thin rows out, and noise
# where there is no group fills others. The one in the middle of a random row (0.63) and a permutation first, and last
# what no noise is told from, for tables that have none.
CUTS = (0.8, 0.7, 0.9, 0.6)
# Beyond 16 elements, with a fifth of the entries wrong, quadrangles decide. Below, three errors of seven entries leave
# a row 0.57 distinct, a constant one with an error has 0.29.
FEW, FEW_CUT = 16, 0.5
# A corrected group has five elements or more, or more than half of the tokens: of the smaller parts of a random table
# some are a group's by chance.
SMALL = 8


class Nearest(NamedTuple):
    """corrected: [n, n] the group's answers where it labels, the table's own elsewhere. agreement: share of the entries
    that the group labels and the table holds which agree.
    """

    labels: Labels
    corrected: Table
    agreement: float


def nearest_group(table: Table, least: float, seed: int = 0) -> Nearest | None:
    """The group that a table [n, n] follows on a share of `least` of its entries or more; None where there is none.
    -1 in the table: no answer.
    """
    corrected = (_self_corrected(table, np.random.default_rng(seed), cut) for cut in CUTS)
    for candidate in chain([table], _of_few(table), chain.from_iterable(corrected)):
        labels = find_group(candidate)
        if labels is None or (candidate is not table and 2 * labels.group.order <= min(len(table), SMALL)):
            continue
        grid = np.ix_(labels.left, labels.right)
        held = table[grid] >= 0
        agreement = float((candidate[grid] == table[grid])[held].mean())
        if agreement >= least:
            return Nearest(labels, candidate, agreement)
    return None


def _self_corrected(table: Table, rng: np.random.Generator, cut: float, rounds: int = 8) -> Iterator[Table]:
    for square in _squares(table, cut):
        t = square.read(table)
        for _ in range(rounds):
            before, t = t, ballot(t, rng)
            if np.array_equal(before, t):
                break
        yield square.written(table, completed(t))


def _of_few(table: Table) -> Iterator[Table]:
    """The group table nearest to a small part of the table, where one is nearer than all others."""
    for square in _squares(table, FEW_CUT):
        t = square.read(table)
        if len(t) <= FEW:
            found = {candidate.tobytes(): candidate for candidate in loops(t)}
            ranked = sorted(found.values(), key=lambda candidate: -(candidate == t).sum())
            agreeing = [int((candidate == t).sum()) for candidate in ranked[:2]]
            if len(set(agreeing)) == len(ranked[:2]) > 0:
                yield square.written(table, ranked[0])


class _Square(NamedTuple):
    """As many rows as columns and answers. missing: the index of the answer that no entry has, None where all occur."""

    rows: Ints
    columns: Ints
    answers: Ints
    missing: int | None

    def read(self, table: Int[np.ndarray, "tokens tokens"]) -> Table:
        """[n, n] indices of the answers, -1 for none; an answer that no entry has is first taken for all of those."""
        index = np.full(max(int(table.max()), int(self.answers.max())) + 2, -1)  # the last place is that of no answer
        index[self.answers] = np.arange(len(self.answers))
        t = index[table[np.ix_(self.rows, self.columns)]]
        return t if self.missing is None else np.where(t < 0, self.missing, t)

    def written(self, table: Int[np.ndarray, "tokens tokens"], t: Table) -> Int[np.ndarray, "tokens tokens"]:
        corrected = table.copy()
        corrected[np.ix_(self.rows, self.columns)] = np.where(t >= 0, self.answers[t], -1)
        return corrected


def _squares(table: Table, cut: float) -> Iterator[_Square]:
    """The parts of a table that may be a group's, of the sizes that its rows, columns and answers speak for."""
    rows, columns, answers = latin_part(table, cut)
    sizes = [len(rows), len(columns), len(answers)]
    inside = table[np.ix_(rows, columns)]
    used = [(table >= 0).sum(1), (table >= 0).sum(0), np.bincount(table[table >= 0], minlength=len(table))]
    distinct = [_distinct(table[:, columns]), _distinct(table[rows].T)]
    distinct.append(np.bincount(inside[inside >= 0], minlength=len(used[2])))
    for n in sorted(set(sizes), key=lambda size: -sizes.count(size)):
        left, right, named = (_axis(*axis, n) for axis in zip((rows, columns, answers), distinct, used, strict=True))
        if n >= 3 and left is not None and right is not None and named is not None:
            lacking = np.flatnonzero(2 * used[2][named] < np.median(used[2][named]))
            yield _Square(left, right, named, int(lacking[0]) if len(lacking) else None)


def _axis(found: Ints, distinct: Ints, used: Ints, n: int) -> Ints | None:
    """The n rows, columns or answers of a group: of those found the fullest, then those that errors have thinned, then
    at most one that the table hardly uses; None where which one is not determined.
    """
    found = found[np.argsort(-distinct[found], kind="stable")][:n]
    outside = np.setdiff1d(np.arange(len(used)), found)
    outside = outside[np.argsort(-distinct[outside], kind="stable")]
    thinned = outside[2 * distinct[outside] > n][: n - len(found)]
    unused = np.setdiff1d(outside[2 * used[outside] < np.median(used[found])], thinned)
    lacking = n - len(found) - len(thinned)
    if lacking > 1 or (lacking == 1 and len(unused) != 1):
        return None
    axis: Ints = np.sort(np.concatenate([found, thinned, unused[:lacking]]))
    return axis


def _distinct(rows: Int[np.ndarray, "k m"]) -> Ints:
    """How many answers each row [k, m] holds."""
    return np.array([len(np.unique(row[row >= 0])) for row in rows])
