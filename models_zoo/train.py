"""Full-batch training of a card's recipe, in plain torch.

Source of the recipe: arXiv:2301.05217, section 3 (AdamW, learning rate 1e-3, betas 0.9 and 0.98, ten steps
of warm-up, full batch); log-softmax in float64 as in its code, since a float32 loss stalls near 1e-7.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors.core.groups import Ints
from detectors.loading.load import sha256
from detectors.subjects.operands.task import Task
from detectors.subjects.sequences.generators import Sequences
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView, asked_figures
from detectors.subjects.tasks import of_sequences
from models_zoo import tabulated
from models_zoo.architectures import complete, initial_weights, network
from models_zoo.tables import table_of, task_of

Point = tuple[int, float, float, float, float]
Report = Callable[[int, float, float, float, float], None]
OnTrain = Callable[[int], tuple[Tensor, float]]
OnTest = Callable[[], tuple[Tensor, float]]


@dataclass(frozen=True)
class Trained:
    """weights: by name. train_indices: pair indices, None for fresh sequences.

    curve: (step, train loss, test loss, train and test accuracy)."""

    weights: dict[str, Tensor]
    train_indices: list[int] | None
    curve: list[Point]


def train(
    card: dict[str, Any],
    *,
    steps: int | None = None,
    every: int = 50,
    report: Report | None = None,
    keep: Callable[[Trained], None] | None = None,
    resume: Path | None = None,
) -> Trained:
    """Train a card's recipe; the same card, seed and number of threads give the same weights.

    Stops at `steps`, or where the recipe has `settle`, once every pair has been answered and the test loss has not
    fallen by a twentieth for that many steps. report: called with (step, train loss, test loss, train accuracy, test
    accuracy) every `every` steps. keep: called with the state at the steps that the recipe lists under `keep`.
    resume: a file that keeps the state every half minute and is taken up if it is there.
    """
    recipe, task = card["recipe"], task_of(card)
    steps = recipe["steps"] if steps is None else steps
    model = complete(card["model"], task)
    weights = {k: w.requires_grad_() for k, w in initial_weights(model, recipe["seed"]).items()}
    net = network(model, weights, task)
    on_train, on_test, train_indices = (
        _fresh_sequences(task, net, recipe) if of_sequences(task) else _fixed_pairs(task, net, recipe)
    )
    optimizer = torch.optim.AdamW(
        weights.values(), lr=recipe["learning_rate"], weight_decay=recipe["weight_decay"], betas=(0.9, 0.98)
    )

    start, best = 0, (0, float("inf"))
    curve: list[Point] = []
    if resume and resume.exists():
        start, curve, best = _restore(resume, weights, optimizer)
    saved = time.monotonic()
    for step in range(start, steps + 1):
        loss, accuracy = on_train(step)
        if step % every == 0 or step == steps:
            with torch.no_grad():
                test_loss, test_accuracy = on_test()
            curve.append((step, loss.item(), test_loss.item(), accuracy, test_accuracy))
            if report:
                report(*curve[-1])
            if keep and step in recipe.get("keep", ()):
                copies = {k: w.detach().clone() for k, w in weights.items()}
                keep(Trained(copies, train_indices, curve.copy()))
            if test_loss.item() < 0.95 * best[1] or accuracy < 1 or test_accuracy < 1:
                best = (step, test_loss.item())
            elif step - best[0] >= recipe.get("settle", steps + 1):
                break
        if step < steps:
            optimizer.param_groups[0]["lr"] = recipe["learning_rate"] * min((step + 1) / 10, 1.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if resume and time.monotonic() - saved > 30:
            saved = time.monotonic()
            state = {"step": step + 1, "curve": curve, "best": best, "optimizer": optimizer.state_dict()}
            _write(resume, partial(torch.save, {**state, "weights": weights}))
    if resume:
        resume.unlink(missing_ok=True)
    return Trained({k: w.detach() for k, w in weights.items()}, train_indices, curve)


def _fixed_pairs(task: Task, net: Any, recipe: dict[str, Any]) -> tuple[OnTrain, OnTest, list[int]]:
    """Loss and accuracy on all training pairs and on all others, and the training pairs."""
    train_pairs, test_pairs = split(task, recipe["train_fraction"], recipe["seed"])
    answers = torch.from_numpy(task.answer.ravel())

    def figures(pairs: Tensor) -> tuple[Tensor, float]:
        tokens = torch.stack([pairs // task.n_tokens, pairs % task.n_tokens], dim=1)
        logits = tabulated.forward(net, tokens)[:, : task.n_answers].double()
        loss = torch.nn.functional.cross_entropy(logits, answers[pairs])
        return loss, float((logits.argmax(1) == answers[pairs]).double().mean())

    return lambda _: figures(train_pairs), lambda: figures(test_pairs), train_pairs.tolist()


def _fresh_sequences(task: SequenceTask, net: Any, recipe: dict[str, Any]) -> tuple[OnTrain, OnTest, None]:
    """Loss and accuracy on a batch drawn for each step, and on the sample that a view gives its figures for."""
    view = SequenceView(net, task)

    def figures(sequences: Sequences) -> tuple[Tensor, float]:
        where = sequences.targets >= 0
        logits = net.forward(sequences.tokens, lambda _, tensor: tensor)
        right, loss = asked_figures(logits[where], sequences.targets[where])
        return loss.mean(), float(right.double().mean())

    def on_train(step: int) -> tuple[Tensor, float]:
        rng = np.random.default_rng([recipe["seed"] + 1, step])
        return figures(task.draw(rng, recipe["batch"], net.n_tokens, net.n_ctx))

    return on_train, lambda: figures(view.sample), None


def split(task: Task, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Training and test pairs among those that have an answer, sorted."""
    domain = torch.from_numpy(task.domain)
    shuffled = domain[torch.randperm(len(domain), generator=torch.Generator().manual_seed(seed))]
    k = int(fraction * len(domain))
    return shuffled[:k].sort().values, shuffled[k:].sort().values


