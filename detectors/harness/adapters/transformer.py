"""A decoder-only transformer on two operands, in plain torch, from its weights by TransformerLens's names.

Source: the forward pass of arXiv:2301.05217 (its code) and of arXiv:2306.17844, where attention is
attn_coeff * softmax + (1 - attn_coeff) over all positions, unmasked and not normalised. Only the
answer position is computed after the last attention, so the cost is that of what is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.core.view import Hook

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "gelu_new": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
    "square": torch.square,
}
NORMALIZATIONS = (None, "LN", "LNPre")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What names and shapes show of a transformer, and what they cannot show.

    n_tokens: operands; d_vocab - n_tokens tells a separate vocabulary of b (n more) and `=` (1 more).
    attn_coeff: None is the ordinary causal softmax. normalization_type: None, LN, or LNPre (no weights).
    """

    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    d_mlp: int
    n_ctx: int
    d_vocab: int
    d_vocab_out: int
    n_tokens: int
    act_fn: str = "relu"
    normalization_type: str | None = None
    attn_coeff: float | None = None
    eps: float = 1e-5
    kind: str = "transformer"

    @property
    def separate_vocabularies(self) -> bool:
        return self.d_vocab >= 2 * self.n_tokens > 2


class Transformer:
    """A `Network` from weights by TransformerLens's names; missing biases are zero.

    weights: `embed.W_E` [d_vocab, d_model], `pos_embed.W_pos` [n_ctx, d_model], per block `attn.W_Q`
    [head, d_model, d_head], `attn.W_O` [head, d_head, d_model], `mlp.W_in` [d_model, d_mlp], `mlp.W_out`,
    `unembed.W_U` [d_model, d_vocab_out], and their biases; `ln1.w`, `ln1.b`, ... when normalised.
    """

    def __init__(self, weights: Mapping[str, Tensor], architecture: Architecture) -> None:
        if architecture.act_fn not in ACTIVATIONS:
            raise CheckpointError(f"unknown act_fn {architecture.act_fn!r}; known: {', '.join(ACTIVATIONS)}")
        if architecture.normalization_type not in NORMALIZATIONS:
            raise CheckpointError(
                f"unknown normalization_type {architecture.normalization_type!r}; known: None, LN, LNPre"
            )
        self.weights = weights
        self.config = architecture
        self.architecture: Mapping[str, Any] = {k: v for k, v in asdict(architecture).items() if v is not None}
        self.n_tokens = architecture.n_tokens
        self.n_layers = architecture.n_layers
        self.act = ACTIVATIONS[architecture.act_fn]

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        return self._through(self.sequence(tokens), hook, answer_only=True)[:, -1]

    def _through(self, sequence: Tensor, hook: Hook, answer_only: bool) -> Tensor:
        """[batch, pos, d_vocab_out] logits of tokens [batch, pos]; of the last position alone with answer_only."""
        embedded = hook("hook_embed", self.weights["embed.W_E"][sequence])
        positions = self.weights["pos_embed.W_pos"][: sequence.shape[1]]
        x = hook("blocks.0.hook_resid_pre", embedded + positions)
        for layer in range(self.config.n_layers):
            x = self._block(x, layer, hook, answer_only)
        return self._unembed(x)

    def forward_tabulated(self, tokens: Tensor) -> Tensor:
        """The logits of `forward` without hooks, at less than half the cost.

        In the first layer keys, values and scores depend on a token and its position alone, so they are computed
        once a token and looked up for each pair.
        """
        c, w = self.config, self.weights
        sequence = self.sequence(tokens)
        rows = [w["embed.W_E"] + position for position in w["pos_embed.W_pos"]]
        queries = range(c.n_ctx - 1, c.n_ctx) if c.n_layers == 1 else range(c.n_ctx)
        normed = [self._norm(r, "blocks.0.ln1") for r in rows]
        q, k, v = ([self._heads(r[None], "blocks.0.attn.", which)[0] for r in normed] for which in "QKV")
        scores = torch.stack([self._looked_up(q[i], k, sequence[:, i], sequence) for i in queries], dim=2)
        pattern = self._pattern(scores)
        values = torch.stack([v[j][sequence[:, j]] for j in range(c.n_ctx)], dim=1)
        x = torch.stack([rows[i][sequence[:, i]] for i in queries], dim=1)
        x = self._mlp(x + self._mix(pattern, values, "blocks.0.attn."), "blocks.0.", lambda _, tensor: tensor)
        for layer in range(1, c.n_layers):
            x = self._block(x, layer, lambda _, tensor: tensor, answer_only=True)
        return self._unembed(x)[:, -1]

    @staticmethod
    def _looked_up(q: Tensor, keys: list[Tensor], query: Tensor, sequence: Tensor) -> Tensor:
        """[batch, head, key] q.k of token `query` [batch] with `sequence` [batch, pos], from q and k by token."""
        products = [torch.einsum("qhd,khd->qkh", q, k)[query, sequence[:, j]] for j, k in enumerate(keys)]
        return torch.stack(products, dim=-1)

    def _unembed(self, x: Tensor) -> Tensor:
        logits: Tensor = self._norm(x, "ln_final") @ self.weights["unembed.W_U"] + self._bias("unembed.b_U")
        return logits

    def sequence(self, tokens: Tensor) -> Tensor:
        """[batch, n_ctx] what the network reads for operands [batch, 2]: b in its own vocabulary, `=` at the end."""
        a, b = tokens.unbind(1)
        if self.config.separate_vocabularies:
            b = b + self.config.n_tokens
        return torch.stack([a, b] + [torch.full_like(a, self.config.d_vocab - 1)] * (self.config.n_ctx - 2), dim=1)

    def _block(self, x: Tensor, layer: int, hook: Hook, answer_only: bool) -> Tensor:
        name = f"blocks.{layer}."
        normed = self._norm(x, name + "ln1")
        if answer_only and layer == self.config.n_layers - 1:
            x = x[:, -1:]
        x = x + hook(name + "hook_attn_out", self._attention(normed, x.shape[1], name + "attn.", hook))
        return self._mlp(x, name, hook)

    def _mlp(self, x: Tensor, name: str, hook: Hook) -> Tensor:
        if name + "mlp.W_in" not in self.weights:
            return x
        pre = self._norm(x, name + "ln2") @ self.weights[name + "mlp.W_in"] + self._bias(name + "mlp.b_in")
        post = hook(name + "mlp.hook_post", self.act(hook(name + "mlp.hook_pre", pre)))
        out = post @ self.weights[name + "mlp.W_out"] + self._bias(name + "mlp.b_out")
        return x + hook(name + "hook_mlp_out", out)

    def _attention(self, x: Tensor, n_queries: int, name: str, hook: Hook) -> Tensor:
        """Attention output [batch, n_queries, d_model] of the last positions of x [batch, pos, d_model]."""
        q, k, v = self._heads(x[:, -n_queries:], name, "Q"), self._heads(x, name, "K"), self._heads(x, name, "V")
        pattern = self._pattern(torch.einsum("bqhd,bkhd->bhqk", q, k))
        return self._mix(hook(name + "hook_pattern", pattern), v, name)

    def _heads(self, x: Tensor, name: str, which: str) -> Tensor:
        """[batch, pos, head, d_head] queries, keys or values, one matrix product for all heads."""
        c = self.config
        matrix = self.weights[name + "W_" + which].permute(1, 0, 2).reshape(c.d_model, -1)
        product = x @ matrix + self._bias(name + "b_" + which).reshape(-1)
        return product.reshape(*x.shape[:2], c.n_heads, c.d_head)

    def _pattern(self, scores: Tensor) -> Tensor:
        """[batch, head, query, key] attention of the last positions from q.k."""
        scores = scores / math.sqrt(self.config.d_head)
        r = self.config.attn_coeff
        if r is not None:
            return r * scores.softmax(-1) + (1 - r)
        keys = scores.shape[-1]
        future = torch.ones(keys, keys).triu(1).bool()[-scores.shape[-2] :]
        return scores.masked_fill(future, -torch.inf).softmax(-1)

    def _mix(self, pattern: Tensor, v: Tensor, name: str) -> Tensor:
        z = torch.einsum("bhqk,bkhd->bqhd", pattern, v)
        out: Tensor = z.flatten(2) @ self.weights[name + "W_O"].reshape(-1, self.config.d_model) + self._bias(
            name + "b_O"
        )
        return out

    def _norm(self, x: Tensor, name: str) -> Tensor:
        kind = self.config.normalization_type
        if kind is None:
            return x
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + self.config.eps).sqrt()
        return x if kind == "LNPre" else x * self.weights[name + ".w"] + self.weights[name + ".b"]

    def _bias(self, name: str) -> Tensor:
        bias = self.weights.get(name)
        return torch.zeros(()) if bias is None else bias

    def embedding(self, operand: int) -> Tensor:
        c = self.config
        start = c.n_tokens if operand == 1 and c.separate_vocabularies else 0
        return self.weights["embed.W_E"][start : start + c.n_tokens]

    def readout(self, layer: int) -> Tensor | None:
        name = f"blocks.{layer}.mlp.W_out"
        if layer != self.n_layers - 1 or self.config.normalization_type or name not in self.weights:
            return None
        return self.weights[name] @ self.weights["unembed.W_U"]


class SequenceTransformer(Transformer):
    """The same network read as a sequence model: tokens [batch, pos] to logits [batch, pos, d_vocab_out]."""

    @property
    def n_ctx(self) -> int:
        return self.config.n_ctx

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        return self._through(tokens, hook, answer_only=False)
