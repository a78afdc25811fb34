"""A decoder-only transformer on two operands, in plain torch, from its weights by TransformerLens's names.

Source: the forward pass of arXiv:2301.05217 (its code) and of arXiv:2306.17844, where attention is
attn_coeff * softmax + (1 - attn_coeff) over all positions, unmasked and not normalised. Only the
answer position is computed after the last attention, so the cost is that of what is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from detectors.core.activations import activation
from detectors.core.errors import CheckpointError
from detectors.subjects.hooks import Hook
from detectors.subjects.sequences.view import allowed

NORMALIZATIONS = (None, "LN", "LNPre")
HIDDEN = -1e9  # the score of a key that is not attended to: finite, so that a query without keys gives no NaN


Stream = Float[Tensor, "batch pos d_model"]
Read = Float[Tensor, "batch query d_model"]  # the stream where it is read on: all of it, or the answer position alone
Heads = Float[Tensor, "batch pos head d_head"]
Pattern = Float[Tensor, "batch head query pos"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What names and shapes show of a transformer, and what they cannot show.

    n_tokens: operands; d_vocab - n_tokens tells a separate vocabulary of b (n more) and `=` (1 more).
    attn_coeff: None is the ordinary softmax, causal unless causal is False. normalization_type: None, LN, or LNPre (no
    weights). pad_token: of sequences, the token that is not attended to; positional_embedding_type: of sequences,
    `shortformer` where places are added to what queries and keys read alone, and none where there is no table of them.
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
    causal: bool | None = None
    pad_token: int | None = None
    positional_embedding_type: str | None = None
    eps: float = 1e-5
    kind: str = "transformer"

    @property
    def separate_vocabularies(self) -> bool:
        return self.d_vocab >= 2 * self.n_tokens > 2


class Transformer:
    """A `Network` from weights by TransformerLens's names, as `layouts.transformer_lens` lists them with their axes.

    Missing biases are zero, and a block without `mlp.W_in` is attention alone.
    """

    def __init__(self, weights: Mapping[str, Tensor], architecture: Architecture) -> None:
        self.act = activation(architecture.act_fn)
        if architecture.normalization_type not in NORMALIZATIONS:
            known = ", ".join(map(str, NORMALIZATIONS))
            raise CheckpointError(f"unknown normalization_type {architecture.normalization_type!r}; known: {known}")
        self.weights = weights
        self.config = architecture
        self.architecture: Mapping[str, Any] = {k: v for k, v in asdict(architecture).items() if v is not None}
        self.n_tokens = architecture.n_tokens
        self.n_layers = architecture.n_layers

    def forward(self, tokens: Int[Tensor, "batch pos"], hook: Hook) -> Float[Tensor, "batch ..."]:
        """Logits [batch, d_vocab_out] of operands [batch, 2]."""
        return self.through(self.sequence(tokens), hook)[:, -1]

    def sequence(self, tokens: Int[Tensor, "batch operands"]) -> Int[Tensor, "batch n_ctx"]:
        """What the network reads for two operands: b in its own vocabulary, `=` at the end."""
        a, b = tokens.unbind(1)
        if self.config.separate_vocabularies:
            b = b + self.config.n_tokens
        return torch.stack([a, b] + [torch.full_like(a, self.config.d_vocab - 1)] * (self.config.n_ctx - 2), dim=1)

    def through(self, sequence: Int[Tensor, "batch pos"], hook: Hook) -> Float[Tensor, "batch _ _"]:
        """Logits at the last position."""
        embedded = hook("hook_embed", F.embedding(sequence, self.weights["embed.W_E"]))
        positions = self.weights["pos_embed.W_pos"][: sequence.shape[1]]
        x = hook("blocks.0.hook_resid_pre", embedded + positions)
        for layer in range(self.config.n_layers):
            x = self.block(x, layer, hook)
        return self.unembed(x)

    def block(self, x: Stream, layer: int, hook: Hook) -> Read:
        """The residual stream after a layer; of the last position alone after the last layer."""
        name = f"blocks.{layer}."
        attn = name + "attn."
        normed = self.norm(x, name + "ln1")
        if layer == self.config.n_layers - 1:
            x = x[:, -1:]
        scores = self.scores(self.heads(normed[:, -x.shape[1] :], attn, "Q"), normed, attn)
        pattern = hook(attn + "hook_pattern", self.pattern(scores))
        x = x + hook(name + "hook_attn_out", self.mix(pattern, normed, attn))
        return self.mlp(x, name, hook)

    def scores(self, q: Heads, x: Stream, name: str) -> Pattern:
        """q.k of every key, each query taken to the stream first: of the last layer's one query that is less than a
        key at every position.
        """
        asked = torch.einsum("bqhd,hed->bqhe", q, self.weights[name + "W_K"])
        scores = (asked.flatten(1, 2) @ x.mT).unflatten(1, asked.shape[1:3]).transpose(1, 2)
        bias = self.weights.get(name + "b_K")
        return scores if bias is None else scores + torch.einsum("bqhd,hd->bhq", q, bias)[..., None]

    def heads(self, x: Stream, name: str, which: str) -> Heads:
        """Queries, keys or values, one matrix product for all heads."""
        product = torch.einsum("bpe,hed->bphd", x, self.weights[name + "W_" + which])
        return product + self.weights.get(name + "b_" + which, 0.0)

    def pattern(self, scores: Pattern) -> Pattern:
        """Attention of the last positions from q.k."""
        scores = scores / math.sqrt(self.config.d_head)
        r = self.config.attn_coeff
        if r is not None:
            return r * scores.softmax(-1) + (1 - r)
        if self.config.causal is False:
            return scores.softmax(-1)
        queries, keys = scores.shape[-2:]
        future = torch.ones(queries, keys, dtype=torch.bool).triu(1 + keys - queries)
        return scores.masked_fill(future, -torch.inf).softmax(-1)

    def mix(self, pattern: Pattern, x: Stream, name: str) -> Read:
        """What the heads write: the stream mixed by their patterns, and then its values."""
        by_query = pattern.transpose(1, 2)
        mixed = (by_query.flatten(1, 2) @ x).unflatten(1, by_query.shape[1:3])
        z = torch.einsum("bqhe,hed->bqhd", mixed, self.weights[name + "W_V"])
        if (bias := self.weights.get(name + "b_V")) is not None:
            z = z + pattern.sum(-1).mT[..., None] * bias  # patterns of attn_coeff do not sum to 1
        return self.written(z, name)

    def written(self, z: Heads, name: str) -> Read:
        """By the heads, from their mixed values."""
        return z.flatten(2) @ self.weights[name + "W_O"].flatten(0, 1) + self.weights.get(name + "b_O", 0.0)

    def mlp(self, x: Read, name: str, hook: Hook) -> Read:
        """The residual stream after the neurons of a block; as it is where the block has none."""
        if name + "mlp.W_in" not in self.weights:
            return x
        pre = self.affine(self.norm(x, name + "ln2"), name + "mlp.W_in", name + "mlp.b_in")
        post = hook(name + "mlp.hook_post", self.act(hook(name + "mlp.hook_pre", pre)))
        return x + hook(name + "hook_mlp_out", self.affine(post, name + "mlp.W_out", name + "mlp.b_out"))

    def unembed(self, x: Read) -> Float[Tensor, "batch query d_vocab_out"]:
        return self.affine(self.norm(x, "ln_final"), "unembed.W_U", "unembed.b_U")

    def affine(self, x: Float[Tensor, "... inputs"], matrix: str, bias: str) -> Float[Tensor, "... outputs"]:
        """One pass over the outputs, where a sum of two takes two."""
        return F.linear(x, self.weights[matrix].mT, self.weights.get(bias))

    def norm(self, x: Float[Tensor, "... d_model"], name: str) -> Float[Tensor, "... d_model"]:
        kind = self.config.normalization_type
        if kind is None:
            return x
        w, b = (None, None) if kind == "LNPre" else (self.weights[name + ".w"], self.weights[name + ".b"])
        return F.layer_norm(x, x.shape[-1:], w, b, self.config.eps)

    def embedding(self, operand: int) -> Float[Tensor, "n_tokens d_model"]:
        c = self.config
        start = c.n_tokens if operand == 1 and c.separate_vocabularies else 0
        return self.weights["embed.W_E"][start : start + c.n_tokens]

    def readout(self, layer: int) -> Float[Tensor, "d_mlp d_vocab_out"] | None:
        name = f"blocks.{layer}.mlp.W_out"
        if layer != self.n_layers - 1 or self.config.normalization_type or name not in self.weights:
            return None
        return self.weights[name] @ self.weights["unembed.W_U"]


class SequenceTransformer(Transformer):
    """The same network read as a sequence model: tokens [batch, pos] to logits [batch, pos, d_vocab_out]. It offers
    more hook points: of every layer `hook_resid_pre`, `attn.hook_v`, `attn.hook_z` and `hook_resid_mid`.
    """

    @property
    def n_ctx(self) -> int:
        return self.config.n_ctx

    def forward(self, tokens: Int[Tensor, "batch pos"], hook: Hook) -> Float[Tensor, "batch ..."]:
        x = hook("hook_embed", F.embedding(tokens, self.weights["embed.W_E"]))
        if self.config.positional_embedding_type != "shortformer":
            x = x + self.places(tokens)
        keys = allowed(tokens, self.config.causal is not False, self.config.pad_token)[:, None]
        for layer in range(self.config.n_layers):
            name = f"blocks.{layer}."
            x = hook(name + "hook_resid_pre", x)
            x = x + hook(name + "hook_attn_out", self.attend(x, keys, name, hook, tokens))
            x = self.mlp(hook(name + "hook_resid_mid", x), name, hook)
        return self.unembed(x)

    def places(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "pos d_model"] | float:
        table = self.weights.get("pos_embed.W_pos")
        return 0.0 if table is None else table[: tokens.shape[1]]

    def attend(
        self,
        x: Stream,
        keys: Bool[Tensor, "batch 1 query pos"],
        name: str,
        hook: Hook,
        tokens: Int[Tensor, "batch pos"],
    ) -> Stream:
        """What all heads of a layer write. A query without any key attends to all alike, as with a finite mask."""
        attn, read = name + "attn.", self.norm(x, name + "ln1")
        apart = self.config.positional_embedding_type == "shortformer"
        placed = read + self.places(tokens) if apart else read
        q, k, v = (self.heads(part, attn, which) for part, which in ((placed, "Q"), (placed, "K"), (read, "V")))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(self.config.d_head)
        pattern = hook(attn + "hook_pattern", scores.masked_fill(~keys, HIDDEN).softmax(-1))
        z = hook(attn + "hook_z", torch.einsum("bhqk,bkhd->bqhd", pattern, hook(attn + "hook_v", v)))
        return z.flatten(2) @ self.weights[attn + "W_O"].flatten(0, 1) + self.weights.get(attn + "b_O", 0.0)
