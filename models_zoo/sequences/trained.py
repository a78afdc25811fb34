"""Attention-only models trained on fresh sequences, kept as float16, and what their task settles of their heads.

Two attention-only layers that continue repeats at varying lags, which no fixed offset predicts, do it by induction on
the token before (arXiv:2209.11895; one layer cannot). One such layer that sorts looks for the next larger value and
copies it (`motifs.successor_heads`), as its last residual stream holds nothing else of the list.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from detectors.loading.transformer import SequenceTransformer
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView, asked_figures
from models_zoo import architectures
from models_zoo.tabulated import no_hook

WEIGHTS = Path(__file__).with_name("weights")
BATCH, RATE, DECAY, WARM = 128, 2e-3, 0.01, 50
ENOUGH, LEAST = 0.99, 0.95  # accuracy at which training stops, and from which the task is learnt


class Recipe(NamedTuple):
    """model: a `model` table; the rest of the training is the same for all."""

    task: str
    model: dict[str, Any]
    steps: int
    seed: int


def recipes() -> list[Recipe]:
    found = []
    for seed in range(14):
        rng = np.random.default_rng([16, seed])
        vocab, context = int(rng.integers(16, 33)), int(rng.integers(17, 29))
        found.append(Recipe("repeat", _model(2, [2, 4][seed % 2], vocab, context, seed), 9000, seed))
        size, vocab = int(rng.integers(4, 8)), int(rng.integers(14, 33))
        found.append(Recipe(f"sort:{size}", _model(1, 1 + seed % 2, vocab, 2 * size + 1, seed), 4000, seed))
    return found


def _model(layers: int, heads: int, vocab: int, context: int, seed: int) -> dict[str, Any]:
    width = [48, 64][seed % 3 == 0]
    return {
        "kind": "transformer",
        "n_layers": layers,
        "d_model": width,
        "n_heads": heads,
        "d_head": width // 2 if heads < 4 else width // 4,
        "d_mlp": 0,
        "n_ctx": context,
        "d_vocab": vocab,
        "d_vocab_out": vocab,
        "n_tokens": vocab,
        "normalization_type": "LN" if seed % 4 >= 2 else None,
        "biases": True,
    }


class Member(NamedTuple):
    """One network that learnt its task."""

    number: int
    recipe: Recipe
    accuracy: float

    @property
    def name(self) -> str:
        return f"sequences/{self.number:02d}"

    def view(self) -> SequenceView:
        from safetensors.torch import load_file

        weights = {k: w.float() for k, w in load_file(_file(self.number)).items()}
        return SequenceView(_network(self.recipe, weights), self.recipe.task)


@cache
def members() -> tuple[Member, ...]:
    found = []
    for number, recipe in enumerate(recipes()):
        if (file := _file(number).with_suffix(".json")).exists():
            accuracy = json.loads(file.read_text())["accuracy"]
            if accuracy >= LEAST:
                found.append(Member(number, recipe, accuracy))
    return tuple(found)


def missing() -> list[int]:
    return [i for i in range(len(recipes())) if not _file(i).with_suffix(".json").exists()]


def train(number: int) -> str:
    """Train one on one thread and keep it; what it answers, as a line."""
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    recipe = recipes()[number]
    task = SequenceTask.parse(recipe.task)
    initial = architectures.initial_weights(recipe.model, recipe.seed)
    weights = {k: w.requires_grad_() for k, w in initial.items() if ".ln2." not in k}
    network = _network(recipe, weights)
    optimiser = torch.optim.AdamW(list(weights.values()), lr=RATE, weight_decay=DECAY, betas=(0.9, 0.98))
    for step in range(recipe.steps):
        optimiser.param_groups[0]["lr"] = RATE * min((step + 1) / WARM, 1.0) * (1 - step / recipe.steps)
        drawn = task.draw(np.random.default_rng([recipe.seed, step]), BATCH, network.n_tokens, network.n_ctx)
        where = drawn.targets >= 0
        right, loss = asked_figures(network.forward(drawn.tokens, no_hook)[where], drawn.targets[where])
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
        if step % 100 == 0 and float(right.double().mean()) > ENOUGH and step > recipe.steps // 4:
            break
    kept = {k: w.detach().half().contiguous() for k, w in weights.items()}
    view = SequenceView(_network(recipe, {k: w.float() for k, w in kept.items()}), task)
    accuracy = view.figures().accuracy.all
    file = _file(number)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, file)
    part = file.with_suffix(".part")
    part.write_text(json.dumps({"recipe": recipe._asdict(), "accuracy": accuracy, "steps": step + 1}) + "\n")
    os.replace(part, file.with_suffix(".json"))
    return f"{number:02d} {recipe.task} {accuracy:.3f} after {step + 1} steps"


def _network(recipe: Recipe, weights: dict[str, torch.Tensor]) -> SequenceTransformer:
    network = architectures.network(recipe.model, weights, SequenceTask.parse(recipe.task))
    assert isinstance(network, SequenceTransformer)
    return network


def _file(number: int) -> Path:
    return WEIGHTS / f"{number:02d}.safetensors"
