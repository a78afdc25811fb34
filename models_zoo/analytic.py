"""Models that carry out a known algorithm exactly, by construction, and tables that carry out none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from detectors.core.groups import Group
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.loading.transformer import Architecture, SequenceTransformer
from detectors.subjects.hooks import Hook
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from detectors.subjects.sequences.view import SequenceView


def random_split(task: Task, fraction: float | None, seed: int) -> np.ndarray | None:
    """[pairs] a random training mask over the pairs with an answer; None for fraction None."""
    return None if fraction is None else split_of(task, fraction, seed)


def split_of(task: Task, fraction: float, seed: int) -> np.ndarray:
    """[pairs] a random training mask over the pairs with an answer."""
    mask = np.zeros(task.n_tokens**2, dtype=bool)
    domain = task.domain
    mask[np.random.default_rng(seed).permutation(domain)[: int(fraction * len(domain))]] = True
    return mask


def trig_mlp(
    *,
    p: int,
    frequencies: Sequence[int],
    amplitudes: Sequence[float] | None = None,
    phases: int | None = None,
    act_fn: str = "relu",
    train_fraction: float | None = None,
    seed: int = 0,
) -> ModelView:
    """a + b mod p by trigonometric identities: neurons act(cos(w a + s) + cos(w b + s)), read out by cos(w c + 2 s).

    For each frequency, `phases` equally spaced s, nine or as many more as p asks for. With act_fn square the logits
    are exactly phases / 2 times the sum of (1 + cos(w (a - b))) cos(w (a + b - c)); with relu |cos(w (a - b) / 2)|
    stands in front, and what is left of higher harmonics is too little to change an answer. So they are right on every
    pair where p is odd and no number divides p and all frequencies. Source: arXiv:2301.02679, section 3.

    >>> trig_mlp(p=7, frequencies=(1,), act_fn="square").logits().argmax(1)[:8].tolist()
    [0, 1, 2, 3, 4, 5, 6, 1]
    """
    if not frequencies or any(not 0 < k < p for k in frequencies):
        raise ValueError(f"frequencies lie in 1..{p - 1}, not {tuple(frequencies)}")
    phases = enough_phases(p) if phases is None else phases
    alpha = [1.0] * len(frequencies) if amplitudes is None else list(amplitudes)
    w = torch.tensor([2 * np.pi * k / p for k in frequencies], dtype=torch.float64).repeat_interleave(phases)
    strength = torch.tensor(alpha, dtype=torch.float64).repeat_interleave(phases)
    s = (2 * np.pi * torch.arange(phases, dtype=torch.float64) / phases).repeat(len(frequencies))
    token = torch.arange(p, dtype=torch.float64)[:, None]
    operand = torch.cos(w * token + s)
    readout = strength[:, None] * torch.cos(w[:, None] * token.T + 2 * s[:, None])
    return two_embedding(Task.parse(f"add:{p}"), operand, operand, readout, act_fn, train_fraction, seed)


def enough_phases(p: int) -> int:
    """The odd number of phases, at least nine, with which a ReLU network mod p answers every pair.

    Of the harmonics h of ReLU, with amplitudes 1 / (h^2 - 1), the readout sums those with h = +-2 modulo the phases.
    For an odd number the first even one after 2 is h = 2 phases - 2; it is outweighed where 3 / (h^2 - 1) < pi / p.
    """
    least = math.ceil((math.sqrt(3 * p / math.pi + 1) + 2) / 2)
    return max(9, least + 1 - least % 2)


def two_embedding(
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


def induction_head(*, n_tokens: int, n_ctx: int, sharpness: float = 60.0) -> SequenceView:
    """Two attention-only layers that continue what repeats, exactly: a previous-token head and an induction head.

    The residual stream holds one-hot blocks [token, position, token before, answer]. Head 0.0 attends from position i
    to i - 1 and writes that token into the third block; head 1.0 attends from a token to where the same token stands
    in the third block and writes the token there into the fourth, which is unembedded. `sharpness` is the score of a
    match. Source: arXiv:2209.11895; the composition of two heads is that of "A Mathematical Framework for
    Transformer Circuits", section "Induction heads".

    >>> view = induction_head(n_tokens=9, n_ctx=9)
    >>> view.run(torch.tensor([[0, 5, 2, 7, 5, 2, 7, 5]]))[0].argmax(-1)[0, 4:].tolist()
    [2, 7, 5, 2]
    """
    v, n = n_tokens, n_ctx
    d_model, d_head = 3 * v + n, max(v, n)
    token, place, before, answer = (slice(k, k + size) for k, size in ((0, v), (v, n), (v + n, v), (2 * v + n, v)))
    weights = {"embed.W_E": torch.eye(v, d_model), "pos_embed.W_pos": torch.zeros(n, d_model)}
    weights["pos_embed.W_pos"][:, place] = torch.eye(n)
    for layer in range(2):
        for which in "QKV":
            weights[f"blocks.{layer}.attn.W_{which}"] = torch.zeros(1, d_model, d_head)
        weights[f"blocks.{layer}.attn.W_O"] = torch.zeros(1, d_head, d_model)
    scale = sharpness * d_head**0.5
    weights["blocks.0.attn.W_Q"][0, place, :n] = scale * torch.eye(n)
    weights["blocks.0.attn.W_K"][0, place, :n] = torch.eye(n).roll(1, dims=1)  # position j answers to query j + 1
    weights["blocks.1.attn.W_Q"][0, token, :v] = scale * torch.eye(v)
    weights["blocks.1.attn.W_K"][0, before, :v] = torch.eye(v)
    for layer, block in enumerate((before, answer)):
        weights[f"blocks.{layer}.attn.W_V"][0, token, :v] = torch.eye(v)
        weights[f"blocks.{layer}.attn.W_O"][0, :v, block] = torch.eye(v)
    weights["unembed.W_U"] = torch.zeros(d_model, v)
    weights["unembed.W_U"][answer] = torch.eye(v)
    architecture = Architecture(
        n_layers=2, d_model=d_model, n_heads=1, d_head=d_head, d_mlp=0, n_ctx=n, d_vocab=v, d_vocab_out=v, n_tokens=v
    )
    return SequenceView(SequenceTransformer(weights, architecture), "repeat")
