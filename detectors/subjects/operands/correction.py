"""The group behind a table with errors and holes, by its own redundancy.

A group table determines every entry from three others (the quadrangle criterion), so each entry is put to the vote of
random quadrangles (the self-correction of Blum, Luby and Rubinfeld, Journal of Computer and System Sciences 47, 1993).
"""

from __future__ import annotations

import math
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from detectors.subjects.operands.tables import Labels, find_group, latin_part

# Shares of the busiest row's distinct answers that mark a row or column of the group's: errors thin rows out, and noise
# where there is no group fills others. The one in the middle of a random row (0.63) and a permutation first, and last
# what no noise is told from, for tables that have none.
CUTS = (0.8, 0.7, 0.9, 0.6)
# A vote rests on seven entries: with a fifth of them wrong it agrees with the entry that it is on 0.8**7 = 21% of the
# time, in a random table once in n. Whether it does is asked first, of a few thousand, since a ballot takes minutes.
AGREEING, SAMPLED = 0.1, 4096
CELLS = 2**24  # of the tally at a time, 64 MB: that of all pairs of 2048 tokens would be 34 GB


Table = Int[np.ndarray, "n n"]


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
    for candidate in chain([table], corrected):
        labels = find_group(candidate)
        if labels is None:
            continue
        grid = np.ix_(labels.left, labels.right)
        held = table[grid] >= 0
        agreement = float((candidate[grid] == table[grid])[held].mean())
        if agreement >= least:
            return Nearest(labels, candidate, agreement)
    return None


def _self_corrected(table: Table, rng: np.random.Generator, cut: float, rounds: int = 8) -> Table:
    rows, columns, answers = latin_part(table, cut)
    n = len(answers)
    if (
        len(rows) == n != len(columns)
    ):  # errors have thinned a column, or noise has filled one: as many as there are rows
        distinct = [len(np.unique(column[column >= 0])) for column in table[rows].T]
        columns = np.sort(np.argsort(distinct, kind="stable")[::-1][:n])
    if not 3 <= n == len(rows) == len(columns):
        return table
    index = np.full(max(int(table.max()), 0) + 2, -1)  # the last place is that of no answer
    index[answers] = np.arange(n)
    t = index[table[np.ix_(rows, columns)]]
    for _ in range(rounds):
        before, t = t, _vote(t, rng)
        if np.array_equal(before, t):
            break
    corrected = table.copy()
    corrected[np.ix_(rows, columns)] = np.where(t >= 0, answers[t], -1)
    return corrected


def _vote(t: Table, rng: np.random.Generator) -> Table:
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
