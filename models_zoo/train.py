"""Full-batch training of a card's recipe, in plain torch.

Source of the recipe: arXiv:2301.05217, section 3 (AdamW, learning rate 1e-3, betas 0.9 and 0.98, ten steps
of warm-up, full batch); log-softmax in float64 as in its code, since a float32 loss stalls near 1e-7.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detectors.core.task import Task
from models_zoo.architectures import initial_weights, network

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
Report = Callable[[int, float, float, float, float], None]


def cards() -> dict[str, dict[str, Any]]:
    """Every member's card, by name."""
    return tomllib.loads((HERE / "cards.toml").read_text())


@dataclass(frozen=True)
class Trained:
    """weights: by name. train_indices: pair indices. losses: (step, train loss, test loss) as reported."""

    weights: dict[str, Tensor]
    train_indices: list[int]
    losses: list[tuple[int, float, float]]


def train(card: dict[str, Any], *, steps: int | None = None, report: Report | None = None, every: int = 50) -> Trained:
    """Train a card's recipe; the same card, seed and number of threads give the same weights.

    report: called with (step, train loss, test loss, train accuracy, test accuracy) every `every` steps.
    """
    recipe, task = card["recipe"], Task.parse(card["task"])
    steps = recipe["steps"] if steps is None else steps
    weights = {k: w.requires_grad_() for k, w in initial_weights(card["model"], recipe["seed"]).items()}
    net = network(card["model"], weights, task)
    domain = torch.from_numpy(task.domain)
    shuffled = domain[torch.randperm(len(domain), generator=torch.Generator().manual_seed(recipe["seed"]))]
    split = int(recipe["train_fraction"] * len(domain))
    train_pairs, test_pairs = shuffled[:split].sort().values, shuffled[split:].sort().values
    answers = torch.from_numpy(task.answer.ravel())
    optimizer = torch.optim.AdamW(
        weights.values(), lr=recipe["learning_rate"], weight_decay=recipe["weight_decay"], betas=(0.9, 0.98)
    )
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 10, 1.0))

    def loss_and_accuracy(pairs: Tensor) -> tuple[Tensor, float]:
        tokens = torch.stack([pairs // task.n_tokens, pairs % task.n_tokens], dim=1)
        logits = net.forward(tokens, lambda _, tensor: tensor)[:, : task.n_answers].double()
        loss = torch.nn.functional.cross_entropy(logits, answers[pairs])
        return loss, float((logits.argmax(1) == answers[pairs]).double().mean())

    losses = []
    for step in range(steps + 1):
        loss, accuracy = loss_and_accuracy(train_pairs)
        if step % every == 0 or step == steps:
            with torch.no_grad():
                test_loss, test_accuracy = loss_and_accuracy(test_pairs)
            losses.append((step, loss.item(), test_loss.item()))
            if report:
                report(step, loss.item(), test_loss.item(), accuracy, test_accuracy)
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            warm_up.step()
    return Trained({k: w.detach() for k, w in weights.items()}, train_pairs.tolist(), losses)


def save(folder: Path, card: dict[str, Any], trained: Trained) -> None:
    """Write `config.json` and `model.safetensors`, each atomically."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    kind, _, argument = card["task"].partition(":")
    config = {
        "model": card["model"],
        "task": {
            "op": kind,
            "p" if argument.isdecimal() else "of": int(argument) if argument.isdecimal() else argument,
        },
        "train_indices": trained.train_indices,
        "recipe": card["recipe"],
    }
    weights = {k: v.contiguous() for k, v in trained.weights.items()}
    save_file(weights, folder / "model.safetensors.part")
    (folder / "config.json.part").write_text(json.dumps(config) + "\n")
    os.replace(folder / "model.safetensors.part", folder / "model.safetensors")
    os.replace(folder / "config.json.part", folder / "config.json")
