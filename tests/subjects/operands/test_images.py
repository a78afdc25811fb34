"""A lookup up to a symmetry of the group knows more pairs than it was trained on: those are no unseen pairs."""

import numpy as np
import pytest
import torch

import detectors
from detectors.subjects.operands.task import Task
from models_zoo.hostile import circuits
from models_zoo.hostile import constructions as made

TALL = 10.0


def flip(task):
    """Pairs (b, a), which for a - b ask for minus the answer."""
    n = task.n_tokens
    return np.arange(n * n).reshape(n, n).T.reshape(-1)


def negation(task):
    n = task.n_tokens
    minus = -np.arange(n) % n
    return (minus[:, None] * n + minus).reshape(-1)


def inversion(task):
    """Pairs (b^-1, a^-1), whose answer is c^-1."""
    inverse, n = task.group.inverse, task.n_tokens
    return (inverse[None, :] * n + inverse[:, None]).reshape(-1)


def translation(task):
    """Pairs (a g, g^-1 b) of one g, whose answer is c."""
    table, n, g = task.group.table, task.n_tokens, 1 + (task.group.identity == 1)
    return (table[:, g, None] * n + table[task.group.inverse[g]]).reshape(-1)


def doubling(task):
    """Pairs (2a, 2b), whose answer is 2c."""
    n = task.n_tokens
    twice = 2 * np.arange(n) % n
    return (twice[:, None] * n + twice).reshape(-1)


def conjugation(task):
    """Pairs (g a g^-1, g b g^-1), whose answer is g c g^-1."""
    table, n = task.group.table, task.n_tokens
    image = table[table[5], task.group.inverse[5]]
    return (image[:, None] * n + image).reshape(-1)


def lookup(spec, images, fraction, seed=0):
    task = Task.parse(spec)
    mask = np.random.default_rng(seed).random(task.n_tokens**2) < fraction
    known = mask | mask[flip(task)] if task.is_symmetric else mask
    known = np.logical_or.reduce([known, *(known[image(task)] for image in images)])
    return made.of_table(task, TALL * made.one_hot(task, known) + made.noise(task, 0.1, seed), mask), known


CASES = {
    "flip": ("sub:23", [flip], 0.6),
    "negation": ("add:29", [negation], 0.6),
    "negation of sub": ("sub:23", [negation], 0.6),
    "inversion": ("compose:S4", [inversion], 0.6),
    "translation": ("add:29", [translation], 0.5),
    "translation of S4": ("compose:S4", [translation], 0.5),
    "conjugation": ("compose:S4", [conjugation], 0.5),
    "doubling": ("add:29", [doubling], 0.5),
    "three at once": ("add:37", [translation, doubling, negation], 0.2),
}


@pytest.mark.parametrize("case", CASES)
def test_images_of_training_pairs_are_not_unseen(case):
    view, known = lookup(*CASES[case])
    assert torch.equal(view.split.unseen, torch.from_numpy(~known))
    assert view.figures().accuracy.unseen < 0.2
    score = detectors.memorisation(view)
    assert score.value > 0.9
    assert score.null.p_value < 0.01
    assert detectors.generalisation(view).value < 0.1


@pytest.mark.parametrize("spec", ["sub:23", "add:29", "compose:S4"])
def test_without_a_symmetry_all_other_pairs_are_unseen(spec):
    task = Task.parse(spec)
    mask = np.random.default_rng(1).random(task.n_tokens**2) < 0.6
    view = made.of_table(task, TALL * made.one_hot(task, mask) + made.noise(task, 0.1, 1), mask)
    echoed = mask[flip(task)] & ~mask if task.is_symmetric else np.zeros_like(mask)
    assert torch.equal(view.split.unseen, torch.from_numpy(~(mask | echoed)))


def test_a_network_that_is_right_on_half_of_its_unseen_pairs_anywhere_keeps_them():
    task, rng = Task.parse("add:29"), np.random.default_rng(2)
    mask = rng.random(29**2) < 0.4
    known = mask | mask[flip(task)] | (rng.random(29**2) < 0.5)
    view = made.of_table(task, TALL * made.one_hot(task, known) + made.noise(task, 0.1, 2), mask)
    assert torch.equal(view.split.unseen, torch.from_numpy(~(mask | mask[flip(task)])))


def test_a_circuit_that_follows_them_all_keeps_its_unseen_pairs():
    """cos w(a + b - c) is the same for (-a, -b, -c), and answers what is no image as well."""
    view = circuits.cosines()
    mask = torch.from_numpy(view.train_mask)
    flipped = mask.reshape(31, 31).T.reshape(-1)
    assert torch.equal(view.split.unseen, ~(mask | flipped))
