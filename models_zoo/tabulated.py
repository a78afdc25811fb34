"""A training speed-up: the logits of `forward` without hooks, with what depends on one token computed once a token."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.loading.transformer import Transformer


def forward(network: Any, tokens: Int[Tensor, "batch operands"]) -> Float[Tensor, "batch d_vocab_out"]:
    """Logits of a network of the zoo that reads two operands."""
    return _mlp(network, tokens) if network.architecture["kind"] == "mlp" else _transformer(network, tokens)


def _mlp(net: TwoEmbeddingMLP, tokens: Tensor) -> Tensor:
    pre = net.embedding(0)[tokens[:, 0]] + net.embedding(1)[tokens[:, 1]] + net.weights.get("b_in", 0.0)
    return net.act(pre) @ net.weights["W_U"] + net.weights.get("b_U", 0.0)


def _transformer(net: Transformer, tokens: Tensor) -> Tensor:
    """At less than half the cost: keys, values and scores of the first layer are looked up for each pair."""
    c, w = net.config, net.weights
    sequence = net.sequence(tokens)
    rows = [w["embed.W_E"] + position for position in w["pos_embed.W_pos"]]
    queries = range(c.n_ctx - 1, c.n_ctx) if c.n_layers == 1 else range(c.n_ctx)
    normed = [net.norm(r, "blocks.0.ln1") for r in rows]
    q, k, v = ([net.heads(r[None], "blocks.0.attn.", which)[0] for r in normed] for which in "QKV")
    scores = torch.stack([_looked_up(q[i], k, sequence[:, i], sequence) for i in queries], dim=2)
    values = torch.stack([v[j][sequence[:, j]] for j in range(c.n_ctx)], dim=1)
    x = torch.stack([rows[i][sequence[:, i]] for i in queries], dim=1)
    z = torch.einsum("bhqk,bkhd->bqhd", net.pattern(scores), values)
    x = net.mlp(x + net.written(z, "blocks.0.attn."), "blocks.0.", no_hook)
    for layer in range(1, c.n_layers):
        x = net.block(x, layer, no_hook)
    return net.unembed(x)[:, -1]


def _looked_up(
    q: Float[Tensor, "token head d_head"],
    keys: list[Float[Tensor, "token head d_head"]],
    query: Int[Tensor, " batch"],
    sequence: Int[Tensor, "batch pos"],
) -> Float[Tensor, "batch head pos"]:
    """q.k of token `query` with the tokens of `sequence`."""
    products = [torch.einsum("qhd,khd->qkh", q, k)[query, sequence[:, j]] for j, k in enumerate(keys)]
    return torch.stack(products, dim=-1)


def no_hook(name: str, tensor: Tensor) -> Tensor:
    return tensor
