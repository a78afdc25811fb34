"""Seeded splits: each recipe as its own library makes it, and the one that the loss bears out."""

import random

import numpy as np
import pytest
import torch

import detectors
import models_zoo
from detectors.core.errors import CheckpointError
from detectors.loading.train_splits import RECIPES, SEEDS, Recipe, chosen, split_of
from detectors.subjects.operands.task import Task


def by_torch(seed, n):
    torch.manual_seed(seed)
    return torch.randperm(n).tolist()


def by_random(seed, n):
    pairs = [(i // 7, i % 7) for i in range(n)]
    random.seed(seed)
    random.shuffle(pairs)
    return [a * 7 + b for a, b in pairs]


def by_numpy(seed, n):
    np.random.seed(seed)  # noqa: NPY002 - as people do
    return np.random.permutation(n).tolist()  # noqa: NPY002


def by_numpy_shuffle(seed, n):
    order = np.arange(n)
    np.random.seed(seed)  # noqa: NPY002 - as people do
    np.random.shuffle(order)  # noqa: NPY002
    return order.tolist()


def by_generator(seed, n):
    return np.random.default_rng(seed).permutation(n).tolist()


def by_random_split(seed, n):
    parts = torch.utils.data.random_split(range(n), [19, n - 19], generator=torch.Generator().manual_seed(seed))
    return list(parts[0])


BY = {"torch": [by_torch, by_random_split], "random": [by_random], "numpy": [by_numpy, by_numpy_shuffle]}
BY |= {"default_rng": [by_generator]}


@pytest.mark.parametrize(("name", "made"), [(name, made) for name, all_of in BY.items() for made in all_of])
@pytest.mark.parametrize("seed", [0, 1, 42, 598])
def test_a_recipe_is_what_its_library_makes(name, made, seed):
    mask = chosen(Recipe(name, seed, False), 0.4, Task.parse("add:7"))
    assert np.flatnonzero(mask).tolist() == sorted(made(seed, 49)[:19])


def test_scikit_learn_takes_the_last():
    """Its ShuffleSplit: test pairs are the first of RandomState(seed).permutation, training pairs the next."""
    order = np.random.RandomState(3).permutation(49)
    mask = chosen(Recipe("sklearn", 3, False), 0.4, Task.parse("add:7"))
    assert np.flatnonzero(mask).tolist() == sorted(order[30:].tolist())


def test_a_recipe_may_be_over_the_pairs_that_have_an_answer():
    task = Task.parse("div:5")
    mask = chosen(Recipe("torch", 1, True), 0.5, task)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))[:10]
    assert np.flatnonzero(mask).tolist() == sorted(task.domain[order.numpy()].tolist())


def test_recipes_by_name(saved, mlp):
    path = saved(mlp)
    for text in ("0.4:5:random", "0.4:5:numpy", "0.4:5:sklearn:answered", "0.4:5:torch", ".4:5"):
        assert detectors.load(path, task="add:7", train_split=text).train_mask.sum() == 19
    for text in (
        "0.4:5:perl",
        "0.4:5:random:all",
        "0.4:auto:torch",
        "1:auto",
        "0.4:9999999999:numpy",
        "nan:1",
        "1e-2:1",
    ):
        with pytest.raises(CheckpointError, match="train-split"):
            detectors.load(path, task="add:7", train_split=text)


@pytest.mark.parametrize("recipe", ["torch", "random", "numpy", "default_rng", "sklearn"])
@pytest.mark.parametrize("spec", ["add:13", "div:13"])
def test_the_recipe_that_a_lookup_was_built_by_is_found(recipe, spec):
    """A table that answers its training pairs by a lookup and the others not: the loss shows which they are."""
    task = Task.parse(spec)
    made = Recipe(recipe, 42, spec == "div:13")
    view = lookup(task, chosen(made, 0.4, task))
    mask, (said,) = split_of("0.4:auto", view)
    assert np.array_equal(mask, chosen(made, 0.4, task))
    assert f"--train-split 0.4:{made}" in said


class Lookup:
    """A network that is a table of logits, larger at the answers of its training pairs."""

    n_layers = 0

    def __init__(self, task, train, gap):
        self.n_tokens = task.n_tokens
        self.architecture = {"kind": "table"}
        noise = torch.randn(task.n_tokens**2, task.n_answers, generator=torch.Generator().manual_seed(0))
        right = torch.from_numpy(task.answer.ravel().clip(0))
        noise[torch.arange(len(right)), right] += torch.where(torch.from_numpy(train), gap, 0.0)
        self.weights = {"table": noise}

    def forward(self, tokens, hook):
        return self.weights["table"][tokens[:, 0] * self.n_tokens + tokens[:, 1]]

    def embedding(self, operand):
        return torch.zeros(self.n_tokens, 1)

    def readout(self, layer):
        return None


def lookup(task, train, gap=6.0):
    return detectors.ModelView(Lookup(task, train, gap), task)


def test_a_split_that_the_loss_does_not_bear_out_is_not_found():
    task = Task.parse("add:13")
    other = np.random.default_rng(10**6).permutation(169) < 68  # of a seed that nobody tries
    for view in (lookup(task, other), lookup(task, other, gap=0.0)):
        with pytest.raises(CheckpointError, match=r"loss bears none out alone.*Pass the pairs themselves"):
            split_of("0.4:auto", view)


def test_a_circuit_that_answers_all_pairs_alike_is_asked_for_its_pairs():
    with pytest.raises(CheckpointError, match="bears none out"):
        split_of("0.3:auto", models_zoo.trig_mlp(p=13, frequencies=(2, 5)))


def test_seeds_and_recipes_are_tried_once_each():
    assert len(set(SEEDS)) == len(SEEDS)
    assert set(RECIPES) == {"torch", "random", "numpy", "default_rng", "sklearn"}
