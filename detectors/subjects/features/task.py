"""How often features are active and how much each matters: what the loss of an autoencoder is an expectation over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from detectors.core.errors import TaskError

NAME = "features"
WRITE = (
    "write features:DENSITY, the chance that a feature is active (1 - sparsity), e.g. features:0.05; of features whose "
    "importance falls, features:DENSITY:DECAY, feature i mattering DECAY^i"
)


@dataclass(frozen=True)
class FeaturesTask:
    """Independent features, each uniform in [0, 1] in a share `density` of the cases, else 0; errors of feature i weigh
    decay^i (arXiv:2209.10652, section 2).

    >>> task = FeaturesTask.parse("features:0.1:0.9")
    >>> task.density, task.importance(3).tolist()
    (0.1, [1.0, 0.9, 0.81])
    """

    subject: ClassVar[str] = "features"

    spec: str
    density: float
    decay: float = 1.0

    @classmethod
    def parse(cls, spec: str) -> FeaturesTask:
        """Errors: TaskError, with what to write: no file says how often its features are active."""
        try:
            density, decay = (float(text) for text in (*spec.split(":")[1:], "1")[:2])
        except ValueError:
            raise TaskError(f"{spec} does not say how often a feature is active: {WRITE}") from None
        if spec.count(":") > 2 or not (0 < density <= 1 and 0 < decay <= 1):
            raise TaskError(f"{spec}: density and decay lie above 0 and up to 1: {WRITE}")
        return cls(spec, density, decay)

    @staticmethod
    def known(spec: str) -> bool:
        """Whether a spec names a task of features."""
        return spec.partition(":")[0] == NAME

    def importance(self, features: int) -> Float64[Tensor, " feature"]:
        return self.decay ** torch.arange(features, dtype=torch.float64)

    def silence(self, features: int) -> float:
        """The chance that nothing is active."""
        return (1 - self.density) ** features

    def active(self, cases: int, features: int, *, seed: int) -> Float64[Tensor, "case feature"]:
        """Cases in which something is active: none is wasted on silence, however sparse the features are."""
        rng = np.random.default_rng(seed)
        values, on = rng.random((cases, features)), rng.random((cases, features)) < self.density
        if self.density < 1:  # the first one that is active has a truncated geometric law, those behind it their own
            first = np.log1p(-rng.random(cases) * (1 - self.silence(features))) / math.log1p(-self.density)
            place, at = np.arange(features), np.minimum(first.astype(int), features - 1)[:, None]
            on = (place == at) | ((place > at) & on)
        return torch.from_numpy(values * on)
