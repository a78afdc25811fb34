"""The networks that are here, what each answers, and which motifs that settles."""

from __future__ import annotations

import hashlib
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from detectors.core.groups import Group
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo import fitting
from models_zoo.behaviour import LUCK, Behaviour, Side, settled
from models_zoo.fitting import Recipe
from models_zoo.population.recipes import NUMBERS, recipe

FEWEST = 8  # irreps beside the trivial one, of which few are few
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


@cache
def members() -> tuple[Member, ...]:
    found = []
    for number in NUMBERS:
        if (file := _file(number).with_suffix(".json")).exists():
            facts = json.loads(file.read_text())
            seen = {name: Side(*facts[name]) for name in ("train", "echoed", "unseen")}
            found.append(Member(number, Recipe(**facts["recipe"]), Behaviour(**seen, chance=facts["chance"])))
    return tuple(found)


def member(number: int) -> Member:
    """KeyError, with what to do, where it is not here."""
    for found in members():
        if found.number == number:
            return found
    raise KeyError(f"no network {number} of the population here; python -m models_zoo.population trains the missing")


def missing() -> list[int]:
    return [number for number in NUMBERS if not _file(number).with_suffix(".json").exists()]


def train(number: int) -> str:
    """Train one on one thread and keep it; what it answers, as a line."""
    import torch

    torch.set_num_threads(1)
    seen = fitting.keep(_file(number), recipe(number))
    return f"{number:03d} {seen.train.accuracy:.3f} trained, {seen.unseen.accuracy:.3f} of {seen.unseen.pairs} unseen"


def side(member: Member) -> str:
    """`generalises`, `memorises`, or `unknown` where what it answers settles nothing.

    A network that answers more unseen pairs than luck does, and not all of them, holds something of both.
    """
    word, unseen = settled(member.seen), member.seen.unseen.accuracy
    if word == "answers_training_pairs" and unseen is not None and unseen <= LUCK * member.seen.chance:
        return "memorises"
    return "generalises" if word == "answers_unseen" else "unknown"


def expected(member: Member) -> dict[str, str]:
    """By motif: `present`, `absent`, or `unused` where its structure may be there and no answer rests on it; as
    cards.toml has it of its behaviour and architecture.
    """
    card = _cards()[card_of(member)]
    return {motif: word for word in ("present", "absent", "unused") for motif in card.get(word, ())}


def card_of(member: Member) -> str:
    """The table of cards.toml that speaks of it."""
    if side(member) != "generalises":
        return side(member)
    config = member.recipe.config
    if "square" in (config.get("act_fn"), config.get("act")):
        return "square"
    few = len(_group(member.recipe.task).irreps) - 1 < FEWEST
    if config.get("kind") == "mlp" and member.recipe.task.startswith("compose:S"):
        return "permutations"
    if config.get("kind") == "mlp" or config.get("n_layers") == 1:
        return "few_irreps" if few else "published"
    return "neither" if few else "other"


@cache
def _group(task: str) -> Group:
    labels = Task.parse(task).labels
    assert labels is not None
    return labels.group


@cache
def _cards() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("cards.toml").read_text())


def digest() -> str:
    """SHA-256 of the recipes and of what the networks answer, and of their weights."""
    whole = hashlib.sha256(Path(__file__).with_name("cards.toml").read_bytes())
    for member in members():
        for suffix in (".json", ".safetensors"):
            whole.update(_file(member.number).with_suffix(suffix).read_bytes())
    return whole.hexdigest()


def _file(number: int) -> Path:
    return WEIGHTS / f"{number:03d}.safetensors"
