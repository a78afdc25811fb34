"""The networks that are here, what each answers, and which motifs that settles."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from detectors.subjects.operands.view import ModelView
from models_zoo import fitting
from models_zoo.behaviour import Behaviour, Side, settled
from models_zoo.fitting import Recipe
from models_zoo.population.recipes import COUNT, recipe

WEIGHTS = Path(__file__).with_name("weights")


class Member(NamedTuple):
    """One network: its recipe, and the pairs and accuracy on each side."""

    number: int
    recipe: Recipe
    seen: Behaviour

    @property
    def name(self) -> str:
        return f"population/{self.number:03d}"

    def view(self) -> ModelView:
        return fitting.kept(_file(self.number), self.recipe)


def members() -> list[Member]:
    found = []
    for number in range(COUNT):
        if (file := _file(number).with_suffix(".json")).exists():
            facts = json.loads(file.read_text())
            seen = {name: Side(*facts[name]) for name in ("train", "echoed", "unseen")}
            found.append(Member(number, Recipe(**facts["recipe"]), Behaviour(**seen, chance=facts["chance"])))
    return found


def missing() -> list[int]:
    return [number for number in range(COUNT) if not _file(number).with_suffix(".json").exists()]


def train(number: int) -> str:
    """Train one on one thread and keep it; what it answers, as a line."""
    import torch

    torch.set_num_threads(1)
    seen = fitting.keep(_file(number), recipe(number))
    return f"{number:03d} {seen.train.accuracy:.3f} trained, {seen.unseen.accuracy:.3f} of {seen.unseen.pairs} unseen"


def side(member: Member) -> str:
    """`generalises`, `memorises`, or `unknown` where what it answers settles nothing."""
    words = {"answers_unseen": "generalises", "answers_training_pairs": "memorises"}
    return words.get(settled(member.seen), "unknown")


def expected(member: Member) -> dict[str, bool]:
    """Motifs that are there (True) or are not, as cards.toml has it of its behaviour and architecture."""
    card = _cards()[_architecture(member.recipe) if side(member) == "generalises" else side(member)]
    return dict.fromkeys(card.get("present", ()), True) | dict.fromkeys(card.get("absent", ()), False)


def _architecture(recipe: Recipe) -> str:
    config = recipe.config
    if "square" in (config.get("act_fn"), config.get("act")):
        return "square"
    return "published" if config.get("kind") == "mlp" or config.get("n_layers") == 1 else "other"


@cache
def _cards() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("cards.toml").read_text())


def _file(number: int) -> Path:
    return WEIGHTS / f"{number:03d}.safetensors"
