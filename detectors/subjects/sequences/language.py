"""Language models: sequence models of which a pass costs seconds, so that fewer sequences and parts of passes do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from detectors.subjects.hooks import Hook
from detectors.subjects.sequences.view import Passing, SequenceView

PROBE = 8  # tokens of the texts that the contract is tried on


class LanguageView(SequenceView):
    """A language model with its task. Its network is a `LanguageNetwork`, which runs no more than is wanted."""

    drawn, for_causes, language = 32, 5, True
    network: Any

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
