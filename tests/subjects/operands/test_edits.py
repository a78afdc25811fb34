"""Interventions against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.groups import Group
from detectors.subjects.operands.edits import cause, edit_embedding, edit_neurons, eligible_pairs, matched_irreps
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.strategies import group_names
from models_zoo import group_network, lookup_table
from models_zoo.analytic import _TableNetwork


def test_removing_and_keeping_embedding_irreps_is_a_projection_of_the_token_rows(grokked):
    pairs = torch.arange(0, 2809, 53)
    edited = edit_embedding(grokked)(pairs, [16, 4])
    g = grokked.group
    inside = torch.from_numpy(sum(g.projector(g.irreps[i]) for i in (16, 4))).float() @ grokked.weight("embed.W_E")[:53]
    for keep in (False, True):
        rows = grokked.weight("embed.W_E").clone()
        rows[:53] = rows[:53].mean(0) + inside if keep else rows[:53] - inside
        tokens = grokked.tokens_of(pairs)
        full = torch.cat([rows[tokens], rows[53].expand(len(pairs), 1, -1)], dim=1)
        expected, _ = grokked.run(tokens, edit={"hook_embed": lambda _, full=full: full})
        torch.testing.assert_close(edited(keep), expected, atol=1e-3, rtol=1e-4)


def test_neuron_families_are_eight_products_and_the_mean_is_kept(grokked):
    n, k = 53, 16
    neurons = grokked.neurons().double().reshape(n, n, -1)
    angle = 2 * np.pi * k * torch.arange(n, dtype=torch.float64) / n
    one, c, s = (v / v.norm() for v in (torch.ones(n, dtype=torch.float64), angle.cos(), angle.sin()))
    inside = torch.zeros_like(neurons)
    for u, v in [(one, c), (one, s), (c, one), (s, one), (c, c), (c, s), (s, c), (s, s)]:
        inside += torch.einsum("a,b,m->abm", u, v, torch.einsum("a,b,abm->m", u, v, neurons))
    pairs = torch.arange(0, n * n, 31)
    edited = edit_neurons(grokked)(pairs, [k])
    base, readout = grokked.logits()[pairs].double(), grokked.readout().double()
    flat = inside.reshape(n * n, -1)[pairs]
    removed = base - flat @ readout
    kept = base + (neurons.mean((0, 1)) + flat - neurons.reshape(n * n, -1)[pairs]) @ readout
    torch.testing.assert_close(edited(False).double(), removed, atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(edited(True).double(), kept, atol=1e-2, rtol=1e-3)


def test_a_circuit_of_one_irrep_needs_it_and_nothing_else():
    view = group_network(Group.from_name("S4"), [3])
    for edit in (edit_embedding, edit_neurons):
        found = cause(view, [3], edit(view), seed=0)
        assert found.necessity > 0.8  # what is left is round-off, whose largest entry is right now and then
        assert found.sufficiency == 1
        assert found.control == 0
        assert (found.pairs, found.basis) == (576, "all_pairs")


@given(group_names(3), st.integers(0, 100))
def test_the_control_is_other_irreps_of_nearly_the_same_dimension(name, seed):
    group = Group.from_name(name)
    key = [1 + seed % (len(group.irreps) - 1)]
    control = matched_irreps(group, key, seed)
    assert not set(control) & {0, *key}
    target, found = (sum(group.irreps[i].dimension for i in s) for s in (key, control))
    assert abs(found - target) <= max(target, 1)
    if len(group.irreps) == 2:
        assert control == []


def test_eligible_pairs_are_test_pairs_when_enough_are_right():
    table = lookup_table("add:29", train_fraction=0.5)
    pairs, basis = eligible_pairs(table)
    assert basis == "all_pairs"  # the table knows only its training pairs
    assert len(pairs) >= 420
    view = group_network(Group.from_name("S4"), [3], train_fraction=0.5)
    pairs, basis = eligible_pairs(view)
    assert basis == "test_pairs"
    assert len(pairs) == 288
    assert not view.train_mask[pairs].any()


def test_answers_that_are_a_function_of_another_offset_are_no_knowledge():
    """a + b + 1 on most pairs and a + b on a few: right more often than chance, and less than it is wrong by one."""
    task = Task.parse("add:31")
    answer = torch.from_numpy((task.answer + 1) % 31).reshape(-1)
    few = torch.arange(0, 961, 10)
    answer[few] = torch.from_numpy(task.answer).reshape(-1)[few]
    logits = torch.nn.functional.one_hot(answer, 31).float()
    assert eligible_pairs(ModelView(_TableNetwork(logits, 31), task)) is None


@pytest.mark.parametrize("key", [[], [1]])
def test_a_model_that_knows_nothing_has_no_cause(key):
    task = Task.parse("add:13")
    view = ModelView(_TableNetwork(torch.randn(169, 13, generator=torch.Generator().manual_seed(0)), 13), task)
    assert cause(view, key, edit_neurons(view), seed=0) is None
