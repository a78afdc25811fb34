"""What a loader supplies for a two-operand model: a network that calls a hook at the points it offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.subjects.hooks import Hook
from detectors.subjects.operands.task import Task


class Network(Protocol):
    """What a loader supplies: these four attributes and three methods, nothing to inherit.

    architecture: what a report shows of it, by name. n_tokens: operands are 0..n_tokens-1. n_layers: layers with
    neurons. weights: its tensors by name, checked for NaN and offered as `view.weight(name)`.

    `forward` calls `hook(name, tensor)` at every point that it offers and goes on with what that returns. tokens:
    [batch, 2] operand tokens (a, b); the network adds `=` or offsets itself. Hook names are TransformerLens's:
    `hook_embed` [batch, pos, d_model] with the operands at positions 0 and 1, `blocks.0.attn.hook_pattern`
    [batch, head, query, key], `blocks.0.mlp.hook_pre` and `hook_post` [batch, pos, d_mlp], the answer position
    last. Output: logits [batch, answers]. A motif whose hook is not offered is not applicable.
    """

    @property
    def architecture(self) -> Mapping[str, Any]: ...
    @property
    def n_tokens(self) -> int: ...
    @property
    def n_layers(self) -> int: ...
    @property
    def weights(self) -> Mapping[str, Tensor]: ...

    def forward(self, tokens: Int[Tensor, "batch operands"], hook: Hook) -> Float[Tensor, "batch answers"]: ...

    def embedding(self, operand: int) -> Float[Tensor, "n_tokens d"]:
        """All that operand 0 or 1 passes on its own, up to the first nonlinearity."""

    def readout(self, layer: int) -> Float[Tensor, "m answers"] | None:
        """From neurons to logits, or None where something nonlinear follows them."""


# Pairs at a time: their activations stay in a cache, which takes a fifth off a pass. Rows of pairs are gathered by
# `index_select`: x[k] takes three to five times as long.
CHUNK = 1024
CONTRACT = ("architecture", "n_tokens", "n_layers", "weights", "forward", "embedding", "readout")


def check_finite(task: Task, logits: Float[Tensor, "pairs answers"]) -> None:
    """Errors: CheckpointError, with the pairs by name, where the logits of any that is asked are not finite."""
    labelled = task.grid.ravel() if task.labels else task.domain[:0]
    domain = torch.from_numpy(np.union1d(task.domain, labelled))  # a group labels the holes of its table too
    finite = torch.empty(len(logits), dtype=torch.bool)
    for some in torch.arange(len(logits)).split(CHUNK):
        finite[some] = logits.index_select(0, some).isfinite().all(1)
    wrong = domain[~finite[domain]]
    if len(wrong):
        some = ", ".join(f"({k // task.n_tokens}, {k % task.n_tokens})" for k in wrong[:5].tolist())
        raise CheckpointError(
            f"the logits of {len(wrong)} of {len(domain)} pairs are not finite, such as {some}: nothing is scored"
        )
