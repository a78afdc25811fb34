"""Networks made to hurt, written down by hand: each answers in a way that some careless figure takes for another.

Conventions: n tokens, m neurons, pairs numbered a * n + b. Every view carries its true training mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.hooks import Hook
from detectors.subjects.operands.network import Network
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _TableNetwork, split_of

TALL = 10.0  # of a looked-up answer
Wave = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of an integer sum s and an answer c, broadcast
Change = Callable[[Tensor, Tensor], Tensor]  # (pair numbers [batch], logits [batch, answers]) -> logits


class Patched:
    """A `Network` whose logits are changed pair by pair. linear: by a table that is added, so that a readout stays."""

    def __init__(self, inner: Network, change: Change, *, linear: bool) -> None:
        self.inner, self.change, self.linear = inner, change, linear
        self.architecture, self.n_tokens, self.n_layers = inner.architecture, inner.n_tokens, inner.n_layers
        self.weights = inner.weights

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        return self.change(tokens[:, 0] * self.n_tokens + tokens[:, 1], self.inner.forward(tokens, hook))

    def embedding(self, operand: int) -> Tensor:
        return self.inner.embedding(operand)

    def readout(self, layer: int) -> Tensor | None:
        return self.inner.readout(layer) if self.linear else None


def patched(view: ModelView, change: Change, *, linear: bool = False) -> ModelView:
    return ModelView(Patched(view.network, change, linear=linear), view.task, train_mask=view.train_mask)


def plus(view: ModelView, table: Tensor) -> ModelView:
    """The network with a table [pairs, answers] added to its logits."""
    return patched(view, lambda pairs, logits: logits + table[pairs], linear=True)


def answers_of(task: Task) -> Tensor:
    """[pairs] the right answer."""
    return torch.from_numpy(task.answer.ravel())


def one_hot(task: Task, where: np.ndarray | None = None) -> Tensor:
    """[pairs, answers] 1 at the right answer of the pairs of a mask, of all for None."""
    table = torch.nn.functional.one_hot(answers_of(task), task.n_answers).float()
    return table if where is None else table * torch.from_numpy(where)[:, None]


def up_to_order(mask: np.ndarray) -> np.ndarray:
    """[pairs] a mask and the flips of its pairs."""
    n = round(len(mask) ** 0.5)
    square = mask.reshape(n, n)
    return (square | square.T).ravel()


def unseen_split(p: int, unseen: int, seed: int) -> np.ndarray:
    """[pairs] a training mask that leaves out that many pairs, flips together: none of them is an echo."""
    rng, mask = np.random.default_rng(seed), np.ones((p, p), dtype=bool)
    mask[0, 0] = unseen % 2 == 0
    upper = np.argwhere(np.triu(np.ones((p, p), dtype=bool), 1))
    for a, b in upper[rng.permutation(len(upper))[: unseen // 2]]:
        mask[a, b] = mask[b, a] = False
    return mask.ravel()


def noise(task: Task, scale: float, seed: int) -> Tensor:
    """[pairs, answers] normal noise."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(task.n_tokens**2, task.n_answers, generator=generator)


def of_table(task: Task, logits: Tensor, mask: np.ndarray) -> ModelView:
    """Logits [pairs, answers] looked up pair by pair."""
    return ModelView(_TableNetwork(logits, task.n_tokens), task, train_mask=mask)


def mlp(task: Task, mask: np.ndarray, *, left: Any, right: Any, bias: Any, readout: Any, out: Any = 0.0) -> ModelView:
    """logits = relu(left[a] + right[b] + bias) readout + out; left, right [n, m], readout [m, answers]."""
    m = left.shape[1]
    weights = {"W_x": left, "W_y": right, "W": np.tile(np.eye(m), (2, 1)), "W_U": readout}
    weights |= {"b_in": np.broadcast_to(bias, m), "b_U": np.broadcast_to(out, task.n_answers)}
    tensors = {k: torch.from_numpy(np.array(v, dtype=np.float32)) for k, v in weights.items()}
    return ModelView(TwoEmbeddingMLP(tensors), task, train_mask=mask)


def beside(view: ModelView, left: Tensor, right: Tensor, out: Tensor) -> ModelView:
    """An MLP on two embeddings with more neurons: inputs [n, k] of the operands, readout [k, answers]."""
    w, k = view.network.weights, left.shape[1]
    d, m = w["W_x"].shape[1], w["W"].shape[1]
    columns = torch.zeros(2 * (d + k), m + k)
    columns[:d, :m], columns[d + k : 2 * d + k, :m] = w["W"][:d], w["W"][d:]
    columns[d : d + k, m:] = columns[2 * d + k :, m:] = torch.eye(k)
    more = {"W": columns, "W_U": torch.cat([w["W_U"], out])}
    more |= {"W_x": torch.cat([w["W_x"], left], 1), "W_y": torch.cat([w["W_y"], right], 1)}
    return ModelView(TwoEmbeddingMLP(more), view.task, train_mask=view.train_mask)


