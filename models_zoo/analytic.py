"""Models that carry out a known algorithm exactly, by construction, and tables that carry out none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from detectors.core.groups import Group
from detectors.core.task import Task
from detectors.core.view import Hook, ModelView
from detectors.harness.adapters.mlp import TwoEmbeddingMLP


def random_split(task: Task, fraction: float | None, seed: int) -> np.ndarray | None:
    """[pairs] a random training mask over the pairs with an answer; None for fraction None."""
    if fraction is None:
        return None
    mask = np.zeros(task.n_tokens**2, dtype=bool)
    domain = task.domain
    mask[np.random.default_rng(seed).permutation(domain)[: int(fraction * len(domain))]] = True
    return mask


def trig_mlp(
    *,
    p: int,
    frequencies: Sequence[int],
    amplitudes: Sequence[float] | None = None,
    phases: int = 8,
    act_fn: str = "relu",
    train_fraction: float | None = None,
    seed: int = 0,
) -> ModelView:
    """a + b mod p by trigonometric identities: neurons act(cos(w a + s) + cos(w b + s)), read out by cos(w c + 2 s).

    For each frequency, `phases` equally spaced s. With act_fn square and five or more phases, not a multiple that
    aliases, the logits are exactly phases / 2 times the sum of (1 + cos(w (a - b))) cos(w (a + b - c)), so right on
    every pair for odd p; with relu they are that up to harmonics. Source: arXiv:2301.02679, section 3.

    >>> trig_mlp(p=7, frequencies=(1,), act_fn="square").logits().argmax(1)[:8].tolist()
    [0, 1, 2, 3, 4, 5, 6, 1]
    """
    if not frequencies or any(not 0 < k < p for k in frequencies):
        raise ValueError(f"frequencies lie in 1..{p - 1}, not {tuple(frequencies)}")
    alpha = [1.0] * len(frequencies) if amplitudes is None else list(amplitudes)
    w = torch.tensor([2 * np.pi * k / p for k in frequencies], dtype=torch.float64).repeat_interleave(phases)
    strength = torch.tensor(alpha, dtype=torch.float64).repeat_interleave(phases)
    s = (2 * np.pi * torch.arange(phases, dtype=torch.float64) / phases).repeat(len(frequencies))
    token = torch.arange(p, dtype=torch.float64)[:, None]
    operand = torch.cos(w * token + s)
    readout = strength[:, None] * torch.cos(w[:, None] * token.T + 2 * s[:, None])
    return _two_embedding(Task.parse(f"add:{p}"), operand, operand, readout, act_fn, train_fraction, seed)


def _two_embedding(
    task: Task, left: Tensor, right: Tensor, readout: Tensor, act_fn: str, train_fraction: float | None, seed: int
) -> ModelView:
    m = left.shape[1]
    weights = {"W_x": left, "W_y": right, "W": torch.eye(m).repeat(2, 1), "W_U": readout}
    network = TwoEmbeddingMLP({k: v.float().contiguous() for k, v in weights.items()}, act_fn)
    return ModelView(network, task, train_mask=random_split(task, train_fraction, seed))


def group_network(
    group: Group, irreps: Sequence[int], *, train_fraction: float | None = None, seed: int = 0
) -> ModelView:
    """Composition in any group: neurons are the matrix entries of the irreps at a b, and the readout those at c.

    irreps: indices into `group.irreps`. Logits: sum over them of character(a b c^-1) d / n, largest at c = a b, and
    nowhere else when the irreps are together faithful. Embeddings are the tokens' matrix entries, so every part holds
    these irreps alone. Source: arXiv:2302.03025, section 4.

    >>> group_network(Group.from_name("S3"), [2]).logits().argmax(1)[:6].tolist()
    [0, 1, 2, 3, 4, 5]
    """
    task = Task.parse(f"compose:{group.name}")
    columns = np.concatenate([group.basis[:, group.slices[i]] for i in irreps], axis=1)
    entries = torch.from_numpy(columns).float()
    network = _BilinearNetwork(entries @ entries.T, entries[torch.from_numpy(group.table)], entries.T.contiguous())
    return ModelView(network, task, train_mask=random_split(task, train_fraction, seed))


class _BilinearNetwork:
    """logits = (E[a] H E[b]) U: embedding E [n, n], products H [n, n, m], readout U [m, n]."""

    n_layers = 1

    def __init__(self, embedding: Tensor, products: Tensor, readout: Tensor) -> None:
        self.n_tokens = len(embedding)
        self.weights = {"E": embedding, "H": products, "U": readout}
        self.architecture = {"kind": "bilinear", "n_tokens": self.n_tokens, "d_mlp": len(readout)}

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        a, b = hook("hook_embed", self.weights["E"][tokens]).unbind(1)
        neurons = torch.einsum("pb,pbm->pm", b, torch.tensordot(a, self.weights["H"], 1))
        logits: Tensor = hook("blocks.0.mlp.hook_post", neurons[:, None])[:, 0] @ self.weights["U"]
        return logits

    def embedding(self, operand: int) -> Tensor:
        return self.weights["E"]

    def readout(self, layer: int) -> Tensor:
        return self.weights["U"]


class _TableNetwork:
    """Logits looked up pair by pair: one-hot embeddings, one neuron a pair."""

    n_layers = 1

    def __init__(self, logits: Tensor, n_tokens: int) -> None:
        self.n_tokens, self.logits = n_tokens, logits
        self.weights = {"logits": logits}
        self.architecture = {"kind": "lookup table", "n_tokens": n_tokens}

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        one_hot = torch.eye(self.n_tokens)
        a, b = hook("hook_embed", torch.stack([one_hot[tokens[:, 0]], one_hot[tokens[:, 1]]], 1)).unbind(1)
        pair = hook("blocks.0.mlp.hook_post", torch.einsum("pa,pb->pab", a, b).flatten(1)[:, None])
        logits: Tensor = pair[:, 0] @ self.logits
        return logits

    def embedding(self, operand: int) -> Tensor:
        return torch.eye(self.n_tokens)

    def readout(self, layer: int) -> Tensor:
        return self.logits


def lookup_table(
    task: str, *, train_fraction: float, noise: float = 0.1, scale: float = 10.0, seed: int = 0
) -> ModelView:
    """A table of the training pairs: their answers at `scale`, everything else normal noise. Right on all of them.

    Source: the dense-spectrum memoriser of arXiv:2311.07568, appendix D, here with noise on the other pairs.
    """
    spec = Task.parse(task)
    mask = random_split(spec, train_fraction, seed)
    assert mask is not None
    generator = torch.Generator().manual_seed(seed)
    logits = noise * torch.randn(spec.n_tokens**2, spec.n_answers, generator=generator)
    pairs = torch.from_numpy(np.flatnonzero(mask))
    logits[pairs, torch.from_numpy(spec.answer.ravel())[pairs]] += scale
    return ModelView(_TableNetwork(logits, spec.n_tokens), spec, train_mask=mask)


def logit_mixture(
    task: str, *, circuit: float, table: float, noise: float = 0.1, train_fraction: float = 0.5, seed: int = 0
) -> ModelView:
    """circuit * [a b c^-1 = 1] + table * [training pair's answer] + noise: a point of the plane of G and M.

    The circuit is the indicator of a b c^-1 = 1, the sum of all irreps' characters weighted by degree / n.
    """
    view = lookup_table(task, train_fraction=train_fraction, noise=noise, scale=table, seed=seed)
    labels = view.labels
    g = labels.group
    delta = torch.zeros(g.order)
    delta[g.identity] = circuit
    structured = delta[torch.from_numpy(g.table[:, g.inverse])][torch.from_numpy(g.table.reshape(-1))]
    logits = view.weight("logits").clone()
    logits[view.grid.reshape(-1)[:, None], torch.from_numpy(labels.answers)] += structured
    return ModelView(_TableNetwork(logits, view.task.n_tokens), view.task, train_mask=view.train_mask)
