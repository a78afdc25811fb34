"""Initial weights of the zoo's architectures. The forward pass is the one that scores: `detectors.loading`.

Source of the initialisation: the code of arXiv:2301.05217 (standard normal over the root of the fan-in).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.loading.transformer import Architecture, SequenceTransformer, Transformer
from detectors.subjects.operands.task import Task
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.tasks import of_sequences

STANDARD: dict[str, dict[str, Any]] = {
    "transformer": {
        "n_layers": 1,
        "d_model": 128,
        "n_heads": 4,
        "d_head": 32,
        "d_mlp": 256,
        "n_ctx": 3,
        "act_fn": "relu",
    },
    "mlp": {"d_model": 64, "d_mlp": 128, "act_fn": "relu"},
}


def complete(model: dict[str, Any], task: Task | SequenceTask) -> dict[str, Any]:
    """A card's `model` table with the standard sizes where it says nothing, and those that the task decides.

    A model of sequences states its vocabulary itself.
    """
    if of_sequences(task):
        return {**STANDARD["transformer"], "n_tokens": model["d_vocab"], "d_vocab_out": model["d_vocab"], **model}
    n = task.n_tokens
    full = {**STANDARD[model["kind"]], **model, "n_tokens": n, "d_vocab_out": task.n_answers}
    return full if model["kind"] == "mlp" else {"d_vocab": n + full["n_ctx"] - 2, **full}


def transformer_weights(model: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
    """Weights by TransformerLens's names for a `model` table of config.json with `kind = "transformer"`."""

    def normal(*shape: int, fan_in: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / fan_in**0.5

    d, heads, d_head, d_mlp = model["d_model"], model["n_heads"], model["d_head"], model["d_mlp"]
    weights = {
        "embed.W_E": normal(model["d_vocab"], d, fan_in=d),
        "pos_embed.W_pos": normal(model["n_ctx"], d, fan_in=d),
    }
    for i in range(model["n_layers"]):
        for which in "QKV":
            weights[f"blocks.{i}.attn.W_{which}"] = normal(heads, d, d_head, fan_in=d)
        weights[f"blocks.{i}.attn.W_O"] = normal(heads, d_head, d, fan_in=d)
        if d_mlp:
            weights[f"blocks.{i}.mlp.W_in"] = normal(d, d_mlp, fan_in=d)
            weights[f"blocks.{i}.mlp.b_in"] = torch.zeros(d_mlp)
            weights[f"blocks.{i}.mlp.W_out"] = normal(d_mlp, d, fan_in=d)
            weights[f"blocks.{i}.mlp.b_out"] = torch.zeros(d)
        if model.get("normalization_type") == "LN":
            weights |= _norm(f"blocks.{i}.ln1", d) | _norm(f"blocks.{i}.ln2", d)
        if model.get("biases"):
            weights |= {f"blocks.{i}.attn.b_{which}": torch.zeros(heads, d_head) for which in "QKV"}
            weights[f"blocks.{i}.attn.b_O"] = torch.zeros(d)
    if model.get("normalization_type") == "LN":
        weights |= _norm("ln_final", d)
    weights["unembed.W_U"] = normal(d, model["d_vocab_out"], fan_in=model["d_vocab_out"])
    return weights


def _norm(name: str, d: int) -> dict[str, Tensor]:
    return {f"{name}.w": torch.ones(d), f"{name}.b": torch.zeros(d)}


def mlp_weights(model: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
    """Weights of a two-embedding MLP: `d_model` per embedding, `d_mlp` neurons."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / shape[0] ** 0.5

    n, d, m = model["n_tokens"], model["d_model"], model["d_mlp"]
    return {"W_x": normal(n, d), "W_y": normal(n, d), "W": normal(2 * d, m), "W_U": normal(m, model["d_vocab_out"])}


def initial_weights(model: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Untrained weights of the architecture that a `model` table describes."""
    generator = torch.Generator().manual_seed(seed)
    return (mlp_weights if model["kind"] == "mlp" else transformer_weights)(model, generator)


def network(
    model: dict[str, Any], weights: dict[str, Tensor], task: Task | SequenceTask
) -> Transformer | TwoEmbeddingMLP:
    """The network whose parameters are these very tensors, so that gradients reach them."""
    if model["kind"] == "mlp":
        return TwoEmbeddingMLP(weights, model.get("act_fn", "relu"))
    fields = {k: v for k, v in model.items() if k in Architecture.__dataclass_fields__}
    if of_sequences(task):
        return SequenceTransformer(weights, Architecture(**fields))
    return Transformer(weights, Architecture(**fields | {"n_tokens": task.n_tokens}))