def _restore(
    file: Path, weights: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> tuple[int, list[Point], tuple[int, float]]:
    state = torch.load(file, weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    with torch.no_grad():
        for name, tensor in weights.items():
            tensor.copy_(state["weights"][name])
    return state["step"], state["curve"], state["best"]


def _write(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    write(part)
    os.replace(part, target)


def save(folder: Path, card: dict[str, Any], trained: Trained) -> None:
    """Write model.safetensors, table.npy where the task has one, config.json and measured.json, each atomically."""
    from safetensors.torch import save_file

    kind, _, argument = card.get("task", "table").partition(":")
    task: dict[str, Any] = {"op": kind}
    table = table_of(card)
    if table is not None:
        task["file"] = "table.npy"
        _write(folder / "table.npy", lambda path: _save_array(path, table))
    elif argument.isdecimal():
        task["p"] = int(argument)
    elif argument:
        task["group"] = argument
    model = complete(card["model"], task_of(card))
    config = {"model": model, "task": task, "train_indices": trained.train_indices, "recipe": card["recipe"]}
    weights = {k: v.contiguous() for k, v in trained.weights.items()}
    _write(folder / "model.safetensors", lambda path: save_file(weights, path))
    _write(folder / "config.json", lambda path: path.write_text(json.dumps(config) + "\n"))
    names = ("steps", "train_loss", "test_loss", "train_accuracy", "test_accuracy")
    facts: dict[str, Any] = dict(zip(names, trained.curve[-1], strict=True))
    facts |= {"sha256": sha256(folder), "bytes": (folder / "model.safetensors").stat().st_size}
    facts |= {"torch": torch.__version__, "threads": torch.get_num_threads()}
    _write(folder / "measured.json", lambda path: path.write_text(json.dumps(facts, indent=1) + "\n"))


def _save_array(path: Path, table: Ints) -> None:
    with path.open("wb") as stream:
        np.save(stream, table.astype(np.int16))
