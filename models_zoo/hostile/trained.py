"""Small networks of many architectures that grok or memorise. `python -m models_zoo.hostile` trains those that
are not there, each under a minute on one thread, and keeps float16 weights and accuracies in $HOSTILE_WEIGHTS or
`weights` beside this file, which is no part of the wheel. Full batch, AdamW, log-softmax in float64.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.hostile.constructions import split_of
from models_zoo.hostile.networks import build, initial
from models_zoo.hostile.truth import Hostile, behaviour

FOLDER = Path(os.environ.get("HOSTILE_WEIGHTS", Path(__file__).with_name("weights")))
SETTLED = 300  # steps after which it stops: with every pair answered, or without decay with a training loss under TINY
TINY = 1e-4
HALF = 0.5  # of the unseen pairs: more than any lookup of pairs and echoes answers by luck


class Recipe(NamedTuple):
    """config: of `networks`. fraction: of training pairs. decay: of AdamW. wrong: share of labels drawn anew."""

    family: str
    config: Mapping[str, Any]
    fraction: float
    decay: float
    task: str = "add:31"
    steps: int = 8000
    rate: float = 3e-3
    wrong: float = 0.0
    seed: int = 0


def _stack(**changes: Any) -> dict[str, Any]:
    plain = {"layers": 1, "d": 64, "m": 128, "act": "relu", "shared": False, "residual": False, "norm": False}
    return plain | changes


def _recipes() -> Iterator[tuple[str, Recipe]]:
    symmetric, residual = _stack(shared=True), _stack(residual=True, layers=2)
    swiglu = _stack(residual=True, norm=True, act="swiglu")
    for fraction in (0.7, 0.75, 0.8, 0.85):
        yield f"relu_symmetric_{fraction:.0%}", Recipe("trained symmetric", symmetric, fraction, 0.0)
    yield "swiglu_symmetric_80%", Recipe("trained symmetric", swiglu | {"shared": True}, 0.8, 0.0)
    yield "swiglu_80%", Recipe("trained symmetric", swiglu, 0.8, 0.0)
    yield "relu_90%", Recipe("trained symmetric", _stack(), 0.9, 0.0)
    yield "residual_symmetric_90%", Recipe("trained symmetric", residual | {"shared": True}, 0.9, 0.0)
    plain = {
        "relu": _stack(),
        "residual": residual,
        "deep": _stack(layers=3),
        "swiglu": swiglu,
        "square": _stack(act="square"),
        "gru": {"cell": "gru", "d": 64, "m": 96},
        "lstm": {"cell": "lstm", "d": 64, "m": 96},
    }
    for name, config in plain.items():
        yield f"{name}_memorised", Recipe("trained, no decay", config, 0.45, 0.0, steps=3000)
        yield f"{name}_decay", Recipe("trained, decay", config, 0.75 if "cell" in config else 0.6, 1.0)
    yield "relu_symmetric_decay", Recipe("trained, decay", symmetric, 0.6, 1.0)
    yield "deep_sub_decay", Recipe("trained, decay", _stack(layers=3), 0.6, 1.0, task="sub:31")
    yield "relu_noisy_labels", Recipe("noisy labels", _stack(), 0.8, 3.0, wrong=0.1)
    yield "square_noisy_labels", Recipe("noisy labels", _stack(act="square"), 0.8, 4.0, steps=4000, wrong=0.1)
    yield "relu_noisy_labels_no_decay", Recipe("noisy labels", _stack(), 0.7, 0.0, wrong=0.1, steps=3000)
    yield "relu_all_pairs", Recipe("trained on all pairs", _stack(), 1.0, 1.0)
    yield "square_all_pairs", Recipe("trained on all pairs", _stack(act="square"), 1.0, 1.0)
    yield "relu_all_pairs_no_decay", Recipe("trained on all pairs", _stack(), 1.0, 0.0, steps=3000)


RECIPES = dict(_recipes())


def fitted(recipe: Recipe) -> ModelView:
    """The network at the end of its training, with its training mask."""
    task = Task.parse(recipe.task)
    n, mask = task.n_tokens, split_of(task, recipe.fraction, recipe.seed)
    rng = np.random.default_rng(recipe.seed + 1)
    drawn = np.where(rng.random(n * n) < recipe.wrong, rng.integers(0, n, n * n), task.answer.ravel())
    labels, answers = torch.from_numpy(drawn), torch.from_numpy(task.answer.ravel())
    train = torch.from_numpy(np.flatnonzero(mask))
    tokens = torch.stack([torch.arange(n * n) // n, torch.arange(n * n) % n], 1)
    weights = {k: w.requires_grad_() for k, w in initial(recipe.config, n, recipe.seed).items()}
    network = build(recipe.config, weights)
    optimizer = torch.optim.AdamW(weights.values(), lr=recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.98))
    done = 0
    for step in range(recipe.steps):
        optimizer.param_groups[0]["lr"] = recipe.rate * min((step + 1) / 10, 1.0)
        loss = torch.nn.functional.cross_entropy(network.forward(tokens[train], _as_it_is).double(), labels[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            with torch.no_grad():
                right = network.forward(tokens, _as_it_is).argmax(1) == answers
            finished = bool(right.all()) if recipe.decay else float(loss.detach()) < TINY
            done = done + 50 if finished else 0
            if done > SETTLED:
                break
    kept = {k: w.detach().half().float() for k, w in weights.items()}
    return ModelView(build(recipe.config, kept), task, train_mask=mask)


def _as_it_is(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def keep(name: str) -> dict[str, Any]:
    """Train one and write its weights and what it answers."""
    from safetensors.torch import save_file

    view = fitted(RECIPES[name])
    seen = behaviour(view)
    facts = {side: list(getattr(seen, side)) for side in ("train", "echoed", "unseen")}
    FOLDER.mkdir(parents=True, exist_ok=True)
    halves = {k: w.half().contiguous() for k, w in view.network.weights.items()}
    save_file(halves, FOLDER / f"{name}.safetensors")
    (FOLDER / f"{name}.json").write_text(json.dumps(facts) + "\n")
    return facts


def kept(name: str) -> ModelView:
    """A trained network as it was kept."""
    from safetensors.torch import load_file

    recipe = RECIPES[name]
    task = Task.parse(recipe.task)
    weights = {k: w.float() for k, w in load_file(FOLDER / f"{name}.safetensors").items()}
    return ModelView(build(recipe.config, weights), task, train_mask=split_of(task, recipe.fraction, recipe.seed))


def missing() -> list[str]:
    """Those that have not been trained here."""
    return [name for name in RECIPES if not (FOLDER / f"{name}.json").exists()]


def trained() -> Iterator[Hostile]:
    """Those that have been, with their split told and not."""
    for name, recipe in RECIPES.items():
        file = FOLDER / f"{name}.json"
        if not file.exists():
            continue
        unseen = json.loads(file.read_text())["unseen"][1]
        truth = "behaviour"
        if recipe.fraction == 1.0:
            truth = "all_pairs"
        elif recipe.wrong:
            truth = "noisy_labels" if unseen >= HALF else "noisy_labels_only"
        yield Hostile(recipe.family, name, partial(kept, name), truth)
        yield Hostile(recipe.family, f"{name}, split not told", partial(kept, name), truth, told=False)
