"""Loader for the embed/linear/unembed networks of arXiv:2306.17844 (models alpha to delta).

detectors run model_p71frej8t7.pt --task add:59 --loader examples/linear_models.py:load

A loader is a function (path, task) -> ModelView. The network that it hands over needs no base class: it has the four
attributes and three methods of `help(detectors.Network)`. Its forward pass calls `hook(name, tensor)` at each point
that detectors may read or edit; the names `hook_embed` and `blocks.N.mlp.hook_post` are the ones that they look for.
"""

import json
from pathlib import Path

import torch

from detectors import ModelView, Task
from detectors.loading.tensors import read_tensors


class LinearModel:
    """Types of the authors' code: A relu(l1(x+y)), B relu(l2(relu(l1(x+y)))), C relu(l2(relu(l1 x + l1 y))),
    D relu(l1[x, y]), X as A with two embeddings; logits are the last activations @ unembed.T."""

    def __init__(self, weights: dict[str, torch.Tensor], kind: str) -> None:
        self.weights, self.kind = weights, kind
        self.n_tokens = len(weights["unembed.weight"])
        self.n_layers = 2 if "l2.weight" in weights else 1
        self.architecture = {"kind": f"linear model {kind}", "n_layers": self.n_layers, "act_fn": "relu"}

    def _first(self, operand: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding of an operand and the part of l1 that acts on it."""
        w, l1 = self.weights, self.weights["l1.weight"]
        embed = w[f"embed{operand + 1}.weight" if self.kind == "X" else "embed.weight"]
        return embed, l1[:, operand * l1.shape[1] // 2 :][:, : embed.shape[1]] if self.kind == "D" else l1

    def forward(self, tokens, hook):
        w = self.weights
        (left, l1_left), (right, l1_right) = self._first(0), self._first(1)
        embedded = hook("hook_embed", torch.stack([left[tokens[:, 0]], right[tokens[:, 1]]], dim=1))
        pre = embedded[:, 0] @ l1_left.T + embedded[:, 1] @ l1_right.T
        pre = pre + w["l1.bias"] * (2 if self.kind == "C" else 1)
        post = hook("blocks.0.mlp.hook_post", torch.relu(hook("blocks.0.mlp.hook_pre", pre[:, None])))
        if self.n_layers == 2:
            pre = hook("blocks.1.mlp.hook_pre", post @ w["l2.weight"].T + w["l2.bias"])
            post = hook("blocks.1.mlp.hook_post", torch.relu(pre))
        return post[:, 0] @ w["unembed.weight"].T

    def embedding(self, operand):
        embed, l1 = self._first(operand)
        return embed @ l1.T

    def readout(self, layer):
        return self.weights["unembed.weight"].T if layer == self.n_layers - 1 else None


def load(path: Path, task: Task) -> ModelView:
    config = path.with_name(path.name.replace("model_", "config_")).with_suffix(".json")
    return ModelView(LinearModel(read_tensors(path), json.loads(config.read_text())["model_type"]), task)
