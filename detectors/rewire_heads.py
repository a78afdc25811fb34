"""The same model of sequences in other coordinates: what the invariances of a motif of heads are about.

These act on weights by TransformerLens's names, since a head's queries and keys are nowhere else to be had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors.core.turns import random_frame
from detectors.subjects.sequences.view import SequenceView

Change = Callable[[SequenceView, int], SequenceView]
WIDE = ("W_E", "W_pos", "W_O", "W_out", "b_O", "b_out")  # their last axis is the residual stream
READ = ("W_Q", "W_K", "W_V", "W_in", "W_U")  # the last but one


def _with(view: SequenceView, weights: Mapping[str, Tensor]) -> SequenceView:
    network: Any = view.network
    return SequenceView(type(network)(dict(weights), network.config), view.task)


def permuted_heads(view: SequenceView, seed: int) -> SequenceView:
    """The heads of every layer in another order."""
    moved = 1 + int(np.random.default_rng(seed).integers(max(view.n_heads - 1, 1)))
    order = torch.arange(view.n_heads).roll(moved)
    per_head = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")
    return _with(view, {k: w[order] if k.endswith(per_head) else w for k, w in view.weights.items()})


def gauged_heads(view: SequenceView, seed: int) -> SequenceView:
    """Queries against keys, and values against outputs, in other coordinates of the head."""
    rng, weights = np.random.default_rng(seed), dict(view.weights)
    for name in [n for n in weights if n.endswith("W_Q")]:
        stem = name.removesuffix("W_Q")
        size = weights[name].shape[-1]
        turn = (random_frame(rng, size, size) * torch.from_numpy(rng.uniform(0.5, 2, size))).float()
        back = torch.linalg.inv(turn)
        for which, matrix in (("Q", turn), ("K", back.T), ("V", turn)):
            weights[f"{stem}W_{which}"] = weights[f"{stem}W_{which}"] @ matrix
            if f"{stem}b_{which}" in weights:
                weights[f"{stem}b_{which}"] = weights[f"{stem}b_{which}"] @ matrix
        weights[f"{stem}W_O"] = back @ weights[f"{stem}W_O"]
    return _with(view, weights)


def rotated_stream(view: SequenceView, seed: int) -> SequenceView:
    """A random rotation of the residual stream. Only of a model without norms, whose gains have axes of their own."""
    width = view.weights["embed.W_E"].shape[1]
    turn = random_frame(np.random.default_rng(seed), width, width).float()
    wide = {k: w @ turn for k, w in view.weights.items() if k.endswith(WIDE)}
    read = {k: turn.T @ w for k, w in view.weights.items() if k.endswith(READ)}
    return _with(view, {**view.weights, **wide, **read})


def blurred(view: SequenceView, scale: float, seed: int) -> SequenceView:
    """Noise in every weight, of `scale` times its standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    noise = {k: torch.randn(w.shape, generator=generator) * w.std() for k, w in view.weights.items() if w.numel() > 1}
    return _with(view, {k: w + scale * noise.get(k, torch.zeros(1)) for k, w in view.weights.items()})


COORDINATES: Mapping[str, Change] = {
    "head_permutation": permuted_heads,
    "head_gauge": gauged_heads,
    "residual_rotation": rotated_stream,
}
