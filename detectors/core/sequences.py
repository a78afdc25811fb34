"""Models that read a sequence and predict every next token: their tasks, and all that a detector may ask of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from detectors.core.errors import CheckpointError, TaskError
from detectors.core.view import Edit, Hook, hooked_pass

SAMPLE = 512  # sequences that accuracies and losses are measured on


class Sequences(NamedTuple):
    """tokens: [batch, length]. settled: [batch, length] True where what stands before decides the token."""

    tokens: Tensor
    settled: Tensor


Draw = Callable[[np.random.Generator, int, int, int], Sequences]


@dataclass(frozen=True)
class SequenceTask:
    """A way to draw sequences. draw(rng, batch, d_vocab, n_ctx): for a model of that vocabulary and context.

    >>> tokens, settled = SequenceTask.parse("repeat").draw(np.random.default_rng(0), 1, 12, 9)
    >>> tokens[0].tolist(), settled[0].int().tolist()
    ([0, 5, 3, 4, 6, 5, 3, 4, 6], [0, 0, 0, 0, 0, 0, 1, 1, 1])
    """

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


class SequenceNetwork(Protocol):
    """As `Network`, but `forward` maps tokens [batch, pos] to logits [batch, pos, answers] at every position."""

    @property
    def architecture(self) -> Mapping[str, Any]: ...
    @property
    def n_tokens(self) -> int: ...
    @property
    def n_ctx(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def weights(self) -> Mapping[str, Tensor]: ...

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor: ...


_CONTRACT = ("architecture", "n_tokens", "n_ctx", "n_layers", "weights", "forward")


class SequenceView:
    """A sequence model with its task. There are no pairs, so what is measured is measured on drawn sequences."""

    train_mask = None  # every batch is fresh

    def __init__(self, network: SequenceNetwork, task: SequenceTask | str) -> None:
        lacking = [name for name in _CONTRACT if not hasattr(network, name)]
        if lacking:
            raise CheckpointError(f"a network of sequences has {', '.join(_CONTRACT)}; this lacks {', '.join(lacking)}")
        self.network = network
        self.task = SequenceTask.parse(task) if isinstance(task, str) else task
        self.checkpoint: Any = None
        tokens = self.draw(1, seed=0).tokens[:, :-1]  # what the task asks of vocabulary and context shows here
        self._points: set[str] = set()

        def record(name: str, tensor: Tensor) -> Tensor:
            self._points.add(name)
            return tensor

        with torch.no_grad():
            logits = network.forward(tokens, record)
        if logits.ndim != 3 or logits.shape[:2] != tokens.shape:
            raise CheckpointError(f"a sequence model gives logits [batch, pos, answers], not {tuple(logits.shape)}")
        self.n_answers = int(logits.shape[2])

    @property
    def parts(self) -> frozenset[str]:
        """What this model has: names that `needs` of a detector may hold."""
        attention = {"attention"} if any("hook_pattern" in name for name in self._points) else set()
        return frozenset({"sequences", "run"} | attention)

    def draw(self, batch: int, *, seed: int) -> Sequences:
        """Sequences of the task for this model's vocabulary and context."""
        return self.task.draw(np.random.default_rng(seed), batch, self.network.n_tokens, self.network.n_ctx)

    @cached_property
    def sample(self) -> Sequences:
        """The sequences that figures are given for: 512 of seed 0."""
        return self.draw(SAMPLE, seed=0)

    def run(
        self, tokens: Tensor, *, capture: Iterable[str] = (), edit: Edit | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [batch, pos, answers] on tokens [batch, pos], and the tensors captured at hook points, with edits."""
        return hooked_pass(self.network.forward, tokens, self._points, capture, edit)

    def figures(self, sequences: Sequences) -> tuple[Tensor, Tensor]:
        """Whether each settled token is predicted, and its float64 loss, both [settled tokens]."""
        return settled_figures(self.run(sequences.tokens[:, :-1])[0], sequences)


def settled_figures(logits: Tensor, sequences: Sequences) -> tuple[Tensor, Tensor]:
    """Right or not, and cross-entropy in float64, of the settled tokens, from logits at the positions before them."""
    where = sequences.settled[:, 1:]
    rows, answers = logits[where].double(), sequences.tokens[:, 1:][where]
    return rows.argmax(1) == answers, torch.nn.functional.cross_entropy(rows, answers, reduction="none")
