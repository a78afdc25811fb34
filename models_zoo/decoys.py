"""Models that look like a circuit to a careless detector, one for each way of being fooled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.loading.transformer import Architecture, Transformer
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from detectors.subjects.tasks import of_two_operands
from models_zoo.analytic import random_split, trig_mlp
from models_zoo.architectures import complete, initial_weights


def trained(name: str) -> tuple[ModelView, dict[str, Tensor]]:
    """A trained member and a copy of its weights."""
    from detectors.loading.load import load

    view = of_two_operands(load(f"zoo:{name}"))
    return view, {k: v.clone() for k, v in view.network.weights.items()}


def _rebuilt(view: ModelView, weights: dict[str, Tensor]) -> ModelView:
    """The view with other weights; residual and neuron widths follow them."""
    if isinstance(view.network, TwoEmbeddingMLP):
        network = TwoEmbeddingMLP(weights, str(view.network.architecture["act_fn"]))
        return ModelView(network, view.task, train_mask=view.train_mask)
    assert isinstance(view.network, Transformer)
    d_model, d_mlp = weights["blocks.0.mlp.W_in"].shape
    transformer = Transformer(weights, replace(view.network.config, d_model=d_model, d_mlp=d_mlp))
    return ModelView(transformer, view.task, train_mask=view.train_mask)


def unread_fourier_embedding(*, of: str, frequencies: list[int], size: float = 10.0) -> ModelView:
    """A memoriser with new residual dimensions that hold cosines and sines of the tokens and that nothing reads."""
    view, weights = trained(of)
    p, extra = view.task.n_tokens, 2 * len(frequencies)
    angle = 2 * np.pi * np.outer(np.arange(len(weights["embed.W_E"])), frequencies) / p
    columns = torch.from_numpy(size * np.concatenate([np.cos(angle), np.sin(angle)], axis=1)).float()
    for name, tensor in weights.items():
        if name == "embed.W_E":
            weights[name] = torch.cat([tensor, columns], dim=1)
        elif name.endswith(("W_pos", "W_O", "W_out", "b_O", "b_out")):
            weights[name] = torch.nn.functional.pad(tensor, (0, extra))
        elif name.endswith(("W_Q", "W_K", "W_V", "W_in", "W_U")):
            weights[name] = torch.nn.functional.pad(tensor, (0, 0, 0, extra))
    return _rebuilt(view, weights)


def sparse_memoriser(*, p: int, frequencies: list[int], train_fraction: float, seed: int = 0) -> ModelView:
    """A lookup table of a + b mod p read through a sparse Fourier embedding: one neuron a training pair.

    Neuron (a0, b0) is relu(sum over k of cos(w_k (a - a0)) + cos(w_k (b - b0)) - (2 K - margin)), which is positive at
    its own pair alone where the margin is under the gap to the next-best token.
    """
    task = Task.parse(f"add:{p}")
    mask = random_split(task, train_fraction, seed)
    assert mask is not None
    angle = 2 * np.pi * np.outer(np.arange(p), frequencies) / p
    embedding = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    similarity = embedding @ embedding.T
    margin = 0.5 * float(len(frequencies) - np.max(similarity - 2 * p * np.eye(p)))
    pairs = np.flatnonzero(mask)
    left, right = embedding[pairs // p], embedding[pairs % p]
    readout = np.zeros((len(pairs), p))
    readout[np.arange(len(pairs)), task.answer.ravel()[pairs]] = 10 / margin
    weights = {
        "W_x": embedding,
        "W_y": embedding,
        "W": np.concatenate([left.T, right.T]),
        "b_in": np.full(len(pairs), margin - 2.0 * len(frequencies)),
        "W_U": readout,
    }
    network = TwoEmbeddingMLP({k: torch.from_numpy(v).float().contiguous() for k, v in weights.items()})
    return ModelView(network, task, train_mask=mask)


def wrong_phases(*, p: int, frequencies: list[int], train_fraction: float, seed: int = 0) -> ModelView:
    """The neurons of `trig_mlp`, each read out with its phase reversed: logits cos(w (a + b + c)), of no a + b - c.

    With random phases instead, a few neurons would by chance vote for the right answer now and then.
    """
    view = trig_mlp(p=p, frequencies=frequencies, train_fraction=train_fraction, seed=seed)
    weights = dict(view.network.weights)
    weights["W_U"] = weights["W_U"][:, -torch.arange(p) % p].contiguous()
    return ModelView(TwoEmbeddingMLP(weights), view.task, train_mask=view.train_mask)


def shuffled_readout(*, of: str, seed: int = 0) -> ModelView:
    """A trained transformer whose neurons write each other's output, shuffled until it votes against the right answer.

    A few frequencies leave room for chance: of random shuffles some still favour the right answer a little, and as G
    does not depend on the scale of the logits they do hold something that generalises. Here the mean logit of the
    right answer is below that of all answers, so that no temperature makes the structured part better than chance.
    """
    view, weights = trained(of)
    name, rng = f"blocks.{view.network.n_layers - 1}.mlp.W_out", np.random.default_rng(seed)
    matrix, answers = weights[name], torch.from_numpy(view.task.answer.ravel())
    known = torch.nonzero(answers >= 0).squeeze(1)
    while True:
        weights[name] = matrix[torch.from_numpy(rng.permutation(len(matrix)))]
        shuffled = _rebuilt(view, weights)
        logits = shuffled.logits()[known]
        if logits[range(len(known)), answers[known]].mean() < logits.mean():
            return shuffled


def rank_matched_random(*, of: str, seed: int = 0) -> ModelView:
    """Random weights with the singular values of a trained transformer, matrix by matrix."""
    return matched(trained(of)[0], seed=seed)


def matched(view: ModelView, *, seed: int = 0) -> ModelView:
    """The network with every matrix replaced by a random one of the same singular values."""
    weights = {k: v.clone() for k, v in view.network.weights.items()}
    rng = np.random.default_rng(seed)
    for name, tensor in weights.items():
        if tensor.ndim >= 2:
            matrix = tensor.double().numpy()
            rows, columns = (np.linalg.qr(rng.standard_normal((n, n)))[0] for n in matrix.shape[-2:])
            values = np.linalg.svd(matrix, compute_uv=False)
            k = values.shape[-1]
            weights[name] = torch.from_numpy(rows[:, :k] * values[..., None, :] @ columns[:k]).float()
    return _rebuilt(view, weights)


def relabelled_tokens(*, of: str, seed: int = 0) -> ModelView:
    """A trained transformer whose tokens and answers have been renamed, under the task that it had before."""
    view, weights = trained(of)
    n = view.task.n_tokens
    perm = torch.from_numpy(np.random.default_rng(seed).permutation(n))
    weights["embed.W_E"][:n] = weights["embed.W_E"][:n][perm]
    weights["unembed.W_U"][:, :n] = weights["unembed.W_U"][:, :n][:, perm]
    return _rebuilt(view, weights)


def dead_and_constant_neurons(*, of: str, dead: int, constant: int) -> ModelView:
    """A trained transformer with new neurons beside its own: some that never fire and some that always give one."""
    view, weights = trained(of)
    name, new = f"blocks.{view.network.n_layers - 1}.mlp.", dead + constant
    bias = torch.cat([torch.full((dead,), -1.0), torch.full((constant,), 1.0)])
    weights[name + "W_in"] = torch.nn.functional.pad(weights[name + "W_in"], (0, new))
    weights[name + "b_in"] = torch.cat([weights[name + "b_in"], bias])
    weights[name + "W_out"] = torch.nn.functional.pad(weights[name + "W_out"], (0, 0, 0, new))
    return _rebuilt(view, weights)


def huge_constant_embedding(*, task: str, size: float = 100.0, train_fraction: float = 0.4, seed: int = 0) -> ModelView:
    """An untrained transformer with one large vector added to every token."""
    parsed = Task.parse(task)
    model = complete({"kind": "transformer"}, parsed)
    weights = initial_weights(model, seed)
    constant = torch.randn(model["d_model"], generator=torch.Generator().manual_seed(seed))
    weights["embed.W_E"] = weights["embed.W_E"] + size * constant
    fields = {k: v for k, v in model.items() if k in Architecture.__dataclass_fields__}
    network = Transformer(weights, Architecture(**fields))
    return ModelView(network, parsed, train_mask=random_split(parsed, train_fraction, seed))
