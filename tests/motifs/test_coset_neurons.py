"""Cosets: published networks by others' figures, exact circuits, and irreps in a basis that no subgroup fixes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import NotApplicable, Undetermined
from detectors.core.groups import Group
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.motifs.coset_neurons import clause
from detectors.subjects.operands.view import ModelView
from models_zoo import coset_network, representation_network


def rewired(view, **weights):
    """The same network with some weights replaced."""
    return ModelView(TwoEmbeddingMLP({**view.weights, **weights}, "relu"), view.task, train_mask=view.train_mask)


@pytest.mark.wide
@pytest.mark.external
def test_shares_are_those_that_others_measured(external, capsys):
    """Every figure of truth_cosets.json; and of those that answer, the alignment is beyond that of single irreps."""
    rows = []
    for name, truth in json.loads((external / "truth_cosets.json").read_text()).items():
        view = detectors.load(external / "group" / f"{name}.pt", task=f"table:{external / 'tables' / 'S5.npy'}")
        score = detectors.coset_neurons(view, draws=19)
        by_order: dict[str, float] = {}
        for one in score.subgroups:
            by_order[str(one["order"])] = by_order.get(str(one["order"]), 0.0) + one["energy"]
        assert score.alignment_above_090 == pytest.approx(truth["alignment_above_090"], abs=1e-4)
        if len(score.subgroups) < 32:
            assert {k: round(v, 3) for k, v in by_order.items()} == pytest.approx(truth["by_order"], abs=1e-3)
        rows.append((name, truth["alignment_above_090"], round(score.alignment_above_090, 4), round(score.value, 3)))
        if truth["test_accuracy"] > 0.98:
            assert score.value > 0.9
            assert score.null.p_value == 0.05
            assert min(score.causal.necessity, score.causal.sufficiency) > 0.95
            # published for 128 such networks: 100%, 0% and 100%
            assert score.interventions == pytest.approx({"abs": 1, "one_sign": 0, "both_signs": 1}, abs=0.01)
        elif truth["test_accuracy"] < 0.1:
            assert score.value < 0.2
    with capsys.disabled():
        print("\nnetwork, published share above 0.90, measured, value:", *rows, sep="\n")
    assert len(rows) == 10


@pytest.mark.parametrize("group", ["S4", "D9"])
def test_cosets_of_order_two_are_not_judged_and_not_denied(group):
    with pytest.raises(Undetermined, match="constant on cosets of subgroups of order 2"):
        detectors.coset_neurons(coset_network(Group.from_name(group), 2, train_fraction=0.5), draws=49)
    score = detectors.coset_neurons(representation_network(Group.from_name(group), 2, train_fraction=0.5), draws=49)
    assert score.value < 0.24


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("group", "order"), [("S4", 6), ("S4", 3), ("A5", 12), ("A4", 3)])
def test_an_exact_circuit_counts_the_cosets_that_it_was_written_with(group, order):
    score = detectors.coset_neurons(coset_network(Group.from_name(group), order, train_fraction=0.5))
    assert score.value == pytest.approx(1, abs=1e-6)
    assert score.null.p_value == 0.005
    assert {one["order"] for one in score.subgroups} == {order}
    assert score.alignment_above_090 == pytest.approx(1, abs=1e-9)
    assert score.other_side == score.sign == 0
    assert (score.causal.necessity, score.causal.sufficiency, score.causal.control) == (1, 1, 0)


def test_the_sentence_is_of_what_columns_do_to_the_logits():
    """Beside the circuit stand columns of cosets of order 3, a hundred times as large, and nothing reads them."""
    used, idle = (coset_network(Group.from_name("S4"), order, train_fraction=0.5) for order in (6, 3))
    m = used.weights["W_U"].shape[0] + idle.weights["W_U"].shape[0]
    both = {
        name: torch.cat([used.weights[name], size * idle.weights[name]], dim=dim)
        for name, size, dim in (("W_x", 100, 1), ("W_y", 100, 1), ("W_U", 0, 0))
    }
    view = rewired(used, **both, W=torch.eye(m).repeat(2, 1))
    score = detectors.coset_neurons(view, draws=49)
    by = {key: sum(one[key] for one in score.subgroups if one["order"] == 3) for key in ("energy", "weight")}
    assert by["energy"] > 0.99
    assert by["weight"] < 1e-6
    assert sum(one["weight"] for one in score.subgroups if one["order"] == 6) == pytest.approx(1)
    assert clause(score) == "neurons that count cosets, of subgroups of order 6"


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("group", "order"), [("S4", 6), ("A5", 10), ("S5", 24), ("A5", 12)])
def test_irreps_in_a_random_basis_are_no_cosets(group, order):
    """Their published share is up to 0.75, and that of the same irreps in any other basis as high."""
    network = representation_network(Group.from_name(group), order, train_fraction=0.5)
    report = detectors.run(network, names=["coset_neurons", "single_irrep_neurons"])
    assert report["single_irrep_neurons"].verdict == "present"
    assert report["coset_neurons"].verdict != "present"
    assert report["coset_neurons"].p_value > 0.05


@pytest.mark.wide
def test_the_published_share_is_high_for_any_direction_of_a_small_irrep():
    """So that it alone says nothing: vectors of the standard irrep of S5 that nobody chose are near some cosets."""
    networks = [representation_network(Group.from_name("S5"), 24, seed=seed) for seed in range(4)]
    scores = [detectors.coset_neurons(network, draws=19) for network in networks]
    assert np.mean([s.alignment_above_090 + s.other_side for s in scores]) > 0.8
    assert np.mean([s.by_chance for s in scores]) > 0.95


def test_what_learnt_the_sign_alone_counts_no_cosets():
    """All of its columns are constant on those of the alternating group, and on those of every subgroup of that."""
    group = Group.from_name("S4")
    sign = torch.from_numpy(group.irreps[1].character).float()[:, None]
    rng = np.random.default_rng(0)
    scale = torch.from_numpy(rng.uniform(0.5, 2, (3, 16))).float()
    weights = {"W_x": sign * scale[0], "W_y": sign * scale[1], "W": torch.eye(16).repeat(2, 1)}
    view = ModelView(TwoEmbeddingMLP({**weights, "W_U": (sign * scale[2]).T.contiguous()}, "relu"), "compose:S4")
    score = detectors.coset_neurons(view)
    assert (score.alignment_above_090, score.sign) == pytest.approx((1, 1))
    assert score.value == 0
    assert score.null.p_value == 1


@pytest.mark.wide
def test_sides_are_told_apart():
    """With functions of the inverse in the operands' tables, the same energy is on the other side. Of twelve points,
    so that no other subgroup is near by chance.
    """
    view = coset_network(Group.from_name("A5"), 5)
    inverse = torch.from_numpy(view.group.inverse)
    other = rewired(view, W_x=view.weight("W_x")[inverse], W_y=view.weight("W_y")[inverse])
    found, turned = (detectors.coset_neurons(v, draws=19) for v in (view, other))
    assert (found.alignment_above_090, found.other_side) == pytest.approx((1, 0))
    assert (turned.alignment_above_090, turned.other_side) == pytest.approx((0, 1))
    assert not turned.subgroups
    assert turned.value == pytest.approx(1)


def test_units_of_a_neuron_move_the_published_share_and_no_value():
    """One neuron of noise: in units of 1e3 it has all of the published energy, and does what it did."""
    view = coset_network(Group.from_name("S4"), 6, seed=1)
    weights = {k: w.clone() for k, w in view.weights.items()}
    weights["W_x"][:, 0], weights["W_y"][:, 0] = (
        torch.from_numpy(np.random.default_rng(seed).standard_normal(24)).float() for seed in (0, 1)
    )
    grown = {k: w.clone() for k, w in weights.items()}
    for name in ("W_x", "W_y"):
        grown[name][:, 0] *= 1e3
    grown["W_U"][0] /= 1e3
    before, after = (detectors.coset_neurons(rewired(view, **w), draws=19) for w in (weights, grown))
    assert after.value == pytest.approx(before.value, abs=1e-4)
    assert before.alignment_above_090 > 0.9
    assert after.alignment_above_090 < 0.1


def test_neurons_that_do_nothing_count_for_nothing():
    view = coset_network(Group.from_name("S4"), 6)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((24, 64))).float()
    weights = {name: torch.cat([view.weight(name), 10 * noise], 1) for name in ("W_x", "W_y")}
    weights |= {"W": torch.eye(128).repeat(2, 1), "W_U": torch.cat([view.weight("W_U"), torch.zeros(64, 24)])}
    score = detectors.coset_neurons(rewired(view, **weights), draws=19)
    assert score.value == pytest.approx(1)
    assert score.alignment_above_090 < 0.2


def test_groups_and_layers_that_it_does_not_speak_of():
    with pytest.raises(NotApplicable, match="no subgroup of an index from 3 to a third"):
        detectors.coset_neurons(coset_network(Group.from_name("D5"), 2))
    two = detectors.load("zoo:population/034")
    with pytest.raises(Undetermined, match="first of 2 layers"):
        detectors.coset_neurons(two)
    cyclic = detectors.run(detectors.load("zoo:add53_mlp"), names=["coset_neurons"])["coset_neurons"]
    assert (cyclic.verdict, cyclic.reason) == ("not_applicable", "this model has no non-abelian group")


def test_memorisers_and_untrained_networks_have_none():
    for name in ("a5_mlp_memorised", "s4_mlp_untrained"):
        assert (
            detectors.run(detectors.load(f"zoo:{name}"), names=["coset_neurons"])["coset_neurons"].verdict == "absent"
        )


def test_columns_that_count_cosets_of_the_other_side_are_said_to():
    found = detectors.coset_neurons(coset_network(Group.from_name("S4"), order=6))
    assert clause(found) == "neurons that count cosets, of subgroups of order 6"
    assert "on the other operand's side" in clause(replace(found, other_side=0.84))
