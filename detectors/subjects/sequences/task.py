"""Tasks of sequences: how they are drawn, and which tokens what stands before them settles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from detectors.core.errors import TaskError


class Sequences(NamedTuple):
    """settled: True where what stands before decides the token."""

    tokens: Int[Tensor, "batch pos"]
    settled: Bool[Tensor, "batch pos"]


Draw = Callable[[np.random.Generator, int, int, int], Sequences]


@dataclass(frozen=True)
class SequenceTask:
    """A way to draw sequences. draw(rng, batch, d_vocab, n_ctx): for a model of that vocabulary and context.

    >>> tokens, settled = SequenceTask.parse("repeat").draw(np.random.default_rng(0), 1, 12, 9)
    >>> tokens[0].tolist(), settled[0].int().tolist()
    ([0, 5, 3, 4, 6, 5, 3, 4, 6], [0, 0, 0, 0, 0, 0, 1, 1, 1])
    """

    subject: ClassVar[str] = "sequences"

    spec: str
    draw: Draw

    @classmethod
    def parse(cls, spec: str) -> SequenceTask:
        """`repeat` (a run of random tokens, repeated), `skip_trigrams`, `digits:5` (addition of 5-digit numbers)."""
        kind, _, argument = spec.partition(":")
        if kind == "digits" and argument.isdecimal() and 1 <= int(argument) <= 12:
            return cls(spec, lambda rng, batch, d_vocab, n_ctx: _digits(rng, batch, d_vocab, n_ctx, int(argument)))
        if spec in _TASKS:
            return cls(spec, _TASKS[spec])
        raise TaskError(f"unknown sequence task {spec!r}. Known: {', '.join(cls.names())}")

    @staticmethod
    def names() -> tuple[str, ...]:
        """What a spec of a sequence task may be."""
        return (*_TASKS, "digits:N")

    @staticmethod
    def known(spec: str) -> bool:
        """Whether a spec names a task of sequences rather than of two operands."""
        return spec in _TASKS or spec.startswith("digits:")


def _repeat(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> Sequences:
    """BOS = 0, then a run of random tokens, over and over until the context is full.

    The run's length differs between sequences (a quarter to half of the context), so that no fixed offset predicts
    the next token. Tokens of a run differ from each other where the vocabulary is large enough.
    """
    if n_ctx < 9 or d_vocab < 4:
        raise TaskError(f"the task repeat asks for 9 positions and 4 tokens or more, not {n_ctx} and {d_vocab}")
    lengths = rng.integers(n_ctx // 4, (n_ctx - 1) // 2, endpoint=True, size=batch)
    tokens = np.zeros((batch, n_ctx), dtype=np.int64)
    for row, length in zip(tokens, lengths, strict=True):
        run = 1 + rng.choice(d_vocab - 1, size=length, replace=length > d_vocab - 1)
        row[1:] = np.resize(run, n_ctx - 1)
    settled = np.arange(n_ctx) > lengths[:, None] + 1
    return Sequences(torch.from_numpy(tokens), torch.from_numpy(settled))


def _skip_trigrams(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> Sequences:
    """Four keys, one of each class, in any order; one of four queries; then what query j and the key of class j make.

    The last four tokens of the vocabulary are the queries; the class of a key is its number mod 4, and the answer is
    the key four further on. "A ... B, C": A the key, B the query, and nothing in between counts.
    """
    if d_vocab < 8 or d_vocab % 4 or n_ctx < 5:
        raise TaskError(f"the task skip_trigrams asks for 4k tokens and 5 positions or more, not {d_vocab} and {n_ctx}")
    keys = d_vocab - 4
    chosen = 4 * rng.integers(keys // 4, size=(batch, 4)) + np.arange(4)
    query = rng.integers(4, size=batch)
    answer = (chosen[np.arange(batch), query] + 4) % keys
    tokens = np.column_stack([rng.permuted(chosen, axis=1), keys + query, answer])
    settled = np.broadcast_to(np.arange(6) == 5, tokens.shape).copy()
    return Sequences(torch.from_numpy(tokens), torch.from_numpy(settled))


def _digits(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int, digits: int) -> Sequences:
    """x, 10, y, 11, x + y; most significant digit first, as the code of arXiv:2301.05217 writes them."""
    length = 3 * digits + 3
    if d_vocab != 12 or n_ctx < length - 1:
        raise TaskError(
            f"the task digits:{digits} asks for 12 tokens and {length - 1} positions or more, not {d_vocab} and {n_ctx}"
        )
    x, y = rng.integers(10**digits, size=(2, batch))

    def written(number: np.ndarray, size: int) -> np.ndarray:
        return number[:, None] // 10 ** np.arange(size)[::-1] % 10

    plus, equals = np.full((batch, 1), 10), np.full((batch, 1), 11)
    tokens = np.hstack([written(x, digits), plus, written(y, digits), equals, written(x + y, digits + 1)])
    settled = np.broadcast_to(np.arange(length) > 2 * digits + 1, tokens.shape).copy()
    return Sequences(torch.from_numpy(tokens), torch.from_numpy(settled))


_TASKS: dict[str, Draw] = {"repeat": _repeat, "skip_trigrams": _skip_trigrams}
