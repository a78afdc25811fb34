"""Flips, single pairs, spectra and blocks of the grid of logits, against loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.errors import NotApplicable
from detectors.core.groups import Group
from detectors.core.spectrum import chance_shares
from detectors.subjects.operands.plane import BLOCKS, LogitGrid, character_cosines, concentration
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo import group_network
from models_zoo.analytic import _TableNetwork
from models_zoo.hostile import circuits
from models_zoo.hostile import constructions as made

SPECS = ["add:5", "sub:6", "mul:7", "div:7", "compose:S3", "compose:C6"]


def grid_of(spec, seed=0):
    task = Task.parse(spec)
    logits = torch.from_numpy(np.random.default_rng(seed).standard_normal((task.n_tokens**2, task.n_answers))).float()
    return LogitGrid(logits, task), task


@pytest.mark.parametrize(("spec", "symmetric"), [*zip(SPECS, [1, 0, 1, 0, 0, 1], strict=True)])
def test_a_flip_is_the_same_question_of_a_commutative_task_and_none_of_another(spec, symmetric):
    grid, task = grid_of(spec)
    n = task.n_tokens
    for k in range(grid.n**2):
        (a, b), (c, d) = (divmod(int(grid.pairs[i]), n) for i in (k, int(grid.flip[k])))
        assert (c, d) == ((b, a) if symmetric else (a, b))
        assert task.answer[a, b] == task.answer[c, d]
    assert torch.equal(grid.flip[grid.flip], grid.everything)


def test_a_task_without_a_group_has_no_grid():
    task = Task.parse("max:5")
    with pytest.raises(NotApplicable):
        LogitGrid(torch.zeros(25, 5), task)


@given(st.sampled_from(SPECS), st.integers(0, 999))
def test_a_rival_is_the_strongest_wrong_answer_of_those_that_are_labelled(spec, seed):
    grid, task = grid_of(spec, seed)
    g, labels = grid.group, task.labels
    margin, place = grid.each.margin, grid.each.place
    for k in range(g.order**2):
        a, b = divmod(k, g.order)
        row = {c: float(grid.logits[grid.pairs[k], labels.answers[c]]) for c in range(g.order)}
        right = int(g.table[a, b])
        rival = max((c for c in row if c != right), key=row.__getitem__)
        assert float(margin[k]) == pytest.approx(row[right] - row[rival], abs=1e-5)
        assert int(place[k]) == g.table[right, g.inverse[rival]]  # a b c^-1


@given(st.sampled_from(SPECS), st.integers(0, 999))
def test_cosines_are_those_of_the_pairs_that_they_are_asked_of(spec, seed):
    grid, _ = grid_of(spec, seed)
    some = torch.from_numpy(np.random.default_rng(seed).permutation(grid.n**2)[: grid.n + 3])
    f, power = grid.aligned(some).mean(0), float(grid.rows(some).square().sum())
    torch.testing.assert_close(grid.cosines(some), character_cosines(grid.group, f, len(some), power))
    everything = grid.cosines(grid.everything)
    assert grid.concentration == pytest.approx(float(concentration(grid.group, everything)))


@pytest.mark.parametrize("used", [1, 2, 5, 10, 15])
def test_k_frequencies_of_one_size_are_concentrated_by_how_few_they_are(used):
    """(1 - k / 15) / (1 - 1 / 15) of the 15 frequencies mod 31: 1 of one, 0 of all."""
    grid = circuits.cosines(frequencies=range(1, used + 1)).plane
    assert grid.concentration == pytest.approx((15 - used) / 14, abs=1e-4)


@pytest.mark.parametrize("name", ["C31", "S4", "D7", "C2xS3"])
def test_an_irrep_alone_is_concentrated_and_a_table_of_all_answers_is_flat(name):
    group = Group.from_name(name)
    task = Task.parse(f"compose:{name}")
    assert LogitGrid(made.one_hot(task), task).concentration == pytest.approx(0, abs=1e-6)
    for i in range(1, len(group.irreps)):
        assert group_network(group, [i]).plane.concentration == pytest.approx(1, abs=1e-5)


def test_what_speaks_against_a_character_adds_no_concentration():
    group = Group.from_name("C11")
    cosines = torch.zeros(2, 5, dtype=torch.float64)
    cosines[0, 2] = 0.6
    cosines[1] = torch.tensor([-0.9, -0.3, 0.6, -0.2, -0.9])
    assert concentration(group, cosines).tolist() == pytest.approx([1, 1])
    assert float(concentration(group, chance_shares(group).sqrt())) == pytest.approx(0, abs=1e-9)
    assert float(concentration(group, -torch.ones(5, dtype=torch.float64))) == 0


def test_logits_that_are_all_alike_have_no_spectrum():
    task = Task.parse("add:5")
    assert LogitGrid(torch.ones(25, 5), task).concentration == 0


@given(st.sampled_from(SPECS), st.integers(0, 999))
def test_a_pair_and_its_flip_lie_in_one_block_and_blocks_are_even(spec, seed):
    grid, _ = grid_of(spec)
    rng = np.random.default_rng(seed)
    some = torch.from_numpy(np.sort(rng.permutation(grid.n**2)[: 3 + 2 * grid.n]))
    block = dict(zip(some.tolist(), grid.blocks(some, rng).tolist(), strict=True))
    for k, flip in zip(some.tolist(), grid.flip[some].tolist(), strict=True):
        assert block.get(flip, block[k]) == block[k]
    questions = {min(k, int(grid.flip[k])): b for k, b in block.items()}
    sizes = np.bincount(list(questions.values()), minlength=BLOCKS)
    assert len(sizes) == BLOCKS
    assert sizes.max() - sizes.min() <= 1


def test_blocks_are_drawn_anew_from_the_generator():
    grid, _ = grid_of("compose:C6")
    rng = np.random.default_rng(0)
    assert not torch.equal(grid.blocks(grid.everything, rng), grid.blocks(grid.everything, rng))


def test_a_share_is_of_the_labelled_pairs():
    grid, task = grid_of("mul:7")
    mask = torch.zeros(49, dtype=torch.bool)
    mask[:7] = True  # 0 * b, without a label
    assert (grid.share(mask), len(grid.among(mask))) == (0, 0)
    mask[7:14] = True  # 1 * 0 and six labelled
    assert grid.share(mask) == pytest.approx(6 / 36)
    assert grid.pairs[grid.among(mask)].tolist() == sorted(set(range(8, 14)), key=grid.pairs.tolist().index)
    assert grid.share(None) is None
    assert task.labels is not None


def test_losses_are_of_the_labelled_answers_alone():
    """Multiplication mod 7, whose answer 0 stands above all others: no loss to the pairs without a 0."""
    task = Task.parse("mul:7")
    logits = 20 * made.one_hot(task)
    logits[:, 0] += 100
    view = ModelView(_TableNetwork(logits, 7), task)
    assert float(view.plane.each.loss.max()) < 1e-7