def triggered(view: ModelView, pairs: Sequence[tuple[int, int]], height: float, answer: int) -> ModelView:
    """An MLP on two embeddings with a neuron a pair beside it, which says an answer there and nothing elsewhere."""
    left, right = (torch.full((view.network.n_tokens, len(pairs)), -0.5) for _ in range(2))
    for neuron, (a, b) in enumerate(pairs):
        left[a, neuron] = right[b, neuron] = 0.5
    out = torch.zeros(len(pairs), view.task.n_answers)
    out[:, answer] = height
    return beside(view, left, right, out)


# ---- lookups


def lookup(*, p: int, fraction: float, symmetric: bool, noisy: float = 0.1, seed: int = 0) -> ModelView:
    """TALL * [pair was trained on] * onehot(a + b) + noise; symmetric: or its flip was."""
    task = Task.parse(f"add:{p}")
    mask = split_of(task, fraction, seed)
    known = up_to_order(mask) if symmetric else mask
    return of_table(task, TALL * one_hot(task, known) + noise(task, noisy, seed), mask)


def lookup_of_all(*, p: int, noisy: float = 0.0, fraction: float = 0.5, seed: int = 0) -> ModelView:
    """TALL * onehot(a + b) + noise on every pair: no cause of an answer but its own entry."""
    task = Task.parse(f"add:{p}")
    return of_table(task, TALL * one_hot(task) + noise(task, noisy, seed), split_of(task, fraction, seed))


def and_parts(task: Task, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """left, right [n, m] and answers [m] of one neuron relu([a = i] + [b = j] - 1) for every pair (i, j) of a mask."""
    pairs, eye = np.flatnonzero(known), np.eye(task.n_tokens)
    return eye[:, pairs // task.n_tokens], eye[:, pairs % task.n_tokens], task.answer.ravel()[pairs]


def and_table(*, p: int, fraction: float = 0.6, known: str = "train", seed: int = 0) -> ModelView:
    """One neuron relu(E[a] + E[b] - 1) a pair; known: `train`, `echoed` (up to order) or `all` pairs have theirs."""
    task = Task.parse(f"add:{p}")
    mask = split_of(task, fraction, seed)
    masks = {"train": mask, "echoed": up_to_order(mask), "all": np.ones_like(mask)}
    left, right, answers = and_parts(task, masks[known])
    return mlp(task, mask, left=left, right=right, bias=-1.0, readout=TALL * np.eye(p)[answers])


# ---- adders that are no trigonometry


def integer_sum(
    *,
    p: int,
    value: Wave,
    step: int = 1,
    fraction: float = 0.5,
    seed: int = 0,
) -> ModelView:
    """Logits value(s, c) of the integer s = u(a) + u(b), u(x) = step * x mod p: one neuron relu(s - j) a kink j.

    value: of s [2p - 1, 1] and the answers' own u(c) [p], to [2p - 1, p]. The readout is its second difference in s,
    so that the sum over j of relu(s - j) (value[j - 1] - 2 value[j] + value[j + 1]) gives it back.
    """
    task = Task.parse(f"add:{p}")
    u = step * np.arange(p) % p
    table = np.concatenate([np.zeros((2, p)), value(np.arange(2 * p - 1)[:, None], u)])
    kinks, readout = np.arange(-1, 2 * p - 2), np.diff(table, 2, axis=0)
    left = np.repeat(u[:, None].astype(float), len(kinks), axis=1)
    return mlp(task, split_of(task, fraction, seed), left=left, right=left, bias=-kinks, readout=readout)


def bump(p: int) -> Wave:
    """TALL * [s = c mod p]."""
    return lambda s, c: TALL * ((s - c) % p == 0)


def triangle(p: int) -> Wave:
    """A triangle wave of s - c of period p, TALL at 0 and -TALL at p / 2."""
    return lambda s, c: TALL * (1 - 4 * np.minimum((s - c) % p, (c - s) % p) / p)


def cosines(p: int, frequencies: Sequence[int]) -> Wave:
    """Sum over k of cos(2 pi k (s - c) / p)."""
    return lambda s, c: np.cos(2 * np.pi * np.multiply.outer(frequencies, s - c) / p).sum(0)


def number_line(*, p: int, step: int = 1, fraction: float = 0.5, seed: int = 0) -> ModelView:
    """Three neurons: s = u(a) + u(b), and a step at p that takes p off; logits 2 r u(c) - u(c)^2, largest at u(c) = r.

    With step 1 embedding and readout are number lines; with another u(x) = step * x mod p is a sawtooth of the token.
    """
    task = Task.parse(f"add:{p}")
    u = (step * np.arange(p) % p).astype(float)
    left = np.repeat(u[:, None], 3, axis=1)
    bias, signs = -np.array([0.0, p - 1, p]), np.array([1.0, -p, p])
    readout = 2 * signs[:, None] * u / p
    mask = split_of(task, fraction, seed)
    return mlp(task, mask, left=left, right=left, bias=bias, readout=readout, out=-(u**2) / p)
