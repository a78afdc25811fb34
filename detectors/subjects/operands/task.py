"""What a model was trained to answer: a table over token pairs and, where there is one, the group behind it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from detectors.core.errors import TaskError
from detectors.core.groups import Group, Ints, is_associative
from detectors.core.named_groups import recognise

MAX_TOKENS = 2048


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


@dataclass(frozen=True, eq=False)
class Task:
    """Tokens 0..n_tokens-1, an answer for each pair (or -1: outside the domain), a group or none.

    spec: the string that makes this task. answer: [n_tokens, n_tokens]; pairs are numbered a*n_tokens + b.
    n_answers: number of answer classes. note: what a reader should know of how the task was found.

    >>> sub = Task.parse("sub:5")
    >>> int(sub.answer[1, 3]), sub.group.name, sub.labels.right.tolist()
    (3, 'C5', [0, 4, 3, 2, 1])
    """

    subject: ClassVar[str] = "operands"

    spec: str
    answer: Ints
    n_answers: int
    labels: Labels | None = None
    note: str = ""

    @property
    def n_tokens(self) -> int:
        return len(self.answer)

    @property
    def group(self) -> Group | None:
        return self.labels.group if self.labels else None

    @property
    def is_symmetric(self) -> bool:
        """Whether a pair and its flip (b, a) are one question: the table is symmetric in its own tokens."""
        return bool(np.array_equal(self.answer, self.answer.T))

    @property
    def domain(self) -> Ints:
        """Indices a*n_tokens + b of the pairs that have an answer."""
        return np.flatnonzero(self.answer.ravel() >= 0)

    @property
    def grid(self) -> Ints:
        """[order, order] pair index of every (left, right) pair of group elements."""
        if self.labels is None:
            raise TaskError(f"task {self.spec} has no group behind it")
        return self.labels.left[:, None] * self.n_tokens + self.labels.right

    @classmethod
    def parse(cls, spec: str) -> Task:
        """`add:113` `sub:53` `mul:53` `div:53` `quad:53` `max:53` `min:53` `compose:S5` `table:FILE.npy`."""
        kind, _, argument = spec.partition(":")
        if kind == "compose" and argument:
            return _of_group(spec, Group.from_name(argument))
        if kind == "table" and argument:
            return cls.of_table(spec, _read_table(Path(argument)))
        if kind in _ARITHMETIC and argument.isdecimal():
            p = int(argument)
            if not 2 <= p <= MAX_TOKENS:
                raise TaskError(f"task {spec!r}: the modulus must be between 2 and {MAX_TOKENS}")
            return _arithmetic(spec, kind, p)
        raise TaskError(
            f"unknown task {spec!r}. Known: add:P sub:P mul:P div:P quad:P max:P min:P (P a number), "
            "compose:GROUP (C12, D59, S5, A5, C2xS3), table:FILE.npy, infer; of sequences: "
            "repeat, skip_trigrams, digits:N"
        )

    @classmethod
    def of_table(cls, spec: str, answer: Ints) -> Task:
        """A task from a table [n_tokens, n_tokens] of answers, -1 where there is none; a group in it is found."""
        return cls(spec, answer, int(answer.max()) + 1, find_group(answer))


def _of_group(spec: str, group: Group) -> Task:
    e = np.arange(group.order)
    return Task(spec, group.table, group.order, Labels(group, e, e, e))


_ARITHMETIC: dict[str, Callable[[Ints, Ints, int], Ints]] = {
    "add": lambda a, b, p: (a + b) % p,
    "sub": lambda a, b, p: (a - b) % p,
    "mul": lambda a, b, p: (a * b) % p,
    "div": lambda a, b, p: (a * _modular_inverse(p)[b]) % p,
    "quad": lambda a, b, p: (a * a + b * b) % p,
    "max": lambda a, b, p: np.maximum(a, b),
    "min": lambda a, b, p: np.minimum(a, b),
}


def _modular_inverse(p: int) -> Ints:
    units = [x for x in range(1, p) if np.gcd(x, p) == 1]
    inverse = np.zeros(p, dtype=np.int64)
    inverse[units] = [pow(x, -1, p) for x in units]
    return inverse


def _arithmetic(spec: str, kind: str, p: int) -> Task:
    a, b = np.indices((p, p))
    answer: Ints = _ARITHMETIC[kind](a, b, p).astype(np.int64)
    e = np.arange(p)
    if kind in ("add", "sub"):
        return Task(spec, answer, p, Labels(Group.from_name(f"C{p}"), e, e if kind == "add" else -e % p, e))
    if kind in ("mul", "div"):
        units = np.flatnonzero(np.gcd(e, p) == 1)
        if kind == "div":
            answer[:, np.setdiff1d(e, units)] = -1
        if len(units) < 2:
            return Task(spec, answer, p)
        table = np.searchsorted(units, (units[:, None] * units) % p)
        group, label = recognise(Group(table))
        token = np.empty(len(units), dtype=np.int64)
        token[label] = units
        right = token if kind == "mul" else _modular_inverse(p)[token]
        return Task(spec, answer, p, Labels(group, token, right, token))
    return Task(spec, answer, p)


def _read_table(path: Path) -> Ints:
    try:
        table = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise TaskError(f"no table at {path}") from None
    except (ValueError, OSError, EOFError):
        raise TaskError(f"{path} is not a NumPy array file (.npy of integers, saved by numpy.save)") from None
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.shape[0] != table.shape[1] or not table.size:
        raise TaskError(f"{path}: a table is a square array [n, n] of answers; this has shape {np.shape(table)}")
    if table.dtype.kind not in "iu":
        raise TaskError(f"{path}: a table holds integers (-1 where a pair has no answer); this holds {table.dtype}")
    if len(table) > MAX_TOKENS or table.min() < -1 or table.max() >= 2 * MAX_TOKENS:
        raise TaskError(f"{path}: a table has at most {MAX_TOKENS} tokens and answers from -1 to {2 * MAX_TOKENS - 1}")
    if table.max() < 0:
        raise TaskError(f"{path}: no pair has an answer")
    result: Ints = table.astype(np.int64)
    return result


def find_group(answer: Ints) -> Labels | None:
    """The group behind a table, if every row and column of its part with a group is a permutation.

    A table is *isotopic* to a group when answer[a, b] = left(a) * right(b) for some labelling; by
    Albert's theorem (Trans. AMS 54, 1943) the loop x o y with answer[a, b0] o answer[a0, b] = answer[a, b]
    is then that group. So subtraction and relabelled tables are found, and multiplication mod p once
    the tokens whose row or column is constant are set aside. None where there is no group.
    """
    rows, columns, answers = _latin_part(answer)
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


def _latin_part(answer: Ints, cut: float = 0.8) -> tuple[Ints, Ints, Ints]:
    """Rows and columns with mostly distinct answers, and the answers that most of those rows hold.

    A random row of n entries holds 0.63 n distinct ones, a permutation with few errors nearly n; `cut` lies between.
    """
    n = len(answer)
    rows = columns = np.arange(n)

    def busy(table: Ints) -> Ints:
        distinct = np.array([len(np.unique(row[row >= 0])) for row in table])
        return np.flatnonzero(distinct > cut * distinct.max())

    for _ in range(2):  # columns first: where b has no answer they are noise, which makes rows look busy
        columns = columns[busy(answer[np.ix_(rows, columns)].T)]
        rows = rows[busy(answer[np.ix_(rows, columns)])]
    inside = answer[np.ix_(rows, columns)]
    counts = np.bincount(inside[inside >= 0], minlength=1)
    return rows, columns, np.flatnonzero(counts > 0.5 * min(len(rows), len(columns), n))


def infer_task(predictions: Ints, *, seed: int = 0) -> Task:
    """The task that a model's own predictions [n, n] carry out, allowing for errors.

    A group table determines every entry from three others (the quadrangle criterion), so each entry is
    put to the vote of random quadrangles (the self-correction of Blum, Luby and Rubinfeld, 1993).
    The corrected table is the task when it has a group and agrees with at least 90% of the predictions
    on the labelled pairs; otherwise the task is the raw table, without a group.
    """
    corrected = (_self_corrected(predictions, np.random.default_rng(seed), cut) for cut in (0.8, 0.7, 0.9))
    for table in itertools.chain([predictions], corrected):
        labels = find_group(table)
        if labels is None:
            continue
        grid = np.ix_(labels.left, labels.right)
        agreement = float((table[grid] == predictions[grid]).mean())
        if agreement < 0.9:
            continue
        named = _arithmetic_of(table, labels)
        what = named.spec if named else f"the table of {labels.group.name}"
        note = f"the predictions follow {what} on {agreement:.1%} of pairs"
        if named:
            return replace(named, spec=f"infer={named.spec}", note=note)
        answer = np.full_like(table, -1)
        answer[grid] = table[grid]
        return Task(f"infer={labels.group.name}", answer, int(answer.max()) + 1, labels, note)
    note = "no group table explains the predictions, so the group motifs do not apply"
    return Task("infer", predictions, int(predictions.max()) + 1, None, note)


def _arithmetic_of(table: Ints, labels: Labels) -> Task | None:
    """`add:53` and the like, when the table agrees with it wherever the group labels a pair."""
    p = len(table)
    grid = np.ix_(labels.left, labels.right)
    for kind in ("add", "sub", "mul", "div"):
        task = _arithmetic(f"{kind}:{p}", kind, p)
        same = task.labels is not None and task.labels.group.order == labels.group.order
        if same and np.array_equal(task.answer[grid], table[grid]):
            return task
    return None


def _self_corrected(table: Ints, rng: np.random.Generator, cut: float, rounds: int = 3) -> Ints:
    rows, columns, answers = _latin_part(table, cut)
    n = len(answers)
    if (
        len(rows) == n != len(columns)
    ):  # errors have thinned a column, or noise has filled one: as many as there are rows
        distinct = [len(np.unique(column[column >= 0])) for column in table[rows].T]
        columns = np.sort(np.argsort(distinct, kind="stable")[::-1][:n])
    if not 3 <= n == len(rows) == len(columns):
        return table
    index = np.full(max(int(table.max()), 0) + 1, -1, dtype=np.int64)
    index[answers] = np.arange(n)
    t = index[table[np.ix_(rows, columns)]]
    for _ in range(rounds):
        t = _vote(t, rng)
    corrected = table.copy()
    corrected[np.ix_(rows, columns)] = answers[t]
    return corrected


def _vote(t: Ints, rng: np.random.Generator) -> Ints:
    """Each entry [n, n] by majority over random quadrangles; -1 in t is unknown."""
    n = len(t)
    votes = int(np.clip(2**21 / n**2, 32, 512))
    column_of = np.zeros((n, n), dtype=np.int64)  # [row, answer] -> a column holding it
    row_of = np.zeros((n, n), dtype=np.int64)  # [column, answer] -> a row holding it
    a, b = np.indices((n, n))
    known = t >= 0
    column_of[a[known], t[known]] = b[known]
    row_of[b[known], t[known]] = a[known]
    tally = np.zeros((n * n, n), dtype=np.int32)
    for _ in range(votes):
        # t[a,b] = u e^-1 v with u = t[a,g], e = t[f,g], v = t[f,b]; the same u, e, v found elsewhere vote
        f, g, f2 = (rng.integers(n, size=(n, n)) for _ in range(3))
        u, e, v = t[a, g], t[f, g], t[f, b]
        g2 = column_of[f2, e]
        vote = t[row_of[g2, u], column_of[f2, v]]
        ok = (vote >= 0) & (u >= 0) & (e >= 0) & (v >= 0)
        np.add.at(tally, ((a * n + b)[ok], vote[ok]), 1)
    return tally.argmax(axis=1).reshape(n, n)
