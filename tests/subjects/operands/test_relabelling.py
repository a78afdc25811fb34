"""Null draws against models whose tokens and answers are renamed, and the edit of the logits against its parts."""

import numpy as np
import pytest
import torch

from detectors.core.nulls import permutations
from detectors.subjects.operands.edits import edit_logits, of_characters
from detectors.subjects.operands.plane import LogitGrid, character_cosines
from detectors.subjects.operands.relabelling import (
    NULL_PAIRS,
    null_sample,
    relabelled,
    relabelled_cosines,
    relabelled_g,
)
from detectors.subjects.operands.structured import carried, g_of, g_value, outdone, structured_fit, structured_share
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _TableNetwork
from models_zoo.hostile import constructions as made

SPECS = ["compose:A4", "compose:S3", "add:7", "mul:7"]


def noisy(spec: str, seed: int = 0) -> ModelView:
    """Logits of noise and twice the right answer."""
    task = Task.parse(spec)
    logits = np.random.default_rng(seed).standard_normal((task.n_tokens**2, task.n_answers))
    logits[task.domain, task.answer.ravel()[task.domain]] += 2
    return ModelView(_TableNetwork(torch.from_numpy(logits).float(), task.n_tokens), task)


def renamed(view: ModelView, perm: torch.Tensor) -> ModelView:
    """The model of a task in the group's own order, with element x called perm[x] in either operand and the answer."""
    n, old = len(perm), view.logits()
    p = perm.numpy()
    logits = torch.empty_like(old)
    logits[(p[:, None] * n + p).reshape(-1)[:, None], p[None]] = old
    return ModelView(_TableNetwork(logits, n), view.task)


