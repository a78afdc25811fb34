"""Toy autoencoders x' = relu(W W^T x + b): features in a hidden space of fewer dimensions, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.core.figures import BySplit, Counts, Figures, TaskFacts
from detectors.core.memory import check_memory
from detectors.subjects.features.task import FeaturesTask
from detectors.subjects.subject import Checkpoint, Size

CASES = 4096  # on which losses are taken: the error of the mean is a hundredth of it
MOST = 2**19  # numbers of these cases, which is fewer cases of more than 128 features
LEAST = 512


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """W: a row a feature, its direction in the hidden space. b: of the output."""

    W: Float[Tensor, "feature hidden"]
    b: Float[Tensor, " feature"]

    @property
    def architecture(self) -> Mapping[str, Any]:
        features, hidden = self.W.shape
        return {"kind": "autoencoder", "n_features": features, "d_hidden": hidden, "act_fn": "relu"}

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return {"W": self.W, "b": self.b}


class FeaturesView:
    """An autoencoder with the density of its features.

    >>> network = Autoencoder(torch.tensor([[1.0], [-1.0]]), torch.zeros(2))
    >>> view = FeaturesView(network, "features:0.01")
    >>> view.rows.tolist(), view.figures().loss.all < 1e-4  # wrong where both are active, once in 10,000 cases
    ([[1.0], [-1.0]], True)
    """

    kind, reads = "features", "features"

    def __init__(self, network: Autoencoder, task: FeaturesTask | str, *, checkpoint: Checkpoint | None = None) -> None:
        self.network = network
        self.task = FeaturesTask.parse(task) if isinstance(task, str) else task
        self.checkpoint = checkpoint or Checkpoint()
        features, hidden = network.W.shape
        check_memory(features * (features + hidden), f"scalar products of {features} features")

    @property
    def rows(self) -> Float64[Tensor, "feature hidden"]:
        """Directions of the features, times their norms; a copy."""
        return self.network.W.double().clone()

    def losses(self, frames: Float64[Tensor, "many feature hidden"]) -> Float64[Tensor, " many"]:
        """Expected loss, the sum of squared errors by importance, with each of these in the place of W: exact where
        nothing is active, and a mean over the same drawn cases where something is.
        """
        bias, weight = self.network.b.double(), self.task.importance(len(self.network.b))
        silence = self.task.silence(len(bias))
        still = float(weight @ bias.clamp_min(0).square())
        return torch.stack(
            [
                silence * still + (1 - silence) * ((self._restored(rows, bias) - self._cases).square() @ weight).mean()
                for rows in frames
            ]
        )

    def _restored(self, rows: Float64[Tensor, "feature hidden"], bias: Tensor) -> Float64[Tensor, "case feature"]:
        return (self._cases @ rows @ rows.T + bias).clamp_min(0)

    @cached_property
    def _cases(self) -> Float64[Tensor, "case feature"]:
        features = len(self.network.b)
        return self.task.active(max(LEAST, min(CASES, MOST // features)), features, seed=0)

    @property
    def parts(self) -> frozenset[str]:
        return frozenset({"features"})

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.network.architecture

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self.network.weights

    @property
    def size(self) -> Size:
        return Size(None, "autoencoder")

    @property
    def task_facts(self) -> TaskFacts:
        features, hidden = self.network.W.shape
        return TaskFacts(
            spec=self.task.spec,
            subject=self.kind,
            about=f"of {features} features in {hidden} dimensions",
            split="fresh",
            n_tokens=features,
            n_answers=features,
            pairs=0,
            group=None,
            order=None,
            note=f"loss: expected squared error, summed over {self._weighed}independent features active in "
            f"{self.task.density:.3g} of the cases, uniform in [0, 1] there",
        )

    @property
    def _weighed(self) -> str:
        return "" if self.task.decay == 1 else f"features of importance {self.task.decay:g}^i, "

    def figures(self) -> Figures:
        """A loss alone: what is restored is neither right nor wrong."""
        unknown = BySplit(all=None, train=None, test=None)
        loss = BySplit(all=float(self.losses(self.rows[None])), train=None, test=None)
        return Figures(
            accuracy=unknown, loss=loss, cases=Counts(all=len(self._cases), train=None, echoed=None, unseen=None)
        )

    def few(self, count: int) -> None:
        """Nothing of anybody's own is run."""

    def with_train_mask(self, mask: object) -> FeaturesView:
        """Itself; CheckpointError where somebody passes training pairs."""
        if mask is None:
            return self
        raise CheckpointError(f"the task {self.task.spec} is one of features: there are no training pairs to pass")
