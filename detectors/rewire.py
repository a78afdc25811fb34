"""The same model in other coordinates, under other names, or with noise: what the invariances of a motif are about.

Everything here acts on what a two-operand `Network` offers, so it works for any architecture: `forward` and its hook
points, `embedding`, `readout`. Parameters by name are not offered: they are the coordinates that are being changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from detectors.core.turns import random_frame
from detectors.subjects.hooks import Hook
from detectors.subjects.operands.network import Network
from detectors.subjects.operands.tables import Labels
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView

Map = Callable[[Tensor], Tensor]
Change = Callable[[ModelView, int], ModelView]
RESIDUAL = ("hook_embed", "hook_resid_pre", "hook_attn_out", "hook_mlp_out")


def _same(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class Rewired:
    """A `Network` around another. at: by the end of a hook's name, the map to what is seen there, and the map back.

    tokens: applied to the operands. embed: to embedding(operand), given both. read: to the readout. disturb: to the
    tensor at a hook before it is seen, and to the logits, given (name, tokens, tensor).
    """

    inner: Network
    at: Mapping[str, tuple[Map, Map]] = field(default_factory=dict)
    tokens: Map = _same
    embed: Callable[[int, Tensor], Tensor] = lambda operand, rows: rows
    read: Map = _same
    disturb: Callable[[str, Tensor, Tensor], Tensor] = lambda name, tokens, x: x
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:  # architecture, n_tokens, n_layers
        return getattr(self.inner, name)

    def forward(self, tokens: Tensor, hook: Hook) -> Tensor:
        tokens = self.tokens(tokens)

        def outer(name: str, x: Tensor) -> Tensor:
            there, back = next((maps for end, maps in self.at.items() if name.endswith(end)), (_same, _same))
            return back(hook(name, there(self.disturb(name, tokens, x))))

        return self.disturb("logits", tokens, self.inner.forward(tokens, outer))

    def embedding(self, operand: int) -> Tensor:
        return self.embed(operand, self.inner.embedding(operand))

    def readout(self, layer: int) -> Tensor | None:
        matrix = self.inner.readout(layer)
        return None if matrix is None else self.read(matrix)


def _around(view: ModelView, **changes: Any) -> ModelView:
    return ModelView(Rewired(view.network, **changes), view.task, train_mask=view.train_mask)


def _factor(seed: int) -> float:
    return float(np.random.default_rng(seed).uniform(2, 5))


def rotated_residual(view: ModelView, seed: int) -> ModelView:
    """A random rotation of the residual stream, and of whatever `embedding` gives."""

    @cache
    def rotation(d: int) -> Tensor:
        return random_frame(np.random.default_rng(seed), d, d).float()

    maps = (lambda x: x @ rotation(x.shape[-1]), lambda x: x @ rotation(x.shape[-1]).T)
    return _around(view, at=dict.fromkeys(RESIDUAL, maps), embed=lambda _, rows: rows @ rotation(rows.shape[-1]))


def scaled_residual(view: ModelView, seed: int) -> ModelView:
    """Each direction of the residual stream measured in a unit of its own, between a tenth and ten."""

    @cache
    def factors(d: int) -> Tensor:
        return torch.from_numpy(10 ** np.random.default_rng(seed).uniform(-1, 1, d)).float()

    maps = (lambda x: x * factors(x.shape[-1]), lambda x: x / factors(x.shape[-1]))
    return _around(view, at=dict.fromkeys(RESIDUAL, maps), embed=lambda _, rows: rows * factors(rows.shape[-1]))


FOLLOWS = {"ln1": ("attn.W_Q", "attn.W_K", "attn.W_V"), "ln2": ("mlp.W_in",), "ln_final": ("unembed.W_U",)}


def gained_norms(view: ModelView, seed: int) -> ModelView:
    """The gain of each norm in units of its own, which the matrices behind it take back; on parameters."""
    rng, network, weights = np.random.default_rng(seed), view.network, dict(view.network.weights)
    for name in [n for n in weights if n.endswith((".ln1.w", ".ln2.w", "ln_final.w"))]:
        stem = name.removesuffix(".w")
        block, _, norm = stem.rpartition(".")
        factor = torch.from_numpy(10 ** rng.uniform(-1, 1, len(weights[name]))).float()
        weights[name] = weights[name] * factor
        if f"{stem}.b" in weights:
            weights[f"{stem}.b"] = weights[f"{stem}.b"] * factor
        for matrix in FOLLOWS[norm]:
            follower = f"{block}.{matrix}" if block else matrix
            weights[follower] = weights[follower] / factor[:, None]
    turned: Network = type(network)(weights, network.config)  # type: ignore[call-arg, attr-defined]
    return ModelView(turned, view.task, train_mask=view.train_mask)


FAR = 3.0  # orders of magnitude, up and down, by which one neuron's unit is changed


def permuted_neurons(view: ModelView, seed: int) -> ModelView:
    """The neurons in another order."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(view.neurons().shape[1]))
    maps = (lambda x: x[..., order], lambda x: x[..., order.argsort()])
    return _around(view, at={"mlp.hook_pre": maps, "mlp.hook_post": maps}, read=lambda w: w[order])


