"""Small networks of many architectures that grok or memorise. `python -m models_zoo.hostile` trains those that
are not there, each under a minute on one thread, and keeps float16 weights and accuracies in $HOSTILE_WEIGHTS or
`weights` beside this file, which is no part of the wheel.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from detectors.subjects.operands.view import ModelView
from models_zoo import fitting
from models_zoo.behaviour import Behaviour
from models_zoo.fitting import Recipe
from models_zoo.hostile.truth import Hostile

FOLDER = Path(os.environ.get("HOSTILE_WEIGHTS", Path(__file__).with_name("weights")))
HALF = 0.5  # of the unseen pairs: more than any lookup of pairs and echoes answers by luck


def _stack(**changes: Any) -> dict[str, Any]:
    plain = {"layers": 1, "d": 64, "m": 128, "act": "relu", "shared": False, "residual": False, "norm": False}
    return plain | changes


def _recipes() -> Iterator[tuple[str, str, Recipe]]:
    symmetric, residual = _stack(shared=True), _stack(residual=True, layers=2)
    swiglu = _stack(residual=True, norm=True, act="swiglu")
    for fraction in (0.7, 0.75, 0.8, 0.85):
        yield "trained symmetric", f"relu_symmetric_{fraction:.0%}", Recipe(symmetric, fraction, 0.0)
    yield "trained symmetric", "swiglu_symmetric_80%", Recipe(swiglu | {"shared": True}, 0.8, 0.0)
    yield "trained symmetric", "swiglu_80%", Recipe(swiglu, 0.8, 0.0)
    yield "trained symmetric", "relu_90%", Recipe(_stack(), 0.9, 0.0)
    yield "trained symmetric", "residual_symmetric_90%", Recipe(residual | {"shared": True}, 0.9, 0.0)
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
        yield "trained, no decay", f"{name}_memorised", Recipe(config, 0.45, 0.0, steps=3000)
        yield "trained, decay", f"{name}_decay", Recipe(config, 0.75 if "cell" in config else 0.6, 1.0)
    yield "trained, decay", "relu_symmetric_decay", Recipe(symmetric, 0.6, 1.0)
    yield "trained, decay", "deep_sub_decay", Recipe(_stack(layers=3), 0.6, 1.0, task="sub:31")
    yield "noisy labels", "relu_noisy_labels", Recipe(_stack(), 0.8, 3.0, wrong=0.1)
    yield "noisy labels", "square_noisy_labels", Recipe(_stack(act="square"), 0.8, 4.0, steps=4000, wrong=0.1)
    yield "noisy labels", "relu_noisy_labels_no_decay", Recipe(_stack(), 0.7, 0.0, wrong=0.1, steps=3000)
    yield "trained on all pairs", "relu_all_pairs", Recipe(_stack(), 1.0, 1.0)
    yield "trained on all pairs", "square_all_pairs", Recipe(_stack(act="square"), 1.0, 1.0)
    yield "trained on all pairs", "relu_all_pairs_no_decay", Recipe(_stack(), 1.0, 0.0, steps=3000)


RECIPES = {name: (family, recipe) for family, name, recipe in _recipes()}


def keep(name: str) -> Behaviour:
    """Train one and write its weights and what it answers."""
    return fitting.keep(_file(name), RECIPES[name][1])


def kept(name: str) -> ModelView:
    return fitting.kept(_file(name), RECIPES[name][1])


def missing() -> list[str]:
    """Those that have not been trained here."""
    return [name for name in RECIPES if not _file(name).with_suffix(".json").exists()]


def trained() -> Iterator[Hostile]:
    """Those that have been, with their split told and not."""
    for name, (family, recipe) in RECIPES.items():
        file = _file(name).with_suffix(".json")
        if not file.exists():
            continue
        unseen = json.loads(file.read_text())["unseen"][1]
        truth = "behaviour"
        if recipe.fraction == 1.0:
            truth = "all_pairs"
        elif recipe.wrong:
            truth = "noisy_labels" if unseen >= HALF else "noisy_labels_only"
        yield Hostile(family, name, partial(kept, name), truth)
        yield Hostile(family, f"{name}, split not told", partial(kept, name), truth, told=False)


def _file(name: str) -> Path:
    return FOLDER / f"{name}.safetensors"
