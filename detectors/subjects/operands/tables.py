"""Tables of answers: reading one, and finding the group behind it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detectors.core.errors import TaskError
from detectors.core.groups import Group, Ints, is_associative
from detectors.core.named_groups import recognise

MAX_TOKENS = 2048  # the logits of all pairs are then a gigabyte for each 64 answers


@dataclass(frozen=True, eq=False)
class Labels:
    """A group on part of a task: `right_of(answer) = left(a) * right(b)`.

    left, right: [order] the left and right token that each group element labels.
    answers: [order] the answer column that each group element labels.
    """

    group: Group
    left: Ints
    right: Ints
    answers: Ints


def read_table(path: Path) -> Ints:
    if path.exists() and not path.is_file():
        raise TaskError(f"{path} is no regular file")
    try:
        with warnings.catch_warnings(action="ignore"):  # on the way to an error
            table = np.load(path, mmap_mode="r", allow_pickle=False)  # a header that lies of its size allocates nothing
    except FileNotFoundError:
        raise TaskError(f"no table at {path}") from None
    except (ValueError, OSError, EOFError, RecursionError, OverflowError):
        raise TaskError(f"{path} is not a NumPy array file (.npy of integers, saved by numpy.save)") from None
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
        raise TaskError(f"{path}: a table is a square array [n, n] of answers; this has shape {np.shape(table)}")
    if table.dtype.kind not in "iu":
        raise TaskError(f"{path}: a table holds integers (-1 where a pair has no answer); this holds {table.dtype}")
    if len(table) > MAX_TOKENS or table.min() < -1 or table.max() >= 2 * MAX_TOKENS:
        raise TaskError(f"{path}: a table has at most {MAX_TOKENS} tokens and answers from -1 to {2 * MAX_TOKENS - 1}")
    if table.max() < 0:
        raise TaskError(f"{path}: no pair has an answer")
    result: Ints = np.array(table, dtype=np.int64)
    return result


def find_group(answer: Ints) -> Labels | None:
    """The group behind a table, if every row and column of its part with a group is a permutation.

    A table is *isotopic* to a group when answer[a, b] = left(a) * right(b) for some labelling; by
    Albert's theorem (Trans. AMS 54, 1943) the loop x o y with answer[a, b0] o answer[a0, b] = answer[a, b]
    is then that group. So subtraction and relabelled tables are found, and multiplication mod p once
    the tokens whose row or column is constant are set aside. None where there is no group.
    """
    rows, columns, answers = latin_part(answer)
    n = len(answers)
    if not 2 <= n == len(rows) == len(columns):
        return None
    index = np.full(int(answer.max()) + 1, -1, dtype=np.int64)
    index[answers] = np.arange(n)
    latin = answer[np.ix_(rows, columns)]
    if latin.min() < 0 or (latin := index[latin]).min() < 0:
        return None
    if not all((np.sort(latin, axis=k) == np.arange(n).reshape(-1, *[1] * (1 - k))).all() for k in (0, 1)):
        return None
    identity = np.flatnonzero((latin == np.arange(n)).all(axis=1) & (latin == np.arange(n)[:, None]).all(axis=0))
    if len(identity) and is_associative(latin):  # already a group: keep its own labelling
        left = right = np.arange(n)
        loop = latin
    else:
        left, right = latin[:, 0], latin[0]
        loop = latin[np.ix_(np.argsort(left), np.argsort(right))]
        if not is_associative(loop):
            return None
    group, label = recognise(Group(loop))
    return Labels(
        group,
        rows[np.argsort(label[left])],
        columns[np.argsort(label[right])],
        answers[np.argsort(label)],
    )


def latin_part(answer: Ints, cut: float = 0.8) -> tuple[Ints, Ints, Ints]:
    """Rows and columns with mostly distinct answers, and the answers that most of those rows hold.

    A random row of n entries holds 0.63 n distinct ones, a permutation with few errors nearly n; `cut` lies between.
    """
    n = len(answer)
    rows = columns = np.arange(n)

    def busy(table: Ints) -> Ints:
        held = (table >= 0).sum(1)
        distinct = np.array([len(np.unique(row[row >= 0])) for row in table])
        rate = np.where(2 * held >= held.max(), distinct / np.maximum(held, 1), 0.0)  # of few entries any are distinct
        return np.flatnonzero(rate > cut * rate.max())

    for _ in range(2):  # columns first: where b has no answer they are noise, which makes rows look busy
        columns = columns[busy(answer[np.ix_(rows, columns)].T)]
        rows = rows[busy(answer[np.ix_(rows, columns)])]
    inside = answer[np.ix_(rows, columns)]
    counts = np.bincount(inside[inside >= 0], minlength=1)
    return rows, columns, np.flatnonzero(counts > 0.5 * np.median(counts[counts > 0], keepdims=True).max(initial=1))
