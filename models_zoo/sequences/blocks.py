"""Attention-only models of one layer from matrices of scores and of what is written, on one-hot blocks.

The residual stream holds one-hot blocks [token, place, out], and what is unembedded is read from the last. A head is
two matrices on that stream, scores [query, key] and what it writes; heads that do nothing of use may stand beside, and
all is turned and blurred a little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detectors.loading.transformer import Architecture, SequenceTransformer
from detectors.subjects.sequences.generators import Sequences
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView


class Blocks(NamedTuple):
    """Sizes of the blocks of the residual stream."""

    tokens: int
    places: int
    out: int

    @property
    def width(self) -> int:
        return self.tokens + self.places + self.out

    def scores(self, by_token: Tensor | None = None, by_place: Tensor | None = None) -> Tensor:
        """Scores [width, width] from scores of tokens and scores of places [query, key], added."""
        found = torch.zeros(self.width, self.width)
        if by_token is not None:
            found[: self.tokens, : self.tokens] = by_token
        if by_place is not None:
            found[self.tokens : self.tokens + self.places, self.tokens : self.tokens + self.places] = by_place
        return found

    def writes(self, values: Tensor) -> Tensor:
        """Of each token, what stands in the last block [tokens, out]."""
        found = torch.zeros(self.width, self.width)
        found[: self.tokens, -self.out :] = values
        return found


Head = tuple[Tensor, Tensor]  # scores and writes, both [width, width]


def model(
    task: SequenceTask,
    blocks: Blocks,
    heads: Sequence[Head],
    unembed: Tensor,
    bias: Tensor,
    rng: np.random.Generator,
    sharpness: float,
) -> SequenceView:
    """One layer of heads, with up to two idle ones beside, in a basis turned at random, its weights blurred by 0.2%."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    d = blocks.width
    idle = [
        (torch.randn(d, d, generator=generator), torch.randn(d, d, generator=generator) / (40 * d))
        for _ in range(int(rng.integers(0, 3)))
    ]
    every = [(sharpness * scores, writes) for scores, writes in heads] + idle
    order = rng.permutation(len(every))
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator)).Q
    weights = {
        "embed.W_E": torch.eye(blocks.tokens, d) @ turn,
        "pos_embed.W_pos": torch.eye(blocks.places + blocks.tokens, d)[blocks.tokens :] @ turn,
        "blocks.0.attn.W_Q": torch.stack([turn.T @ every[i][0] * d**0.5 for i in order]),
        "blocks.0.attn.W_K": torch.stack([turn.T for _ in order]),
        "blocks.0.attn.W_V": torch.stack([turn.T for _ in order]),
        "blocks.0.attn.W_O": torch.stack([every[i][1] @ turn for i in order]),
        "unembed.W_U": turn.T @ torch.cat([torch.zeros(d - blocks.out, unembed.shape[1]), unembed]),
    }
    weights = {k: w + 0.002 * w.std() * torch.randn(w.shape, generator=generator) for k, w in weights.items()}
    weights["unembed.b_U"] = bias
    architecture = Architecture(
        n_layers=1,
        d_model=d,
        n_heads=len(every),
        d_head=d,
        d_mlp=0,
        n_ctx=blocks.places,
        d_vocab=blocks.tokens,
        d_vocab_out=unembed.shape[1],
        n_tokens=blocks.tokens,
    )
    return SequenceView(SequenceTransformer(weights, architecture), task)


def task_of(name: str, make: Callable[..., tuple[np.ndarray, np.ndarray]], **parameters: int) -> SequenceTask:
    def draw(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> Sequences:
        return Sequences(*(torch.from_numpy(np.ascontiguousarray(x, dtype=np.int64)) for x in make(rng, batch)))

    return SequenceTask(name, draw, parameters)


def sharp(rng: np.random.Generator) -> float:
    """From patterns that hold some tenths of the mass to ones that hold all."""
    return float(np.exp(rng.uniform(1.0, 3.4)))