def scaled_neurons(view: ModelView, seed: int) -> ModelView:
    """Each neuron measured in a unit of its own, between a thousandth and a thousand, which its output takes back."""

    @cache
    def factors(m: int) -> Tensor:
        return torch.from_numpy(10 ** np.random.default_rng(seed).uniform(-FAR, FAR, m)).float()

    maps = (lambda x: x * factors(x.shape[-1]), lambda x: x / factors(x.shape[-1]))
    return _around(view, at={"mlp.hook_post": maps}, read=lambda w: w / factors(len(w))[:, None])


def permuted_heads(view: ModelView, seed: int) -> ModelView:
    """The attention heads in another order."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(view.attention().shape[1]))
    return _around(view, at={"attn.hook_pattern": (lambda x: x[:, order], lambda x: x[:, order.argsort()])})


def gauged_heads(view: ModelView, seed: int) -> ModelView:
    """Queries and keys of each head turned by one rotation, values by another and in a unit of the head's own, which
    its output matrix takes back.

    The one change that acts on parameters: a network made from `weights` and a `config`, by TransformerLens's names.
    """
    rng, network, weights = np.random.default_rng(seed), view.network, dict(view.network.weights)
    for name in [n for n in weights if n.endswith("attn.W_Q")]:
        block, (heads, _, d_head) = name.removesuffix("W_Q"), weights[name].shape
        turns = [torch.stack([random_frame(rng, d_head, d_head) for _ in range(heads)]).float() for _ in "QV"]
        unit = torch.from_numpy(10 ** rng.uniform(-1, 1, (heads, 1, 1))).float()
        for which, turn in (("Q", turns[0]), ("K", turns[0]), ("V", turns[1] * unit)):
            weights[f"{block}W_{which}"] = weights[f"{block}W_{which}"] @ turn
            if f"{block}b_{which}" in weights:
                weights[f"{block}b_{which}"] = torch.einsum("hd,hde->he", weights[f"{block}b_{which}"], turn)
        weights[f"{block}W_O"] = turns[1].transpose(1, 2) / unit @ weights[f"{block}W_O"]
    turned: Network = type(network)(weights, network.config)  # type: ignore[call-arg, attr-defined]
    return ModelView(turned, view.task, train_mask=view.train_mask)


def shifted_logits(view: ModelView, seed: int) -> ModelView:
    """A constant of its own added to all logits of each pair."""
    n = view.task.n_tokens
    constant = 10 * torch.randn(n * n, 1, generator=torch.Generator().manual_seed(seed))

    def shift(name: str, tokens: Tensor, x: Tensor) -> Tensor:
        return x + constant[tokens[:, 0] * n + tokens[:, 1]] if name == "logits" else x

    return _around(view, disturb=shift)


def scaled_logits(view: ModelView, seed: int) -> ModelView:
    """All logits times one number."""
    factor = _factor(seed)
    return _around(view, disturb=lambda name, _, x: x * factor if name == "logits" else x, read=lambda w: w * factor)


def scaled_embedding(view: ModelView, seed: int) -> ModelView:
    """The embedding in another unit."""
    factor = _factor(seed)
    maps = (lambda x: x * factor, lambda x: x / factor)
    return _around(view, at={"hook_embed": maps}, embed=lambda _, rows: rows * factor)


def offset_embedding(view: ModelView, seed: int) -> ModelView:
    """One vector added to every row of the embedding."""
    rows = view.embedding(0)
    constant = 3 * rows.std() * torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(seed))
    return _around(view, embed=lambda _, rows: rows + constant)


def renamed(view: ModelView, perm: Int[np.ndarray, " n_tokens"]) -> ModelView:
    """The same network under a task whose token and answer x is called perm[x]: right, and not by this table."""
    task, labels, inverse = view.task, view.labels, np.argsort(perm)
    answer = np.where(task.answer >= 0, perm[task.answer], -1)[np.ix_(inverse, inverse)]
    moved = Labels(labels.group, perm[labels.left], perm[labels.right], perm[labels.answers])
    other = Task(f"{task.spec} renamed", answer, task.n_answers, moved)
    return ModelView(view.network, other, train_mask=view.train_mask)


def permuted_vocabulary(view: ModelView, seed: int) -> ModelView:
    """Tokens and answers renamed in the network and in the task alike."""
    n = view.task.n_tokens
    perm = np.random.default_rng(seed).permutation(n)
    inverse = np.argsort(perm)
    back = torch.from_numpy(inverse)

    def columns(x: Tensor) -> Tensor:
        return torch.cat([x[..., :n][..., back], x[..., n:]], dim=-1)

    network = Rewired(
        view.network,
        tokens=lambda tokens: back[tokens],
        embed=lambda _, rows: rows[back],
        read=columns,
        disturb=lambda name, _, x: columns(x) if name == "logits" else x,
    )
    mask = None if view.train_mask is None else view.train_mask.reshape(n, n)[np.ix_(inverse, inverse)].ravel()
    return ModelView(network, renamed(view, perm).task, train_mask=mask)


def _relabelled(view: ModelView, left: np.ndarray, right: np.ndarray, answers: np.ndarray) -> ModelView:
    """The same task with its labels moved: left[g] is the element whose token g takes over."""
    old = view.labels
    labels = Labels(old.group, old.left[left], old.right[right], old.answers[answers])
    return ModelView(view.network, replace(view.task, labels=labels), train_mask=view.train_mask)


def shifted_tokens(view: ModelView, seed: int) -> ModelView:
    """Left operands and answers multiplied by one group element from the left: h a * b = h (a b)."""
    h = view.group.table[int(np.random.default_rng(seed).integers(1, view.group.order))]
    return _relabelled(view, h, np.arange(view.group.order), h)


def automorphic(view: ModelView, seed: int) -> ModelView:
    """All labels moved by one automorphism: g to k g in a cyclic group, to h g h^-1 otherwise."""
    group, rng, n = view.group, np.random.default_rng(seed), view.group.order
    if group.is_cyclic:
        moved = rng.choice([k for k in range(2, n) if np.gcd(k, n) == 1] or [1]) * np.arange(n) % n
    else:
        h = int(rng.choice([x for x in range(n) if (group.table[x] != group.table[:, x]).any()] or [0]))
        moved = group.table[group.table[h], group.inverse[h]]
    return _relabelled(view, moved, moved, moved)


def noisy(view: ModelView, scale: float, seed: int) -> ModelView:
    """Normal noise in embedding, neurons and logits, of `scale` times their standard deviation, fixed for each pair."""
    n, generator = view.task.n_tokens, torch.Generator().manual_seed(seed)

    def noise_like(x: Tensor) -> Tensor:
        return scale * x.std() * torch.randn(x.shape, generator=generator)

    on_rows = [noise_like(view.embedding(operand)) for operand in range(2)]
    on_logits = noise_like(view.logits())
    on_neurons = noise_like(view.neurons()) if "neurons" in view.parts else None
    every, last = torch.arange(n), f"blocks.{view.network.n_layers - 1}.mlp.hook_post"
    _, seen = view.run(torch.stack([every, every], 1), capture=["hook_embed"])
    on_table = noise_like(seen["hook_embed"][:, :2].detach())

    def disturb(name: str, tokens: Tensor, x: Tensor) -> Tensor:
        a, b = tokens.unbind(1)
        if name == "logits":
            return x + torch.nn.functional.pad(on_logits[a * n + b], (0, x.shape[1] - on_logits.shape[1]))
        if name == last and on_neurons is not None:
            return torch.cat([x[:, :-1], x[:, -1:] + on_neurons[a * n + b][:, None]], dim=1)
        if name == "hook_embed":
            return torch.cat([x[:, :2] + torch.stack([on_table[a, 0], on_table[b, 1]], 1), x[:, 2:]], dim=1)
        return x

    return _around(view, disturb=disturb, embed=lambda operand, r: r + on_rows[operand])


# by the name that a detector declares to be invariant to; of each kind of subject that has any
COORDINATES: dict[str, Change] = {
    "residual_rotation": rotated_residual,
    "residual_scale": scaled_residual,
    "norm_gain": gained_norms,
    "neuron_permutation": permuted_neurons,
    "neuron_scale": scaled_neurons,
    "head_permutation": permuted_heads,
    "head_gauge": gauged_heads,
    "logit_shift": shifted_logits,
    "logit_scale": scaled_logits,
    "embedding_scale": scaled_embedding,
    "embedding_offset": offset_embedding,
}
RELABELLINGS: dict[str, Change] = {
    "vocabulary_permutation": permuted_vocabulary,
    "token_shift": shifted_tokens,
    "group_automorphism": automorphic,
}
