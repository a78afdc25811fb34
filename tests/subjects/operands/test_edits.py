"""Interventions against their definitions."""

import numpy as np
import pytest
import torch

from detectors.core.groups import Group
from detectors.subjects.operands.edits import (
    cause,
    edit_embedding,
    edit_neurons,
    eligible_pairs,
    of_characters,
    of_irreps,
)
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo import group_network, lookup_table, trig_mlp
from models_zoo.analytic import _TableNetwork
from models_zoo.hostile import circuits
from models_zoo.hostile import constructions as made
from models_zoo.stacks import Stack, initial


def test_removing_and_keeping_embedding_irreps_is_a_projection_of_the_token_rows(grokked):
    pairs = torch.arange(0, 2809, 53)
    g = grokked.group
    edited = edit_embedding(grokked)(pairs, of_irreps(g, [16, 4]))
    whole = grokked.weight("embed.W_E")[:53]
    inside = torch.from_numpy(sum(g.projector(g.irreps[i]) for i in (16, 4))).float() @ whole
    for keep in (False, True):
        rows = grokked.weight("embed.W_E").clone()
        rows[:53] = rows[:53].mean(0) + inside if keep else rows[:53] - inside
        tokens = grokked.tokens_of(pairs)
        full = torch.cat([rows[tokens], rows[53].expand(len(pairs), 1, -1)], dim=1)
        expected, _ = grokked.run(tokens, edit={"hook_embed": lambda _, full=full: full})
        torch.testing.assert_close(edited.logits(keep), expected, atol=1e-3, rtol=1e-4)
    assert edited.power == pytest.approx(
        float(inside.square().sum() / (whole - whole.mean(0)).square().sum()), rel=1e-4
    )


def test_neuron_families_are_eight_products_and_the_mean_is_kept(grokked):
    n, k = 53, 16
    neurons = grokked.neurons().double().reshape(n, n, -1)
    angle = 2 * np.pi * k * torch.arange(n, dtype=torch.float64) / n
    one, c, s = (v / v.norm() for v in (torch.ones(n, dtype=torch.float64), angle.cos(), angle.sin()))
    inside = torch.zeros_like(neurons)
    for u, v in [(one, c), (one, s), (c, one), (s, one), (c, c), (c, s), (s, c), (s, s)]:
        inside += torch.einsum("a,b,m->abm", u, v, torch.einsum("a,b,abm->m", u, v, neurons))
    pairs = torch.arange(0, n * n, 31)
    edited = edit_neurons(grokked)(pairs, of_irreps(grokked.group, [k]))
    base, readout = grokked.logits()[pairs].double(), grokked.readout().double()
    flat = inside.reshape(n * n, -1)[pairs]
    removed = base - flat @ readout
    kept = base + (neurons.mean((0, 1)) + flat - neurons.reshape(n * n, -1)[pairs]) @ readout
    torch.testing.assert_close(edited.logits(False).double(), removed, atol=1e-2, rtol=1e-3)
    torch.testing.assert_close(edited.logits(True).double(), kept, atol=1e-2, rtol=1e-3)
    whole = (neurons - neurons.mean((0, 1))).square().sum()
    assert edited.power == pytest.approx(float(inside.square().sum() / whole), rel=1e-4)


