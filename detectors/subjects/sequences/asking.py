"""The answers that a model gives right, and what edits of its heads make of them; asked once for all motifs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from detectors.subjects.right import MIN_RIGHT, answered, enough, still_answered
from detectors.subjects.sequences.patterns import Looks, Sample, mean_of_stratum
from detectors.subjects.sequences.view import SequenceView

IN_USE = 0.25  # necessity of a head from which it has a job of its own, and is no control

Without = Literal["z", "pattern"]
Lost = Bool[np.ndarray, " answers"]


class Address(NamedTuple):
    layer: int
    head: int


class Outcome(NamedTuple):
    """Of an edit: which of the right answers are lost, and the loss of all that is asked."""

    lost: Lost
    loss: float


class Asking:
    """The answers that a model gives right, and which of them an edit loses.

    Asked are as many sequences as the model has `for_causes`, those with the most right answers where it has more, and
    as many more as enough right answers take: without one there is nothing to lose, and passes of a language model are
    dear.
    """

    def __init__(self, model: SequenceView, whole: Sample, chosen: Int[Tensor, " some"]) -> None:
        self.model, self.whole, self.chosen, self.sample = model, whole, chosen, whole.some(chosen)
        sample, self.means = self.sample, model.means(whole.tokens)
        before, answers = model.run(sample.tokens, at=sample.asked)[0], sample.targets[sample.asked]
        self.right, self.loss = answered(before, answers), _loss(before, answers)
        self.before, self.answers = before[self.right], answers[self.right]
        self.at = sample.asked.clone()
        self.at[sample.asked] = self.right
        self.everywhere = [Address(i, j) for i in range(model.network.n_layers) for j in range(model.n_heads)]
        self._outcomes: dict[tuple[frozenset[Address], Without], Outcome] = {}

    @classmethod
    def of(cls, model: SequenceView, sample: Sample) -> Asking | None:
        """None where too few answers are right, or not more than by giving another sequence's answers. A model keeps
        it, as motifs ask for the same heads.
        """
        if isinstance(known := model.asking, Asking) and known.whole.tokens.equal(sample.tokens):
            return known
        with torch.no_grad():
            logits = model.run(sample.tokens, at=sample.asked)[0]
            right = torch.zeros_like(sample.asked)
            right[sample.asked] = answered(logits, sample.targets[sample.asked])
            # in no order, since sequences that are sorted by their answers lie beside those with the same
            others = sample.targets[torch.randperm(len(sample.targets), generator=torch.Generator().manual_seed(0))]
            luck = int((logits.argmax(-1) == others[sample.asked]).sum())
            counts, order = right.sum(1).sort(descending=True, stable=True)
            size = max(model.for_causes, 1 + int((counts.cumsum(0) < MIN_RIGHT).sum()))
            able = enough(int(right.sum()), luck)
            model.asking = cls(model, sample, order[:size].sort().values) if able else None
        return model.asking

    def tried(self, edit: dict[str, Callable[[Tensor], Tensor]]) -> Outcome:
        with torch.no_grad():
            edited = self.model.run(self.sample.tokens, edit=edit, at=self.sample.asked)[0]
        lost = ~still_answered(edited[self.right], self.answers, self.before)
        return Outcome(lost.numpy(), _loss(edited, self.sample.targets[self.sample.asked]))

    def idle(self, head: Address) -> bool:
        """Whether the model does without it."""
        return float(self.without([head], "z").mean()) < IN_USE

    def without(self, heads: Sequence[Address], kind: Without) -> Lost:
        return self.outcome(heads, kind).lost

    def outcome(self, heads: Sequence[Address], kind: Without) -> Outcome:
        key = frozenset(heads), kind
        if key not in self._outcomes:
            self._outcomes[key] = self.tried(self._removal(heads, kind))
        return self._outcomes[key]

    def mean(self, name: str, own: Tensor, at: tuple[Any, ...]) -> Tensor:
        """Part of a hook point's tensor, a mean over sequences: of all that were drawn, in a pass without edits, where
        the model keeps it; else of these, in this pass.
        """
        known = self.means.get(name)
        return mean_of_stratum(own[at], self.sample.stratum) if known is None else known[at].expand_as(own[at])

    def _removal(self, heads: Sequence[Address], kind: Without) -> dict[str, Callable[[Tensor], Tensor]]:
        def averaged(name: str, of: list[int]) -> Callable[[Tensor], Tensor]:
            def edit(x: Tensor) -> Tensor:
                at = (slice(None), of) if kind == "pattern" else (slice(None), slice(None), of)
                mean, x = self.mean(name, x, at), x.clone()
                x[at] = mean
                return x

            return edit

        of = {f"blocks.{i}.attn.hook_{kind}": [h.head for h in heads if h.layer == i] for i in layers_of(heads)}
        return {name: averaged(name, numbers) for name, numbers in of.items()}

    def with_ideal(self, heads: Sequence[tuple[Address, Looks]]) -> Lost:
        """Patterns that are what the motif says; where it says nothing, the head's mean, without what it avoids. Of a
        language model only as much as the head has on the whole: the rest lies on a sink, and is the head's mean.
        """
        language = self.model.language

        def exchanged(name: str, of: list[tuple[Address, Looks]]) -> Callable[[Tensor], Tensor]:
            def edit(x: Tensor) -> Tensor:
                x = x.clone()
                for where, looks in of:
                    own, said = x[:, where.head], looks.at.any(-1, keepdim=True)
                    mean = self.mean(name, x, (slice(None), where.head))
                    if looks.not_at is not None:
                        mean = mean * ~looks.not_at
                        mean = mean / mean.sum(-1, keepdim=True).clamp_min(1e-9)
                    share = (own * looks.at).sum() / said.sum().clamp_min(1) if language else torch.ones(())
                    x[:, where.head] = torch.where(said, share * looks.ideal + (1 - share) * mean, mean)
                return x

            return edit

        layers = {f"blocks.{i}.attn.hook_pattern": i for i in layers_of([where for where, _ in heads])}
        edits = {name: exchanged(name, [h for h in heads if h[0].layer == i]) for name, i in layers.items()}
        return self.tried(edits).lost


def _loss(logits: Float[Tensor, "asked answers"], answers: Int[Tensor, " asked"]) -> float:
    return float(torch.nn.functional.cross_entropy(logits.double(), answers))


def layers_of(heads: Sequence[Address]) -> list[int]:
    return sorted({h.layer for h in heads})
