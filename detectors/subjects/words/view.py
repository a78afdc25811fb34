"""Rows of words: what a language model has for single tokens, in its embedding and along its residual stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from jaxtyping import Float64
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.core.figures import BySplit, Counts, Figures, TaskFacts
from detectors.subjects.subject import Checkpoint, Size

EMBEDDING = "embedding"

Known = Callable[[Sequence[str]], list[int | None]]
Reading = Callable[[Sequence[int]], Mapping[str, Tensor]]


class Words(Protocol):
    """What motifs of words ask of a model."""

    def tokens_of(self, words: Sequence[str]) -> list[int | None]: ...
    def rows(self, tokens: Sequence[int]) -> Mapping[str, Float64[Tensor, "word d_model"]]: ...


class RowsView:
    """Rows of words and nothing else of a model: of any matrix with a row a word, or read from files of any size.

    rows: by word [d_model], all of one size. Errors: ValueError.

    >>> import numpy as np
    >>> view = RowsView({"Monday": np.array([1.0, 0.0]), "Tuesday": np.array([0.0, 1.0])})
    >>> view.tokens_of(["Monday", "Noday"]), view.rows([1])["embedding"].tolist()
    ([0, None], [[0.0, 1.0]])
    """

    kind, reads = "words", "rows of words"

    def __init__(self, rows: Mapping[str, Any], *, checkpoint: Checkpoint | None = None) -> None:
        each = [torch.as_tensor(row, dtype=torch.float64) for row in rows.values()]
        if {row.ndim for row in each} != {1} or len({len(row) for row in each}) != 1:
            raise ValueError("each word has a row of numbers, all of one size")
        table = torch.stack(each)
        if not bool(torch.isfinite(table).all()):
            raise ValueError("rows of words are finite")
        numbers = {word: number for number, word in enumerate(rows)}
        self._known: Known = lambda words: [numbers.get(word) for word in words]
        self._rows: Reading = lambda tokens: {EMBEDDING: table[list(tokens)]}
        self.size_of = (len(table), int(table.shape[1]))
        self.checkpoint = checkpoint or Checkpoint()

    @classmethod
    def reading(
        cls,
        known: Known,
        rows: Reading,
        shape: tuple[int, int],
        origin: Checkpoint,
    ) -> RowsView:
        """known: the tokens of words; rows: of tokens, read when they are asked for; shape: of the whole table."""
        view = cls.__new__(cls)
        view._known, view._rows, view.size_of, view.checkpoint = known, rows, shape, origin
        return view

    def tokens_of(self, words: Sequence[str]) -> list[int | None]:
        """The token that each word is, None for one that is none by itself."""
        return self._known(words)

    def rows(self, tokens: Sequence[int]) -> Mapping[str, Float64[Tensor, "word d_model"]]:
        """By place, here the embedding alone."""
        found = {place: rows.double() for place, rows in self._rows(tokens).items()}
        if bad := [place for place, rows in found.items() if not bool(torch.isfinite(rows).all())]:
            raise CheckpointError(f"rows of the {bad[0]} have NaN or infinite entries: not scored")
        return found

    @property
    def parts(self) -> frozenset[str]:
        return frozenset({"words"})

    @property
    def architecture(self) -> Mapping[str, Any]:
        return {"kind": "rows of words", "n_tokens": self.size_of[0], "d_model": self.size_of[1]}

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return {}

    @property
    def size(self) -> Size:
        return Size(None, "rows of words")

    @property
    def task_facts(self) -> TaskFacts:
        return TaskFacts(
            spec="words",
            subject=self.kind,
            about=f"of {self.size_of[0]} tokens",
            split="fresh",
            n_tokens=self.size_of[0],
            n_answers=0,
            pairs=0,
            group=None,
            order=None,
            note="its rows alone are read: nothing is answered",
        )

    def figures(self) -> Figures:
        """None: nothing is answered."""
        unknown = BySplit(all=None, train=None, test=None)
        return Figures(accuracy=unknown, loss=unknown, cases=Counts(all=0, train=None, echoed=None, unseen=None))

    def few(self, count: int) -> None:
        """Nothing is run."""


def single_tokens(tokenizer: Any, size: int, words: Sequence[str]) -> list[int | None]:
    """The token of each word that is one by itself: with a space before all of them, or without, whichever more words
    have. Words that share a token have none, nor those whose token is no row of a table of that size.
    """
    if tokenizer is None:
        return [None] * len(words)
    unknown = getattr(tokenizer, "unk_token_id", None)
    best: list[int | None] = [None] * len(words)
    for before in (" ", ""):
        ids = [tokenizer.encode(before + word, add_special_tokens=False) for word in words]
        found = [one[0] if len(one) == 1 and one[0] != unknown and one[0] < size else None for one in ids]
        found = [one if found.count(one) == 1 else None for one in found]
        if sum(one is not None for one in found) > sum(one is not None for one in best):
            best = found
    return best
