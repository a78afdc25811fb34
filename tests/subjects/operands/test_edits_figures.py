"""Necessity, sufficiency and control of edits whose outcome is written down, and the random directions of a control."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from detectors.core.groups import Group
from detectors.core.nulls import mcnemar
from detectors.subjects.operands.controls import CONTROLS, Edited, random_parts
from detectors.subjects.operands.edits import cause, of_irreps
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.strategies import group_names
from models_zoo.analytic import _TableNetwork
from models_zoo.hostile import circuits
from models_zoo.hostile import constructions as made


def scripted(view, motif, lost, kept, others, powers=(0.5, 0.1)):
    """An intervention whose outcome is written down: `lost` and `kept` of the motif, by position among the pairs, and
    `others` in turn of what is removed in its stead.
    """
    answers = torch.from_numpy(view.task.answer.ravel())
    turns = iter(others)

    def intervene(pairs, parts):
        own = parts is motif
        gone = lost if own else next(turns)

        def logits(keep):
            right = torch.isin(torch.arange(len(pairs)), torch.as_tensor(kept))
            right = right if keep else ~torch.isin(torch.arange(len(pairs)), torch.as_tensor(gone))
            return right[:, None] * torch.nn.functional.one_hot(answers[pairs], view.task.n_answers).double()

        return Edited(logits, powers[0] if own else powers[1])

    return intervene


@pytest.fixture
def exact():
    task = Task.parse("sub:11")
    return ModelView(_TableNetwork(made.one_hot(task), 11), task)


def test_figures_are_shares_of_the_pairs_answered_right(exact):
    motif = of_irreps(exact.group, [1, 2])
    others = [range(0), range(10, 22), range(80, 101)]
    found = cause(exact, motif, scripted(exact, motif, range(90), range(60), others), seed=0)
    assert (found.pairs, found.basis) == (121, "all_pairs")
    assert (found.necessity, found.sufficiency) == (90 / 121, 60 / 121)
    assert found.control == pytest.approx((0 + 12 + 21) / 3 / 121)
    assert found.control_spread == pytest.approx(np.std([0, 12 / 121, 21 / 121]))
    assert (found.power, found.control_power) == (0.5, pytest.approx(0.1))
    assert (found.dimensions, found.control_dimensions) == (4, 4)
    # against the third draw 80 pairs are lost by the motif alone and 11 by the draw alone
    assert found.p_value == pytest.approx(binom.sf(79, 91, 0.5), rel=1e-6, abs=0)


def test_a_control_may_lose_as_many_pairs_and_still_other_ones(exact):
    motif = of_irreps(exact.group, [1])
    found = cause(exact, motif, scripted(exact, motif, range(60), (), [range(60, 120)] * 3), seed=0)
    assert found.necessity == found.control
    assert found.p_value == pytest.approx(binom.sf(59, 120, 0.5), rel=1e-6, abs=0)
    found = cause(exact, motif, scripted(exact, motif, range(60), (), [range(60)] * 3), seed=0)
    assert found.p_value == 1


def test_where_no_control_is_left_there_is_none(exact):
    motif = of_irreps(exact.group, [1, 2, 3, 4])  # 8 dimensions, and 2 outside
    found = cause(exact, motif, scripted(exact, motif, range(121), range(121), []), seed=0)
    assert (found.control, found.control_spread, found.control_power, found.p_value) == (None,) * 4
    assert (found.dimensions, found.control_dimensions) == (8, 0)
    assert (found.necessity, found.sufficiency) == (1, 1)


def test_an_edit_that_leaves_a_tenth_of_the_margin_leaves_the_answer(exact):
    motif = of_irreps(exact.group, [1])
    for left, lost in ((0.09, 1.0), (0.11, 0.0)):

        def shrunk(pairs, parts, left=left):
            return Edited(lambda keep: left * exact.logits()[pairs].double(), 0.0)

        found = cause(exact, motif, shrunk, seed=0)
        assert (found.necessity, found.sufficiency, found.control) == (lost, 1 - lost, lost)


def test_what_leaks_is_asked_on_unseen_pairs_or_where_all_pairs_settle_it():
    circuit, table = circuits.cosines(), made.lookup(p=31, fraction=0.5, symmetric=False)
    for view, leaks, known in (
        (circuit, True, True),
        (circuit.with_train_mask(None), True, True),  # settled on all pairs
        (table, False, True),
        (table, True, False),
        (table.with_train_mask(None), True, False),
    ):
        motif = of_irreps(view.group, [3])
        edit = scripted(view, motif, (), (), [()] * 3)
        assert (cause(view, motif, edit, seed=0, leaks=leaks) is not None) == known


def test_of_many_pairs_2048_are_asked():
    task = Task.parse("sub:47")
    view = ModelView(_TableNetwork(made.one_hot(task), 47), task)
    motif = of_irreps(view.group, [1])
    assert cause(view, motif, scripted(view, motif, (), (), [()] * 3), seed=0).pairs == 2048


# ---- McNemar


@given(st.integers(0, 9999), st.floats(0, 1), st.floats(0, 1))
def test_the_comparison_is_binomial_over_discordant_pairs(seed, first, second):
    rng = np.random.default_rng(seed)
    lost, control = rng.random(60) < first, rng.random(60) < second
    more, fewer = sum(lost & ~control), sum(control & ~lost)
    assert mcnemar(lost, control) == pytest.approx(float(binom.sf(more - 1, more + fewer, 0.5)))


def test_pairs_lost_by_both_or_neither_say_nothing():
    lost, control = np.array([True, True, True, False, False]), np.array([False, True, True, False, False])
    assert mcnemar(lost, control) == mcnemar(lost[:1], control[:1]) == 0.5
    assert mcnemar(control, control) == 1


# ---- random directions


def frame(n, sizes, seed=0):
    """Parts of these sizes, orthonormal and orthogonal to the constant."""
    rng = np.random.default_rng(seed)
    columns = np.concatenate([np.ones((n, 1)), rng.standard_normal((n, sum(sizes)))], axis=1)
    q = torch.from_numpy(np.linalg.qr(columns)[0][:, 1:])
    return list(q.split(list(sizes), dim=1))


def check(motif, draws, sizes):
    assert len(draws) == CONTROLS == 3
    inside = torch.cat([torch.ones(len(motif[0]), 1, dtype=torch.float64), *motif], dim=1)
    for draw in draws:
        columns = torch.cat(draw, dim=1)
        assert [part.shape[1] for part in draw] == sizes
        torch.testing.assert_close(columns.T @ columns, torch.eye(sum(sizes), dtype=torch.float64))
        assert float((inside.T @ columns).abs().max()) < 1e-9


@given(group_names(4), st.integers(0, 9999))
def test_a_control_is_random_directions_outside_the_motif_and_the_constant(name, seed):
    group = Group.from_name(name)
    key = [1 + seed % (len(group.irreps) - 1)]
    motif = of_irreps(group, key)
    size, outside = group.irreps[key[0]].dimension, group.order - 1 - group.irreps[key[0]].dimension
    draws = random_parts(motif, np.random.default_rng(seed))
    if 2 * outside < size:
        assert draws == []
    else:
        check(motif, draws, [min(size, outside)])


@pytest.mark.parametrize(
    ("n", "sizes", "found"),
    [
        (13, [2, 2, 2], [2, 2, 2]),  # 6 outside
        (12, [2, 2, 2], [2, 2, 1]),  # 5
        (10, [2, 2, 2], [2, 1]),  # 3: half
        (9, [2, 2, 2], None),  # 2: less
        (12, [4, 3], [4]),  # 4 for 7
        (11, [4, 3], None),  # 3 for 7
        (4, [1, 1], [1]),
        (3, [1, 1], None),
    ],
)
def test_a_smaller_complement_is_taken_whole_down_to_half(n, sizes, found):
    motif = frame(n, sizes)
    draws = random_parts(motif, np.random.default_rng(0))
    if found is None:
        assert draws == []
    else:
        check(motif, draws, found)


def test_draws_are_different_and_of_any_direction_alike():
    """Each of 20 directions outside holds, on average, its share 4 / 20 of what is removed."""
    motif, rng = frame(25, [2, 2]), np.random.default_rng(0)
    projectors = [sum(p @ p.T for p in draw) for _ in range(200) for draw in random_parts(motif, rng)]
    assert float((projectors[0] - projectors[1]).abs().max()) > 0.1
    inside = torch.cat([torch.ones(25, 1, dtype=torch.float64) / 5, *motif], dim=1)
    expected = (torch.eye(25, dtype=torch.float64) - inside @ inside.T) * 4 / 20
    assert float((torch.stack(projectors).mean(0) - expected).abs().max()) < 0.04
