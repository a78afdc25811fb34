"""Language models: sequence models of which a pass costs seconds, so that fewer sequences and parts of passes do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from detectors.subjects.hooks import Edit, Hook, hooked_pass
from detectors.subjects.sequences.view import SequenceView

PROBE = 8  # tokens of the texts that the contract is tried on


class LanguageView(SequenceView):
    """A language model with its task. Its network is a `LanguageNetwork`, which runs no more than is wanted."""

    drawn, for_causes, language = 32, 8, True
    network: Any

    def few(self, count: int) -> Int[Tensor, "batch pos"]:
        return self.draw(count, seed=0).tokens[:, :PROBE]

    def run(
        self,
        tokens: Int[Tensor, "batch pos"],
        *,
        capture: Iterable[str] = (),
        edit: Edit | None = None,
        at: Bool[Tensor, "batch pos"] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        capture, edit = set(capture), edit or {}
        where = torch.ones_like(tokens, dtype=torch.bool) if at is None else at

        def forward(tokens: Tensor, hook: Hook) -> Tensor:
            return self.network.run(tokens, hook, read=capture, edited=set(edit), at=where)

        logits, seen = hooked_pass(forward, tokens, self.points, capture, edit)
        return (logits.reshape(*tokens.shape, -1) if at is None else logits), seen
