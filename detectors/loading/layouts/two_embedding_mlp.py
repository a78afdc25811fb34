"""One hidden layer on two embeddings: logits = act([W_x[a], W_y[b]] @ W + b_in) @ W_U + b_U.

Source: arXiv:2302.03025, section 3; with one-hot embeddings and act square, arXiv:2301.02679.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from detectors.core.activations import activation
from detectors.core.errors import CheckpointError
from detectors.loading.shapes import Weights, check_shapes, check_task
from detectors.subjects.hooks import Hook

NAME = "two-embedding MLP"
SUBJECTS = frozenset({"operands"})
OPTIONS = frozenset({"act_fn"})
TENSORS = "W_x, W_y, W, W_U"

AXES = {
    "W_x": "n_tokens d_model",
    "W_y": "n_tokens d_model",
    "W": "2*d_model d_mlp",
    "W_U": "d_mlp d_vocab_out",
    "b_in": "d_mlp",
    "b_U": "d_vocab_out",
}


def matches(weights: Weights) -> bool:
    return {"W_x", "W_y", "W", "W_U"} <= weights.keys()


def build(weights: Weights, task: Any, arch: Mapping[str, Any]) -> tuple[TwoEmbeddingMLP, list[str]]:
    if extra := arch.keys() - {"act_fn"}:
        raise CheckpointError(f"--arch {', '.join(sorted(extra))} does not apply to a two-embedding MLP; act_fn does")
    sizes = check_shapes(weights, AXES)
    if task is not None:
        n = sizes["n_tokens"]
        check_task(task, task.n_tokens == n, f"W_x has {n} rows", sizes["d_vocab_out"])
    used = {name: weights[name] for name in AXES if name in weights}
    return TwoEmbeddingMLP(used, arch.get("act_fn", "relu")), [name for name in weights if name not in used]


class TwoEmbeddingMLP:
    """A `Network` from tensors of these names and axes; missing biases are zero."""

    n_layers = 1

    def __init__(self, weights: Weights, act_fn: str = "relu") -> None:
        self.weights = weights
        self.act = activation(act_fn)
        self.n_tokens, self.d = weights["W_x"].shape
        self.architecture: Mapping[str, Any] = {
            "kind": "mlp",
            "n_tokens": self.n_tokens,
            "d_model": self.d,
            "d_mlp": weights["W"].shape[1],
            "d_vocab_out": weights["W_U"].shape[1],
            "act_fn": act_fn,
        }

    def forward(self, tokens: Int[Tensor, "batch operands"], hook: Hook) -> Float[Tensor, "batch d_vocab_out"]:
        w, (a, b) = self.weights, tokens.unbind(1)
        embedded = torch.stack([F.embedding(a, w["W_x"]), F.embedding(b, w["W_y"])], dim=1)
        pre = F.linear(hook("hook_embed", embedded).flatten(1), w["W"].mT, w.get("b_in"))
        pre = hook("blocks.0.mlp.hook_pre", pre[:, None])
        post = hook("blocks.0.mlp.hook_post", self.act(pre))[:, 0]
        return F.linear(post, w["W_U"].mT, w.get("b_U"))

    def embedding(self, operand: int) -> Float[Tensor, "n_tokens d_mlp"]:
        if operand == 0:
            return self.weights["W_x"] @ self.weights["W"][: self.d]
        return self.weights["W_y"] @ self.weights["W"][self.d :]

    def readout(self, layer: int) -> Float[Tensor, "d_mlp d_vocab_out"]:
        return self.weights["W_U"]
