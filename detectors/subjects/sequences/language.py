"""Language models: sequence models of which a pass costs seconds, so that fewer sequences and parts of passes do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from detectors.subjects.hooks import Hook
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import Passing, SequenceView
from detectors.subjects.subject import Checkpoint
from detectors.subjects.words.view import EMBEDDING, single_tokens

PROBE = 8  # tokens of the texts that the contract is tried on


class LanguageView(SequenceView):
    """A language model with its task. Its network is a `LanguageNetwork`, which runs no more than is wanted."""

    drawn, for_causes, language = 32, 5, True
    network: Any

    def __init__(
        self, network: Any, task: SequenceTask | str, tokenizer: Any = None, *, checkpoint: Checkpoint | None = None
    ) -> None:
        """tokenizer: that knows which words are single tokens."""
        super().__init__(network, task, checkpoint=checkpoint)
        self.tokenizer = tokenizer

    @property
    def parts(self) -> frozenset[str]:
        return super().parts | ({"words"} if self.tokenizer is not None else set())

    def tokens_of(self, words: Sequence[str]) -> list[int | None]:
        """The token that each word is, None for one that is none by itself."""
        return single_tokens(self.tokenizer, self.network.n_tokens, words)

    def rows(self, tokens: Sequence[int]) -> Mapping[str, Float64[Tensor, "word d_model"]]:
        """Of the embedding, and of the residual stream where the token stands behind the start of a text."""
        found = {EMBEDDING: self.weights["embed.W_E"][list(tokens)]} | self.network.streams(torch.tensor(tokens))
        return {place: rows.double() for place, rows in found.items()}

    def few(self, count: int) -> Int[Tensor, "batch pos"]:
        return self.draw(count, seed=0).tokens[:, :PROBE]

    def means(self, tokens: Int[Tensor, "batch pos"]) -> Mapping[str, Tensor]:
        means: Mapping[str, Tensor] = self.network.means(tokens)
        return means

    def _passing(self, read: set[str], edited: set[str], at: Bool[Tensor, "batch pos"] | None) -> Passing:
        def forward(tokens: Tensor, hook: Hook) -> Tensor:
            where = torch.ones_like(tokens, dtype=torch.bool) if at is None else at
            logits: Tensor = self.network.run(tokens, hook, read=read, edited=edited, at=where)
            return logits.reshape(*tokens.shape, -1) if at is None else logits

        return forward
