"""Small networks of many architectures, trained full batch and kept as float16. Log-softmax in float64."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo import architectures, stacks, tabulated
from models_zoo.analytic import split_of
from models_zoo.behaviour import Behaviour, behaviour

SETTLED = 300  # steps after which it stops: with every pair answered, or without decay with a training loss under TINY
TINY = 1e-4
OPTIMISERS: dict[
    str, Callable[[list[torch.Tensor], Recipe], torch.optim.Optimizer]
] = {  # decay is decoupled (arXiv:1711.05101) in those whose torch class can
    "adamw": lambda w, r: torch.optim.AdamW(w, lr=r.rate, weight_decay=r.decay, betas=(0.9, 0.98)),
    "nadam": lambda w, r: torch.optim.NAdam(w, lr=r.rate, weight_decay=r.decay, decoupled_weight_decay=True),
    "radam": lambda w, r: torch.optim.RAdam(w, lr=r.rate, weight_decay=r.decay, decoupled_weight_decay=True),
    "sgd": lambda w, r: torch.optim.SGD(w, lr=r.rate, weight_decay=r.decay, momentum=0.9),
}


class Recipe(NamedTuple):
    """config: a `model` table of `architectures` (with `kind`), or one of `stacks`. fraction: of training
    pairs. decay: of the optimiser. wrong: share of labels drawn anew.
    """

    config: Mapping[str, Any]
    fraction: float
    decay: float
    task: str = "add:31"
    steps: int = 8000
    rate: float = 3e-3
    wrong: float = 0.0
    seed: int = 0
    optimiser: str = "adamw"


def fitted(recipe: Recipe) -> ModelView:
    """The network at the end of its training, with its training mask."""
    task = Task.parse(recipe.task)
    n, mask = task.n_tokens, split_of(task, recipe.fraction, recipe.seed)
    rng = np.random.default_rng(recipe.seed + 1)
    drawn = np.where(rng.random(n * n) < recipe.wrong, rng.integers(0, n, n * n), task.answer.ravel())
    labels, answers = torch.from_numpy(drawn), torch.from_numpy(task.answer.ravel())
    train, asked = torch.from_numpy(np.flatnonzero(mask)), torch.from_numpy(task.domain)
    tokens = torch.stack([torch.arange(n * n) // n, torch.arange(n * n) % n], 1)
    weights = {k: w.requires_grad_() for k, w in _initial(recipe, task).items()}
    forward = _forward(recipe, task, weights)
    optimiser = OPTIMISERS[recipe.optimiser](list(weights.values()), recipe)
    done = 0
    for step in range(recipe.steps):
        optimiser.param_groups[0]["lr"] = recipe.rate * min((step + 1) / 10, 1.0)
        loss = torch.nn.functional.cross_entropy(forward(tokens[train]).double(), labels[train])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 0:
            with torch.no_grad():
                right = forward(tokens[asked]).argmax(1) == answers[asked]
            finished = bool(right.all()) if recipe.decay else float(loss.detach()) < TINY
            done = done + 50 if finished else 0
            if done > SETTLED:
                break
    return _view(recipe, {k: w.detach().half().float() for k, w in weights.items()})


def keep(file: Path, recipe: Recipe) -> Behaviour:
    """Train one and write its weights, and beside them, last, its recipe and what it answers."""
    from safetensors.torch import save_file

    view = fitted(recipe)
    seen = behaviour(view)
    facts = {"recipe": recipe._asdict(), **seen._asdict()}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: w.half().contiguous() for k, w in view.network.weights.items()}, file)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(facts) + "\n")
    os.replace(part, file.with_suffix(".json"))
    return seen


def kept(file: Path, recipe: Recipe) -> ModelView:
    """A trained network as it was kept."""
    from safetensors.torch import load_file

    return _view(recipe, {k: w.float() for k, w in load_file(file).items()})


def _initial(recipe: Recipe, task: Task) -> dict[str, torch.Tensor]:
    if "kind" in recipe.config:
        return architectures.initial_weights(architectures.complete(dict(recipe.config), task), recipe.seed)
    return stacks.initial(recipe.config, task.n_tokens, recipe.seed)


def _network(recipe: Recipe, task: Task, weights: Mapping[str, torch.Tensor]) -> Any:
    if "kind" in recipe.config:
        return architectures.network(architectures.complete(dict(recipe.config), task), dict(weights), task)
    return stacks.build(recipe.config, weights)


def _forward(recipe: Recipe, task: Task, weights: Mapping[str, torch.Tensor]) -> Any:
    network = _network(recipe, task, weights)
    if "kind" in recipe.config:
        return lambda tokens: tabulated.forward(network, tokens)[:, : task.n_answers]
    return lambda tokens: network.forward(tokens, tabulated.no_hook)


def _view(recipe: Recipe, weights: Mapping[str, torch.Tensor]) -> ModelView:
    task = Task.parse(recipe.task)
    return ModelView(_network(recipe, task, weights), task, train_mask=split_of(task, recipe.fraction, recipe.seed))
