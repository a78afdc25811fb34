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


def lookup(spec, image, fraction=0.6, seed=0):
    task = Task.parse(spec)
    mask = np.random.default_rng(seed).random(task.n_tokens**2) < fraction
    known = mask | mask[image(task)]
    if task.is_symmetric:
        known |= known[flip(task)]
    return made.of_table(task, TALL * made.one_hot(task, known) + made.noise(task, 0.1, seed), mask), known


CASES = [("sub:23", flip), ("add:29", negation), ("sub:23", negation), ("compose:S4", inversion)]


@pytest.mark.parametrize(("spec", "image"), CASES, ids=["flip", "negation", "negation of sub", "inversion"])
def test_images_of_training_pairs_are_not_unseen(spec, image):
    view, known = lookup(spec, image)
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


def test_a_circuit_that_follows_them_all_keeps_its_unseen_pairs():
    """cos w(a + b - c) is the same for (-a, -b, -c), and answers what is no image as well."""
    view = circuits.cosines()
    mask = torch.from_numpy(view.train_mask)
    flipped = mask.reshape(31, 31).T.reshape(-1)
    assert torch.equal(view.split.unseen, ~(mask | flipped))
