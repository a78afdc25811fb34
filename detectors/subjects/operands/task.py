"""What a model was trained to answer: a table over token pairs and, where there is one, the group behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from detectors.core.errors import TaskError
from detectors.core.groups import Group, Ints
from detectors.core.named_groups import recognise
from detectors.subjects.operands.correction import Nearest, nearest_group
from detectors.subjects.operands.tables import MAX_TOKENS, Labels, read_table

HELD = 0.8  # of the entries: every fifth may be wrong, and the vote of quadrangles (0.8 to the third) still be won
LISTED = 8  # exceptions in a sentence


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
        if self.labels is None:
            return bool(np.array_equal(self.answer, self.answer.T))
        table = self.labels.group.table  # not of the answers: a table may have holes
        return bool(np.array_equal(self.labels.left, self.labels.right) and np.array_equal(table, table.T))

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
            return cls.of_table(spec, read_table(Path(argument)))
        if kind in _ARITHMETIC and argument.isdecimal() and len(argument) < 10:
            p = int(argument)
            if not 2 <= p <= MAX_TOKENS:
                raise TaskError(f"task {spec!r}: the modulus must be between 2 and {MAX_TOKENS}")
            return arithmetic(spec, kind, p)
        raise TaskError(
            f"unknown task {spec!r}. Known: add:P sub:P mul:P div:P quad:P max:P min:P (P a number), "
            "compose:GROUP (C12, D59, S5, A5, C2xS3), table:FILE.npy, infer; of sequences: "
            "repeat, skip_trigrams, digits:N, sum:N, sort:LENGTH, sort_with_start:LENGTH, palindrome:HALF, "
            "brackets:LENGTH, cumsum:LENGTH, first_unique:LENGTH, data:FILE.npz"
        )

    @classmethod
    def of_table(cls, spec: str, answer: Ints) -> Task:
        """A task from a table [n_tokens, n_tokens] of answers, -1 where there is none. A group in it is found, up to a
        fifth of its entries wrong or missing; the pairs are then answered as the table says, and the note lists what
        the group says otherwise.
        """
        n_answers, found = int(answer.max()) + 1, nearest_group(answer, HELD)
        if found is None:
            return cls(spec, answer, n_answers)
        n_answers = max(n_answers, int(found.labels.answers.max()) + 1)  # the last one may be what the table misses
        return cls(spec, answer, n_answers, found.labels, _holes(answer, found))


def _holes(answer: Ints, found: Nearest) -> str:
    """What of a table is not its group's, in words; empty where nothing is."""
    grid = np.ix_(found.labels.left, found.labels.right)
    wrong, missing = (answer[grid] != found.corrected[grid]) & (answer[grid] >= 0), answer[grid] < 0
    if not wrong.any() and not missing.any():
        return ""
    a, b = found.labels.left, found.labels.right
    some = ", ".join(f"({a[i]}, {b[j]})" for i, j in np.argwhere(wrong | missing)[:LISTED])
    more = ", ..." if int(wrong.sum() + missing.sum()) > LISTED else ""
    return (
        f"the table is that of {found.labels.group.name} but for {wrong.sum()} wrong and {missing.sum()} missing of "
        f"{wrong.size} entries: {some}{more}"
    )


def _of_group(spec: str, group: Group) -> Task:
    """A product that is cyclic, as C3xC5 is, by the residues that its elements stand for."""
    token, table = np.arange(group.order), group.table
    if not group.is_cyclic and group.element_orders.max() == group.order:
        group, label = recognise(group)
        token = np.argsort(label)
    return Task(spec, table, group.order, Labels(group, token, token, token))


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


def arithmetic(spec: str, kind: str, p: int) -> Task:
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
