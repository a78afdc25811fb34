"""One hidden layer on two embeddings: logits = act([W_x[a], W_y[b]] @ W + b_in) @ W_U + b_U.

Source: arXiv:2302.03025, section 3; with one-hot embeddings and act square, arXiv:2301.02679.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.core.view import Hook
from detectors.harness.adapters.transformer import ACTIVATIONS


class TwoEmbeddingMLP:
    """A `Network` from `W_x`, `W_y` [n_tokens, d], `W` [2d, m], `W_U` [m, answers], biases `b_in`, `b_U` or none."""

    n_layers = 1

    def __init__(self, weights: Mapping[str, Tensor], act_fn: str = "relu") -> None:
        if act_fn not in ACTIVATIONS:
            raise CheckpointError(f"unknown act_fn {act_fn!r}; known: {', '.join(ACTIVATIONS)}")
        self.weights = weights
        self.act = ACTIVATIONS[act_fn]
        self.n_tokens, self.d = weights["W_x"].shape
        self.architecture: Mapping[str, Any] = {
            "kind": "mlp",
            "n_tokens": self.n_tokens,
            "d_model": self.d,
            "d_mlp": weights["W"].shape[1],
            "d_vocab_out": weights["W_U"].shape[1],
            "act_fn": act_fn,
        }

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        w = self.weights
        embedded = torch.stack([w["W_x"][tokens[:, 0]], w["W_y"][tokens[:, 1]]], dim=1)
        pre = hook("hook_embed", embedded).flatten(1) @ w["W"] + w.get("b_in", 0.0)
        pre = hook("blocks.0.mlp.hook_pre", pre[:, None])
        post = hook("blocks.0.mlp.hook_post", self.act(pre))[:, 0]
        logits: Tensor = post @ w["W_U"] + w.get("b_U", 0.0)
        return logits

    def forward_tabulated(self, tokens: Tensor) -> Tensor:
        """The logits of `forward` without hooks: each operand's part of the preactivations is computed once a token."""
        pre = self.embedding(0)[tokens[:, 0]] + self.embedding(1)[tokens[:, 1]] + self.weights.get("b_in", 0.0)
        logits: Tensor = self.act(pre) @ self.weights["W_U"] + self.weights.get("b_U", 0.0)
        return logits

    def embedding(self, operand: int) -> Tensor:
        if operand == 0:
            return self.weights["W_x"] @ self.weights["W"][: self.d]
        return self.weights["W_y"] @ self.weights["W"][self.d :]

    def readout(self, layer: int) -> Tensor | None:
        return self.weights["W_U"]
