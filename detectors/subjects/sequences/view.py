"""Models that read a sequence and predict every next token: all that a detector may ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.core.figures import BySplit, Counts, Figures, TaskFacts
from detectors.core.memory import check_memory
from detectors.subjects.hooks import Edit, Hook, check_contract, hooked_pass
from detectors.subjects.right import answered
from detectors.subjects.sequences.task import Sequences, SequenceTask
from detectors.subjects.subject import Checkpoint, Size

SAMPLE = 512  # sequences that accuracies and losses are measured on: a share of 95% is exact to a percent a token each


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

    kind, reads = "sequences", "sequences"

    def __init__(
        self, network: SequenceNetwork, task: SequenceTask | str, *, checkpoint: Checkpoint | None = None
    ) -> None:
        check_contract(network, _CONTRACT, "detectors.SequenceView")
        self.network = network
        self.task = SequenceTask.parse(task) if isinstance(task, str) else task
        self.checkpoint = checkpoint or Checkpoint()
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

    def with_train_mask(self, mask: object) -> SequenceView:
        """Itself without training pairs; CheckpointError where somebody passes some."""
        if mask is None:
            return self
        raise CheckpointError(f"the task {self.task.spec} draws fresh sequences: there are no training pairs to pass")

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.network.architecture

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self.network.weights

    @property
    def size(self) -> Size:
        return Size(None, str(self.architecture.get("kind", "unknown")))

    @property
    def task_facts(self) -> TaskFacts:
        return TaskFacts(
            spec=self.task.spec,
            subject=self.kind,
            about=f"of sequences, {self.network.n_tokens} tokens",
            split="fresh",
            n_tokens=self.network.n_tokens,
            n_answers=self.n_answers,
            pairs=0,
            group=None,
            order=None,
            note=f"accuracy and loss: of the tokens that the context determines, in {SAMPLE} sequences drawn at random",
        )

    def figures(self) -> Figures:
        """Over the settled tokens of the sample; every batch is fresh, so nothing was trained on."""
        size, context = SAMPLE * self.network.n_ctx, f"{self.network.n_ctx} positions with {self.n_answers} answers"
        check_memory(size * self.n_answers, f"{self.task.spec}: {SAMPLE} sequences of {context}")
        with torch.no_grad():
            columns = self.settled_figures(self.sample)
        accuracy, loss = (BySplit(all=float(c.double().mean()), train=None, test=None) for c in columns)
        return Figures(
            accuracy=accuracy,
            loss=loss,
            cases=Counts(all=len(columns[0].reshape(-1)), train=None, echoed=None, unseen=None),
        )

    @property
    def parts(self) -> frozenset[str]:
        """What this model has: names that `needs` of a detector may hold."""
        attention = {"attention"} if any("hook_pattern" in name for name in self._points) else set()
        return frozenset({"sequences", "run"} | attention)

    def draw(self, batch: int, *, seed: int) -> Sequences:
        """Sequences of the task for this model's vocabulary and context."""
        return self.task.draw(np.random.default_rng(seed), batch, self.network.n_tokens, self.network.n_ctx)

    def few(self, count: int) -> Tensor:
        """Tokens of some sequences, as `run` takes them."""
        return self.draw(count, seed=0).tokens[:, :-1]

    @cached_property
    def sample(self) -> Sequences:
        """The sequences that figures are given for: 512 of seed 0."""
        return self.draw(SAMPLE, seed=0)

    def run(
        self, tokens: Tensor, *, capture: Iterable[str] = (), edit: Edit | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [batch, pos, answers] on tokens [batch, pos], and the tensors captured at hook points, with edits."""
        return hooked_pass(self.network.forward, tokens, self._points, capture, edit)

    def settled_figures(self, sequences: Sequences) -> tuple[Bool[Tensor, " settled"], Float64[Tensor, " settled"]]:
        """Whether each settled token is predicted, and its float64 loss."""
        return settled_figures(self.run(sequences.tokens[:, :-1])[0], sequences)


def settled_figures(
    logits: Float[Tensor, "batch pos answers"], sequences: Sequences
) -> tuple[Bool[Tensor, " settled"], Float64[Tensor, " settled"]]:
    """Right or not, and cross-entropy in float64, of the settled tokens, from logits at the positions before them."""
    where = sequences.settled[:, 1:]
    rows, answers = logits[where].double(), sequences.tokens[:, 1:][where]
    return answered(rows, answers), torch.nn.functional.cross_entropy(rows, answers, reduction="none")
