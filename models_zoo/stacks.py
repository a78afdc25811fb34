"""Small architectures that no layout of `detectors.loading` is for: stacks of MLPs and recurrent cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from detectors.subjects.hooks import Hook

Config = Mapping[str, Any]


class Stack:
    """x = E_0[a] + E_1[b], then layers of act(norm(x) W_in + b) [m], and logits = norm(x) U.

    config: layers; d, m; shared (one embedding for both operands: the network cannot tell (a, b) from (b, a)); act
    `relu`, `square` or `swiglu` (silu(x W_in) * x W_gate); residual (x + neurons W_out, else the neurons are the next
    x); norm (RMS, with a gain). Weights by name, E_i [n, d], U [d or m, answers].
    """

    def __init__(self, config: Config, weights: Mapping[str, Tensor]) -> None:
        self.config, self.weights, self.n_layers = config, weights, config["layers"]
        self.n_tokens = len(weights["E_0"])
        self.architecture = {"kind": "stack", "n_tokens": self.n_tokens, **config}

    @staticmethod
    def shapes(config: Config, n: int) -> dict[str, tuple[int, ...]]:
        d, m, residual, norm = (config[k] for k in ("d", "m", "residual", "norm"))
        shapes: dict[str, tuple[int, ...]] = {f"E_{i}": (n, d) for i in range(1 if config["shared"] else 2)}
        for i in range(config["layers"]):
            width = d if i == 0 or residual else m
            shapes |= {f"{i}.W_in": (width, m), f"{i}.b": (m,)}
            shapes |= {f"{i}.W_gate": (width, m)} if config["act"] == "swiglu" else {}
            shapes |= {f"{i}.W_out": (m, d)} if residual else {}
            shapes |= {f"{i}.gain": (width,)} if norm else {}
        last = d if residual else m
        return shapes | {"U": (last, n)} | ({"gain": (last,)} if norm else {})

    def norm(self, x: Tensor, name: str) -> Tensor:
        if not self.config["norm"]:
            return x
        return self.weights[name] * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        embedded = torch.stack([self.embedding(i)[tokens[:, i]] for i in range(2)], 1)
        x, w = hook("hook_embed", embedded).sum(1), self.weights
        for i in range(self.n_layers):
            h = self.norm(x, f"{i}.gain")
            pre = hook(f"blocks.{i}.mlp.hook_pre", (h @ w[f"{i}.W_in"] + w[f"{i}.b"])[:, None])
            post = hook(f"blocks.{i}.mlp.hook_post", self.act(pre, h, i))[:, 0]
            x = x + post @ w[f"{i}.W_out"] if self.config["residual"] else post
        logits: Tensor = self.norm(x, "gain") @ w["U"]
        return logits

    def act(self, pre: Tensor, h: Tensor, layer: int) -> Tensor:
        if self.config["act"] == "swiglu":
            return torch.nn.functional.silu(pre) * (h @ self.weights[f"{layer}.W_gate"])[:, None]
        return pre.square() if self.config["act"] == "square" else pre.relu()

    def embedding(self, operand: int) -> Tensor:
        return self.weights["E_0" if self.config["shared"] else f"E_{operand}"]

    def readout(self, layer: int) -> Tensor | None:
        if self.config["norm"] or layer != self.n_layers - 1:
            return None
        return self.weights[f"{layer}.W_out"] @ self.weights["U"] if self.config["residual"] else self.weights["U"]


class Recurrent:
    """A GRU or LSTM cell that reads a, then b; logits = h U of the last state h [m], which stands for its neurons.

    config: cell `gru` or `lstm`; d, m. Weights: E [n, d], W_x [d, gates * m], W_h [m, gates * m], b, U [m, answers].
    Source of the cells: arXiv:1406.1078 (gates r, z, n) and Neural Computation 9, 1997 (gates i, f, g, o).
    """

    n_layers = 1

    def __init__(self, config: Config, weights: Mapping[str, Tensor]) -> None:
        self.config, self.weights, self.n_tokens = config, weights, len(weights["E"])
        self.architecture = {"kind": config["cell"], "n_tokens": self.n_tokens, **config}

    @staticmethod
    def shapes(config: Config, n: int) -> dict[str, tuple[int, ...]]:
        d, m, gates = config["d"], config["m"], 3 if config["cell"] == "gru" else 4
        return {"E": (n, d), "W_x": (d, gates * m), "W_h": (m, gates * m), "b": (gates * m,), "U": (m, n)}

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        embedded = hook("hook_embed", self.weights["E"][tokens])
        h = torch.zeros(len(tokens), self.config["m"])
        c, step = h, self.gru if self.config["cell"] == "gru" else self.lstm
        for x in embedded.unbind(1):
            h, c = step(x, h, c)
        logits: Tensor = hook("blocks.0.mlp.hook_post", h[:, None])[:, 0] @ self.weights["U"]
        return logits

    def gru(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        left, right = x @ self.weights["W_x"] + self.weights["b"], h @ self.weights["W_h"]
        (r, z, new), (r_h, z_h, new_h) = left.chunk(3, 1), right.chunk(3, 1)
        keep = (z + z_h).sigmoid()
        return keep * h + (1 - keep) * (new + (r + r_h).sigmoid() * new_h).tanh(), c

    def lstm(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        gates = x @ self.weights["W_x"] + self.weights["b"] + h @ self.weights["W_h"]
        i, f, g, o = gates.chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def embedding(self, operand: int) -> Tensor:
        return self.weights["E"]

    def readout(self, layer: int) -> Tensor:
        return self.weights["U"]


def build(config: Config, weights: Mapping[str, Tensor]) -> Stack | Recurrent:
    return (Recurrent if "cell" in config else Stack)(config, weights)


def initial(config: Config, n: int, seed: int) -> dict[str, Tensor]:
    """Normal over the root of the fan-in, gains 1, biases 0."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (Recurrent if "cell" in config else Stack).shapes(config, n)

    def one(name: str, shape: tuple[int, ...]) -> Tensor:
        if len(shape) == 1:
            return torch.ones(shape) if name.endswith("gain") else torch.zeros(shape)
        fan_in = shape[1] if name.startswith("E") else shape[0]
        return torch.randn(shape, generator=generator) / fan_in**0.5

    return {name: one(name, shape) for name, shape in shapes.items()}