DEEP = {"layers": 3, "d": 10, "m": 12, "shared": False, "act": "relu", "residual": True, "norm": True}


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_the_layer_that_is_named_is_edited_and_the_rest_of_the_model_run(layer):
    task = Task.parse("sub:7")
    view = ModelView(Stack(DEEP, initial(DEEP, 7, 0)), task)
    pairs, group = torch.arange(0, 49, 5), view.group
    neurons = view.neurons(layer)[view.grid.reshape(-1)].double()
    q = np.concatenate([np.full((7, 1), 7**-0.5), group.basis[:, group.slices[2]]], axis=1)
    projector = torch.from_numpy(np.kron(q @ q.T, q @ q.T))  # onto products of functions of a and of b
    inside = torch.empty_like(neurons)
    inside[view.grid.reshape(-1)] = projector @ (neurons - neurons.mean(0))
    edited = edit_neurons(view, layer)(pairs, of_irreps(group, [2]))
    for keep in (False, True):
        wanted = (neurons.mean(0) + inside[pairs]) if keep else view.neurons(layer)[pairs].double() - inside[pairs]
        name = f"blocks.{layer % 3}.mlp.hook_post"
        expected = view.run(view.tokens_of(pairs), edit={name: lambda _, x=wanted: x.float()[:, None]})[0]
        torch.testing.assert_close(edited.logits(keep), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(edited.logits(False), view.logits()[pairs], atol=1e-2)


def test_a_circuit_of_one_irrep_needs_it_and_nothing_else():
    view = group_network(Group.from_name("S4"), [3])
    for edit in (edit_embedding, edit_neurons):
        found = cause(view, of_irreps(view.group, [3]), edit(view), seed=0)
        assert found.necessity == 1  # what is left is round-off
        assert found.sufficiency == 1
        assert found.control == found.control_spread == 0
        assert (found.pairs, found.basis) == (576, "all_pairs")
        assert found.p_value == pytest.approx(2.0**-576)
        assert (found.dimensions, found.control_dimensions) == (9, 9)
        assert found.power == pytest.approx(1)
        assert found.control_power == pytest.approx(0, abs=1e-9)


def test_parts_of_a_circuit_that_only_feed_a_bias_are_not_sufficient():
    view = circuits.bias_fed_by_trig(p=17, moving=True)
    found = cause(view, of_irreps(view.group, [3]), edit_neurons(view), seed=0)
    assert found.sufficiency < 0.2


def test_characters_are_unit_vectors_within_their_blocks():
    group = Group.from_name("S4")
    for i, part in enumerate(of_characters(group, [1, 2, 3])):
        block = of_irreps(group, [i + 1])[0]
        assert part.shape == (24, 1)
        assert float(part.norm()) == pytest.approx(1)
        torch.testing.assert_close(block @ (block.T @ part), part)


# ---- which pairs


DIVISION = Task.parse("div:29")  # 28 * 28 labelled pairs; the answer 0 is that of no element of the group
LABELLED = torch.from_numpy(DIVISION.grid.ravel())


def right_on(task, pairs, wrong=()):
    """One-hot logits: right on some pairs, twice the right answer on others, and 0, by a tie, elsewhere."""
    logits = torch.zeros(task.n_tokens**2, task.n_answers)
    answers = torch.from_numpy(task.answer.ravel())
    logits[pairs, answers[pairs]] = 1
    wrong = torch.as_tensor(wrong, dtype=torch.long)
    logits[wrong, 2 * answers[wrong] % task.n_answers] = 1
    return _TableNetwork(logits, task.n_tokens)


def test_eligible_pairs_are_unseen_ones_when_enough_are_right():
    table = lookup_table("add:29", train_fraction=0.5)
    pairs, basis = eligible_pairs(table)
    assert basis == "all_pairs"  # the table knows only its training pairs
    assert len(pairs) >= 420
    view = group_network(Group.from_name("S4"), [3], train_fraction=0.5)
    pairs, basis = eligible_pairs(view)
    assert basis == "unseen_pairs"
    assert len(pairs) == 288
    assert not view.train_mask[pairs].any()


def test_echoes_are_not_eligible_as_unseen_pairs():
    view = made.lookup(p=29, fraction=0.7, symmetric=True)
    assert eligible_pairs(view)[1] == "all_pairs"
    view = circuits.cosines()
    pairs, basis = eligible_pairs(view)
    assert basis == "unseen_pairs"
    assert sorted(pairs.tolist()) == torch.nonzero(view.split.unseen).squeeze(1).tolist()


@pytest.mark.parametrize(("within", "basis"), [(0, "all_pairs"), (8, "all_pairs"), (9, "unseen_pairs")])
def test_unseen_pairs_of_few_quotients_are_no_sample(within, basis):
    """Of the diagonal alone an exact ReLU circuit keeps its answers without what its neurons multiply."""
    a, b = np.divmod(np.arange(37 * 37), 37)
    apart = np.minimum((a - b) % 37, (b - a) % 37)
    view = trig_mlp(p=37, frequencies=(2, 5, 11)).with_train_mask(apart > within)
    assert eligible_pairs(view)[1] == basis
    assert cause(view, of_irreps(view.group, [2, 5, 11]), edit_neurons(view), seed=0).necessity > 0.5


@pytest.mark.parametrize(("right", "enough"), [(29, False), (30, True)])
def test_thirty_right_answers_are_enough(right, enough):
    some = LABELLED[:: 784 // right][:right]
    assert (eligible_pairs(ModelView(right_on(DIVISION, some), DIVISION)) is not None) == enough
    seen = LABELLED[~torch.isin(LABELLED, some)]
    mask = np.zeros(841, dtype=bool)
    mask[seen[:500]] = True
    pairs, basis = eligible_pairs(
        ModelView(right_on(DIVISION, torch.cat([some, seen[:500]])), DIVISION, train_mask=mask)
    )
    assert basis == ("unseen_pairs" if enough else "all_pairs")
    assert len(pairs) == (right if enough else right + 500)


@pytest.mark.parametrize(("others", "enough"), [(0, True), (60, True), (63, False)])
def test_right_answers_outnumber_another_rule_by_three_standard_errors(others, enough):
    """100 - k > 3 sqrt(100 + k) where k <= 61."""
    view = ModelView(right_on(DIVISION, LABELLED[:100], LABELLED[200 : 200 + others]), DIVISION)
    assert (eligible_pairs(view) is not None) == enough


def test_answers_that_are_a_function_of_another_offset_are_no_knowledge():
    """a + b + 1 on most pairs and a + b on a few: right more often than chance, and less than it is wrong by one."""
    task = Task.parse("add:31")
    answer = torch.from_numpy((task.answer + 1) % 31).reshape(-1)
    few = torch.arange(0, 961, 10)
    answer[few] = torch.from_numpy(task.answer).reshape(-1)[few]
    logits = torch.nn.functional.one_hot(answer, 31).float()
    assert eligible_pairs(ModelView(_TableNetwork(logits, 31), task)) is None


def test_holes_and_errors_of_a_table_are_not_eligible():
    answer = Task.parse("add:23").answer.copy()
    answer[2, 3], answer[4, 5] = -1, 11
    task = Task.of_table("table:holes.npy", answer)
    view = ModelView(right_on(Task.parse("add:23"), torch.arange(529)), task)
    pairs, basis = eligible_pairs(view)
    assert (len(pairs), basis) == (527, "all_pairs")
    assert not {2 * 23 + 3, 4 * 23 + 5} & set(pairs.tolist())


@pytest.mark.parametrize("key", [[], [1]])
def test_a_model_that_knows_nothing_has_no_cause(key):
    task = Task.parse("add:13")
    view = ModelView(_TableNetwork(torch.randn(169, 13, generator=torch.Generator().manual_seed(0)), 13), task)
    assert cause(view, of_irreps(view.group, key), edit_neurons(view), seed=0) is None
