"""The kit on motifs of heads: a template of ten lines passes, and one with a fault fails the check that is for it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import detectors
from detectors.core.heads import Heads
from detectors.rewire_heads import COORDINATES
from detectors.subjects.sequences.generators import NOTHING
from detectors.testing import detector_checks
from models_zoo.sequences import bench
from models_zoo.sequences.blocks import Blocks, model, task_of


def last_open(sample):
    """The latest key before the query that holds token 3."""
    place = torch.arange(sample.tokens.shape[1])
    before = (sample.tokens == 3)[:, None, :] & (place[None, :] < place[:, None])
    latest = torch.where(before, place, -1).amax(-1, keepdim=True)
    return detectors.Looks((place == latest) & (latest >= 0))


@detectors.detector(
    needs=("attention", "run"),
    version=1,
    source="none: an example",
    subject="sequences",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
)
def last_open_heads(model, /, *, draws=199, seed=0) -> Heads:
    """A head looks at the last open bracket."""
    return detectors.by_content(model, last_open, draws=draws, seed=seed)


def says_where():
    """At every place: how far back is the last open bracket, read from the place that its head looks at."""
    n = 10

    def make(rng, batch):
        tokens = rng.integers(3, 5, size=(batch, n))
        tokens[:, 0] = 0
        latest = np.maximum.accumulate(np.where(tokens == 3, np.arange(n), 0), axis=1)
        targets = np.full((batch, n), NOTHING)
        targets[:, 1:] = latest[:, :-1]
        return tokens, targets

    blocks = Blocks(5, n, n)
    by_token, by_place = torch.zeros(5, 5), torch.arange(n).float().expand(n, n) / 4 - 3 * torch.eye(n)
    by_token[:, 3] = 3.0
    by_token[:, 0] = 2.0
    writes = torch.zeros(blocks.width, blocks.width)
    writes[5 : 5 + n, -n:] = torch.eye(n)
    heads = [(blocks.scores(by_token, by_place), writes)]
    return model(task_of("where", make), blocks, heads, torch.eye(n), torch.zeros(n), np.random.default_rng(0), 20.0)


CHECKS = detector_checks(last_open_heads, models=[says_where(), bench.view("written.sorting/0")])


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_template_of_ten_lines_conforms(check):
    check()


def failing(detector) -> set[str]:
    detector.__detector__ = replace(last_open_heads.__detector__, name=detector.__name__)
    found = set()
    for check in detector_checks(detector, models=[says_where()]):
        try:
            check()
        except AssertionError:
            found.add(check.name)
    return found


def test_faults_fail_the_check_that_is_for_them():
    def unsorted(model, /, *, draws=199, seed=0) -> Heads:
        found = last_open_heads(model, draws=draws, seed=seed)
        return replace(found, heads=({**found.heads[0], "score": 0.1}, *found.heads))

    def nobody(model, /, *, draws=199, seed=0) -> Heads:
        found = last_open_heads(model, draws=draws, seed=seed)
        return replace(found, heads=({**found.heads[0], "head": 99},))

    def by_number(model, /, *, draws=199, seed=0) -> Heads:
        found = last_open_heads(model, draws=draws, seed=seed)
        weight = model.weights["blocks.0.attn.W_Q"]
        return replace(found, value=float(weight[0, 0, 0].abs().clamp(0.51, 1) if weight[0, 0, 0] > 0 else 0.7))

    def writes(model, /, *, draws=199, seed=0) -> Heads:
        found = last_open_heads(model, draws=draws, seed=seed)
        model.weights["blocks.0.attn.W_O"][:] *= 1.5
        return found

    assert "heads_are_the_models" in failing(unsorted)
    assert "heads_are_the_models" in failing(nobody)
    assert {"invariant_to_head_gauge", "invariant_to_residual_rotation"} & failing(by_number)
    assert "input_untouched" in failing(writes)


@pytest.mark.parametrize("name", COORDINATES)
def test_other_coordinates_are_the_same_model_with_other_weights(name):
    before = bench.view("written.sorting/2")
    assert before.n_heads > 1
    after = COORDINATES[name](before, 0)
    tokens = before.sample.tokens
    assert torch.allclose(
        after.run(tokens)[0], before.run(tokens)[0], atol=1e-2 * float(before.run(tokens)[0].abs().max())
    )
    assert not torch.equal(after.weights["blocks.0.attn.W_Q"], before.weights["blocks.0.attn.W_Q"])