@pytest.mark.parametrize("spec", SPECS[:3])
def test_null_draws_are_the_statistics_of_renamed_models(spec):
    view = noisy(spec)
    grid, n = view.plane, view.group.order
    pairs = torch.from_numpy(np.sort(np.random.default_rng(1).choice(n * n, n * n // 2 + 4, replace=False)))
    cosines, (observed, g) = relabelled_cosines(grid, pairs, 3, 5), relabelled_g(grid, pairs, 10.0, 3, 5)
    assert cosines.shape == (3, len(view.group.irreps) - 1)
    assert len(g) == 3
    for i, perm in enumerate(permutations(n, 3, 5)):
        other, there = renamed(view, perm).plane, perm[pairs // n] * n + perm[pairs % n]
        expected = character_cosines(view.group, other.fibre_mean(there), len(there), other.power(there))
        torch.testing.assert_close(cosines[i], expected)
        other.blocks = lambda _, rng: grid.blocks(pairs, rng)  # the same pairs in a block, whatever they are called
        assert float(g[i]) == pytest.approx(relabelled_g(other, there, 10.0, 1, 5)[0])
        product, shift = relabelled(grid, pairs, perm)
        assert torch.equal(product, other.product[there])
        assert torch.equal(grid.rows(pairs).gather(1, shift[product]), other.aligned(there))
    assert 0.1 < observed <= 1


def test_a_sample_is_of_1024_pairs_in_order():
    pairs = torch.arange(5000, 8000)
    sample = null_sample(pairs, 0)
    assert len(sample) == NULL_PAIRS == 1024
    assert set(sample.tolist()) <= set(pairs.tolist())
    assert torch.equal(sample, sample.sort().values)
    assert not torch.equal(sample, null_sample(pairs, 1))
    assert torch.equal(null_sample(pairs[:1024], 0), pairs[:1024])


def test_g_is_that_of_its_parts():
    grid = noisy("add:7").plane
    fitted, steepest = structured_fit(grid, grid.everything, 3)
    found = g_of(grid, grid.everything, 3)
    assert found.loss == pytest.approx(float(fitted.loss.mean()))
    assert found.temperature == pytest.approx(np.exp(np.log(fitted.temperature.numpy()).mean()))
    assert (found.share, found.steepest) == (structured_share(grid, grid.everything), steepest)
    assert found.carried == carried(grid, grid.fibre_mean(grid.everything), grid.everything)
    assert not found.outdone
    assert found.g == g_value(found, 7) > 0.1
    assert g_value(found._replace(outdone=True), 7) == 0
    whole = found._replace(share=0.5, carried=1.0)
    assert g_value(whole._replace(share=0.005), 7) == pytest.approx(found.g / 4)
    for spectrum, share, scaled in ((0.39, 0.5, True), (0.41, 0.5, False), (0.41, 0.24, True), (0.41, 0.26, False)):
        few = whole._replace(concentration=spectrum, share=share, carried=0.25 / 4)
        assert g_value(few, 7) == pytest.approx(found.g / 4 if scaled else found.g)


@pytest.mark.parametrize("spec", SPECS)
def test_what_is_kept_and_what_is_removed_add_up_to_the_centred_logits(spec):
    view = noisy(spec)
    grid, group = view.plane, view.group
    some = torch.arange(group.order**2).flip(0)[::3]
    irreps, pairs = [1, len(group.irreps) - 1], grid.pairs[some]
    edited = edit_logits(view, grid.everything)(pairs, of_characters(group, irreps))
    removed, kept = edited.logits(False)[:, grid.answers], edited.logits(True)[:, grid.answers]
    torch.testing.assert_close(removed + kept, grid.rows(some))
    # kept: a combination of characters, each with the cosine that it has in all of the logits
    rows = torch.stack([torch.from_numpy(group.irreps[i].character) for i in irreps])
    f = grid.fibre_mean(grid.everything)
    spread = grid.spread((rows @ f / rows.square().sum(1)) @ rows, some)
    torch.testing.assert_close(kept, spread)
    everywhere = edit_logits(view, grid.everything)(grid.pairs, of_characters(group, irreps)).logits(True)
    held = everywhere[:, grid.answers].square().sum() / grid.power(grid.everything)
    assert edited.power == pytest.approx(float(held))
    unlabelled = torch.ones(view.task.n_answers, dtype=torch.bool)
    unlabelled[grid.answers] = False
    assert bool((edited.logits(True)[:, unlabelled] == -torch.inf).all())
    assert bool(unlabelled.any()) == (spec == "mul:7")


def test_the_characters_are_those_of_the_pairs_they_are_fitted_on():
    view = noisy("add:7")
    first, rest = torch.arange(20), torch.arange(20, 49)
    one = of_characters(view.group, [1])
    kept = [edit_logits(view, part)(first, one).logits(True) for part in (first, rest)]
    assert not torch.allclose(*kept)


@pytest.mark.parametrize(("spec", "told"), [("add:13", False), ("sub:13", True)])
def test_a_commuting_task_asks_half_as_many_questions(spec, told):
    """Another answer ahead of the right one by 3.5 standard errors of all pairs, 2.5 of the pairs up to order."""
    task = Task.parse(spec)
    n, ahead = 13, 3.5 / 13
    signs = torch.from_numpy(np.random.default_rng(0).permutation(np.resize([1.0, -1.0], n * n)))
    apart = ahead + signs - signs.mean()  # of standard deviation 1
    rows = torch.full((n * n, n), -20.0)
    rows[:, 0], rows[:, 4] = 0, apart.float()
    labels, (a, b) = task.labels, np.divmod(np.arange(n * n), n)
    product = labels.group.table[a, b]
    answers = labels.group.table[labels.group.inverse[None, :], product[:, None]]  # c with a b c^-1 = g
    logits = torch.zeros(n * n, n).scatter_(1, torch.from_numpy(labels.answers[answers]), rows)
    pairs = torch.from_numpy(task.grid.reshape(-1))
    ordered = torch.empty_like(logits)
    ordered[pairs] = logits
    grid = LogitGrid(ordered, task)
    assert outdone(grid, grid.fibre_mean(grid.everything), grid.everything) == told


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("apart", "told"), [(15, True), (10, True), (5, False)])
def test_ties_of_a_quotient_that_noise_breaks_are_ties(seed, apart, told):
    """Answers 0 and 15 level are those mod 15, 0, 10 and 20 those mod 10; 0 and 5 of six that are not are luck."""
    task = Task.parse("add:30")
    level = [k for k in range(0, 30, apart) if told or k <= apart]
    table = sum(made.one_hot(task).roll(k, 1) for k in level) + made.noise(task, 0.1, seed)
    grid = made.of_table(task, table, np.ones(900, dtype=bool)).plane
    assert outdone(grid, grid.fibre_mean(grid.everything), grid.everything) == told
