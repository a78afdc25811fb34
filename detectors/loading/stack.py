"""Tables, blocks of attention and neurons, norms and layers, under one reading of what shapes leave open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from detectors.core.activations import activation
from detectors.loading.structure import Attention, Block, Dense, Neurons, Norm, Structure
from detectors.loading.token_layout import TokenLayout
from detectors.subjects.hooks import Hook

Stream = Float[Tensor, "batch pos d_model"]
OVERWRITING = ("overwriting", "both")  # `x = norm(x)` in code, so that what is added to is normalised too
POOLED = ("mean", "sum", "concat", "product", "max")  # read from all positions


@dataclass(frozen=True)
class Reading:
    """What names and shapes do not show. structure: its number among those that fit. heads: 0 without attention.
    norm: pre, post, or parallel; overwriting where the stream goes on from the first norm of a block, both from either.
    readout: last, first, or one of POOLED. positions: learned, none, sinusoidal, or halves (sines before cosines).
    scale: the embedding times sqrt(d_model). normalization: LN, RMS, LNPre (without weights), none. answers: the column
    of answer 0. inner: the activation function on what was read, before any layer. skip: of the layers every two are
    added to what they read. linear: no activation function between the last two layers, as of one map in two factors.
    """

    structure: int
    tokens: TokenLayout
    heads: int = 0
    norm: str = "pre"
    causal: bool = True
    act_fn: str = "relu"
    readout: str = "last"
    positions: str = "none"
    scale: bool = False
    normalization: str = "none"
    answers: int = 0
    inner: bool = False
    skip: bool = False
    linear: bool = False


class Stack:
    """A `Network`: a structure under a reading."""

    def __init__(self, structure: Structure, reading: Reading, n_tokens: int, weights: Mapping[str, Tensor]) -> None:
        self.structure, self.reading, self.n_tokens, self.weights = structure, reading, n_tokens, weights
        self.act, self.facts = activation(reading.act_fn), dict[str, Any]()
        self.width = structure.table.shape[1]
        hidden = len(_hidden(structure, reading)) + reading.inner
        self.n_blocks = len(structure.blocks)
        self.n_layers = self.n_blocks + hidden
        self.positions = self._positions(len(reading.tokens))
        a, b = reading.tokens.operands
        self.order = [a, b, *(i for i in range(len(reading.tokens)) if i not in (a, b))]
        self.back = [self.order.index(i) for i in range(len(self.order))]

    @property
    def architecture(self) -> Mapping[str, Any]:
        s, r = self.structure, self.reading
        widths = [b.neurons.into.out for b in s.blocks if b.neurons] or [layer.out for layer in _hidden(s, r)]
        kind = {"kind": "transformer", "n_heads": r.heads} if s.blocks else {"kind": "mlp"}
        found: dict[str, Any] = {**kind, "n_layers": self.n_layers, "n_tokens": self.n_tokens, "d_model": self.width}
        if widths or r.inner:
            found |= {"d_mlp": max(widths, default=self.width), "act_fn": r.act_fn}
        found |= {"d_vocab": len(s.table), "d_vocab_out": s.chain[-1].out, "tokens": str(r.tokens)}
        found |= {"readout": r.readout} if s.blocks else {"operands": r.readout}
        if s.blocks:
            found |= {"norm": r.norm, "causal": r.causal, "positions": r.positions}
            found["normalization_type"] = r.normalization
        return found | self.facts

    def forward(self, tokens: Int[Tensor, "batch operands"], hook: Hook) -> Float[Tensor, "batch answers"]:
        s, r = self.structure, self.reading
        embedded = F.embedding(self._rows(r.tokens.sequence(tokens)), s.table)
        x = hook("hook_embed", embedded[:, self.order])[:, self.back]
        if s.blocks and s.bias is not None:
            x = x + s.bias
        x = x * math.sqrt(self.width) if r.scale else x
        x = self.norm(x if self.positions is None else x + self.positions, s.before)
        for layer in range(self.n_blocks):
            x = self.block(x, layer, hook)
        return self.layers(self.read(self.norm(x, s.final)), hook)[:, r.answers :]

    def _rows(self, sequence: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch pos"]:
        """Rows of the table: every operand its own part of it where there are parts."""
        parts = self.structure.slots
        size = len(self.structure.table) // parts
        return sequence + torch.arange(sequence.shape[1]) * size if parts == sequence.shape[1] else sequence

    def block(self, x: Stream, layer: int, hook: Hook) -> Stream:
        part, r = self.structure.blocks[layer], self.reading
        first, second = _two(part)
        name = f"blocks.{layer}."
        only = layer == self.n_blocks - 1 and r.readout == "last"
        attend, think = part.attention, part.neurons
        y = self.norm(x, first) if r.norm != "post" else x
        x = y if r.norm in OVERWRITING else x
        kept = x[:, -1:] if only else x
        if attend is not None:
            out = hook(name + "hook_attn_out", self.attention(y, attend, name, hook, only))
            if r.norm == "parallel" and think is not None:
                return kept + out + self.neurons(y[:, -kept.shape[1] :], think, name, hook)
            kept = self.norm(kept + out, first) if r.norm == "post" else kept + out
        if think is None:
            return kept
        y = self.norm(kept, second) if r.norm != "post" else kept
        kept = y if r.norm == "both" else kept
        kept = kept + hook(name + "hook_mlp_out", self.neurons(y, think, name, hook))
        return self.norm(kept, second) if r.norm == "post" else kept

    def attention(self, x: Stream, part: Attention, name: str, hook: Hook, only: bool) -> Stream:
        heads = self.reading.heads
        q = part.q(x[:, -1:] if only else x).unflatten(-1, (heads, -1)).transpose(1, 2)
        size = q.shape[-1]
        k, v = part.k(x), part.v(x)
        k = k.unflatten(-1, (k.shape[-1] // size, size)).transpose(1, 2)
        v = v.unflatten(-1, (k.shape[1], -1)).transpose(1, 2)
        if k.shape[1] != heads:  # several heads share their keys and values
            k, v = (t.repeat_interleave(heads // k.shape[1], dim=1) for t in (k, v))
        scores = q @ k.mT / math.sqrt(size)
        if self.reading.causal and scores.shape[-2] > 1:
            future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, -torch.inf)
        pattern, turn = scores.softmax(-1), int(self.reading.readout == "first")  # the answer position comes last
        pattern = hook(name + "attn.hook_pattern", pattern.roll(-turn, 2)).roll(turn, 2)
        z = (pattern @ v).transpose(1, 2).flatten(2)
        return z if part.o is None else part.o(z)

    def neurons(self, x: Stream, part: Neurons, name: str, hook: Hook) -> Stream:
        if part.gate is not None:
            post = self.act(part.gate(x)) * part.into(x)
        else:
            post = self.act(self.shown(name + "mlp.hook_pre", part.into(x), hook))
        return part.out(self.shown(name + "mlp.hook_post", post, hook))

    def shown(self, name: str, x: Stream, hook: Hook) -> Stream:
        """At a hook, with the neurons of all positions side by side where the answer is read from all of them."""
        if self.reading.readout not in POOLED:
            first = self.reading.readout == "first"  # the answer position comes last
            return hook(name, x.roll(-1, 1)).roll(1, 1) if first else hook(name, x)
        return hook(name, x.flatten(1)[:, None])[:, 0].unflatten(1, x.shape[1:])

    def read(self, x: Stream) -> Float[Tensor, "batch width"]:
        """What the layers see of the positions."""
        how = self.reading.readout
        pooled = {"mean": lambda: x.mean(1), "sum": lambda: x.sum(1), "product": lambda: x.prod(1)}
        if how in pooled:
            return pooled[how]()
        if how == "max":
            return x.amax(1)
        return x.flatten(1) if how == "concat" else x[:, 0 if how == "first" else -1]

    def layers(self, x: Float[Tensor, "batch width"], hook: Hook) -> Float[Tensor, "batch d_vocab_out"]:
        s, number = self.structure, self.n_blocks
        norms = dict(s.norms)
        if not s.blocks and s.bias is not None:
            x = x + s.bias
        if self.reading.skip:
            return self.added(x, norms, hook)
        x = self.norm(x, norms.get(-1))
        if self.reading.inner:
            x, number = self.activated(x, number, hook), number + 1
        hidden = len(_hidden(s, self.reading))
        for i, layer in enumerate(s.chain[:-1]):
            x = self.norm(layer(x), norms.get(i))
            if i < hidden:
                x, number = self.activated(x, number, hook), number + 1
        return s.chain[-1](x)

    def added(
        self, x: Float[Tensor, "batch width"], norms: Mapping[int, Norm], hook: Hook
    ) -> Float[Tensor, "batch d_vocab_out"]:
        """Every two layers to what they read, each behind a norm of its own."""
        chain = self.structure.chain
        for number, (up, down) in enumerate(zip(chain[:-1:2], chain[1:-1:2], strict=True)):
            branch = self.norm(x, norms.get(2 * number - 1))
            x = x + down(self.activated(self.norm(up(branch), norms.get(2 * number)), number, hook))
        return chain[-1](self.norm(x, norms.get(len(chain) - 2)))

    def activated(self, x: Float[Tensor, "batch m"], number: int, hook: Hook) -> Float[Tensor, "batch m"]:
        name = f"blocks.{number}.mlp."
        return hook(name + "hook_post", self.act(hook(name + "hook_pre", x[:, None])))[:, 0]

    def norm(self, x: Tensor, part: Norm | None) -> Tensor:
        kind = self.reading.normalization
        if part is None:
            return F.layer_norm(x, x.shape[-1:]) if kind == "LNPre" and x.ndim == 3 else x
        if part.running is not None:
            mean, variance = part.running
            y = (x - mean) / (variance + 1e-5).sqrt()
        elif kind == "RMS" and part.shift is None:
            y = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        else:
            y = F.layer_norm(x, x.shape[-1:])
        return y * part.gain if part.shift is None else y * part.gain + part.shift

    def _positions(self, length: int) -> Tensor | None:
        kind, learned = self.reading.positions, self.structure.positions
        if kind == "learned" and learned is not None:
            return learned[:length]
        if kind not in ("sinusoidal", "halves"):
            return None
        half = (self.width + 1) // 2
        angle = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        if kind == "halves":
            return torch.cat([angle.sin(), angle.cos()], 1)[:, : self.width]
        return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, : self.width]

    def embedding(self, operand: int) -> Float[Tensor, "n_tokens d"]:
        s, r = self.structure, self.reading
        start = r.tokens.first(operand)
        if s.slots == len(r.tokens):
            start += r.tokens.operands[operand] * (len(s.table) // s.slots)
        rows = s.table[start : start + self.n_tokens]
        if s.blocks or r.inner or r.readout in ("product", "max") or s.norms:
            return rows
        first = s.chain[0].weight
        if r.readout == "concat":
            place = r.tokens.operands[operand] * self.width
            first = first[:, place : place + self.width]
        return rows @ first.mT

    def readout(self, layer: int) -> Float[Tensor, "m answers"] | None:
        s, r = self.structure, self.reading
        head = s.chain[-1].weight[r.answers :].mT
        if layer != self.n_layers - 1:
            return None
        if layer >= self.n_blocks:
            if not r.linear:
                return head
            return None if len(s.chain) - 2 in dict(s.norms) else s.chain[-2].weight.mT @ head
        part = s.blocks[layer].neurons
        normed = (
            s.final is not None or r.normalization == "LNPre" or (r.norm == "post" and len(s.blocks[layer].norms) > 0)
        )
        if part is None or normed or len(s.chain) > 1 or r.readout in ("product", "max"):
            return None
        out = part.out.weight.mT
        if r.readout == "concat":
            return torch.cat([out @ rows for rows in head.split(self.width)])
        if r.readout in POOLED:
            return (out @ head).repeat(len(r.tokens), 1) / (len(r.tokens) if r.readout == "mean" else 1)
        return out @ head


def _hidden(s: Structure, r: Reading) -> tuple[Dense, ...]:
    """The layers of the chain with neurons behind them."""
    return s.chain[:-1:2] if r.skip else s.chain[: -1 - r.linear]


def _two(block: Block) -> tuple[Norm | None, Norm | None]:
    """The norms of attention and of neurons."""
    norms = (*block.norms, None, None)
    if block.attention is None:
        return None, norms[0]
    return norms[0], norms[1]
