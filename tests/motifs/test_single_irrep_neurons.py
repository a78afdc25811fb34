"""Purity of first layers: published shares, exact irreps, mixtures by construction."""

import numpy as np
import pytest
import torch

import detectors
from detectors.core.groups import Group
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.motifs.single_irrep_neurons import clause
from detectors.subjects.operands.view import ModelView
from models_zoo import coset_network, representation_network, trig_mlp


def network(group, columns, readout=None, seed=0):
    """ReLU neurons that are these functions of both operands."""
    m, n = columns.shape[1], group.order
    out = np.random.default_rng(seed).standard_normal((m, n)) if readout is None else readout
    weights = {"W_x": columns, "W_y": columns, "W": np.eye(m)[None].repeat(2, 0).reshape(2 * m, m), "W_U": out}
    parts = {k: torch.from_numpy(np.ascontiguousarray(w)).float() for k, w in weights.items()}
    return ModelView(TwoEmbeddingMLP(parts, "relu"), f"compose:{group.name}")


@pytest.mark.wide
@pytest.mark.external
def test_dihedral_networks_are_of_rank_one(external, capsys):
    """Published: a rank-one share of 0.999 for all of the energy of single frequency. And purity of S5."""
    rows = []
    for name, table in [(f"D59_MLP_seed{s}", "D59") for s in (1, 2)] + [(f"S5_MLP_seed{s}", "S5") for s in (1, 5)]:
        view = detectors.load(external / "group" / f"{name}.pt", task=f"table:{external / 'tables' / table}.npy")
        score = detectors.single_irrep_neurons(view, draws=19)
        rows.append((name, round(score.purity_above_090, 4), score.rank_one_above_0999, round(score.value, 3)))
        if table == "D59":
            assert score.rank_one_above_0999 == pytest.approx(1, abs=1e-3)
        assert score.value > 0.8
    with capsys.disabled():
        print(
            "\nnetwork, purity above 0.90, of it rank one to 0.999 (published for dihedral: 1), value:", *rows, sep="\n"
        )


def test_exact_irreps_are_pure_and_named():
    score = detectors.single_irrep_neurons(representation_network(Group.from_name("S5"), 24))
    assert (score.value, score.purity_above_090) == pytest.approx((1, 1))
    assert score.irreps == ("standard",)
    assert score.neurons == (256,)
    assert clause(score) == "100% of what its first layer does in neurons of one irrep each"
    cyclic = detectors.single_irrep_neurons(trig_mlp(p=13, frequencies=(2, 5)))
    assert set(cyclic.irreps) == {"freq_2", "freq_5"}
    assert cyclic.rank_one_above_0999 == 1


@pytest.mark.wide
def test_functions_of_cosets_of_a_small_subgroup_are_of_several_irreps():
    """A5 on twelve cosets of order 5: 1 + 3 + 3' + 5 by Frobenius reciprocity, and F is any mixture of these."""
    score = detectors.single_irrep_neurons(coset_network(Group.from_name("A5"), 5))
    assert detectors.coset_neurons(coset_network(Group.from_name("A5"), 5), draws=19).value == pytest.approx(1)
    assert score.mean_purity < 0.8
    assert score.purity_above_090 == 0


def test_neurons_of_several_irreps_are_of_none():
    """Half of them of one irrep, half of two: the first has half of the weight, and nothing is taken from it."""
    group, rng = Group.from_name("S4"), np.random.default_rng(0)
    pure, other = (
        group.basis[:, group.slices[i]] @ np.linalg.qr(rng.standard_normal((d, d)))[0][:, [0, 1] * 8]
        for i, d in ((3, group.irreps[3].dimension), (4, group.irreps[4].dimension))
    )
    mixed = 0.7**0.5 * pure + 0.3**0.5 * other
    score = detectors.single_irrep_neurons(network(group, 1e-3 * np.concatenate([pure, mixed], axis=1)))
    assert score.irreps == (group.irreps[3].name,)
    assert score.weight[0] == pytest.approx(score.purity_above_090, abs=0.1)
    assert 0.3 < score.weight[0] < 0.7


@pytest.mark.parametrize("share", [0.95, 0.85, 0.6])
def test_a_mixture_has_the_purity_that_it_was_made_with(share):
    group = Group.from_name("S4")
    rng = np.random.default_rng(0)

    def unit(i):
        x = group.basis[:, group.slices[i]] @ rng.standard_normal((group.irreps[i].dimension, 32))
        return x / np.linalg.norm(x, axis=0)

    score = detectors.single_irrep_neurons(network(group, share**0.5 * unit(3) + (1 - share) ** 0.5 * unit(4)))
    assert score.mean_purity == pytest.approx(share, abs=1e-4)
    assert score.purity_above_090 == pytest.approx(float(share > 0.9))
    if share < 0.9:
        assert score.irreps == ()
        assert score.rank_one_above_0999 is None


def test_random_functions_have_what_dimensions_give_and_no_more():
    group = Group.from_name("S4")
    view = network(group, np.random.default_rng(0).standard_normal((24, 64)))
    report = detectors.run(view, names=["single_irrep_neurons"])
    found = report["single_irrep_neurons"]
    assert found.verdict == "absent"
    assert found.null.mean > 0.4  # 9 of 23 dimensions and the better of two such irreps
    assert found.score < 0.05


def test_characters_are_pure_and_of_full_rank():
    group = Group.from_name("S4")
    character = group.irreps[3].character[:, None] * np.ones((1, 16))
    score = detectors.single_irrep_neurons(network(group, character))
    assert score.purity_above_090 == pytest.approx(1)
    assert score.rank_one_above_0999 == 0


def test_a_constant_counts_for_nothing():
    """Every column plus ten: a bias, of no irrep but the trivial one."""
    view = representation_network(Group.from_name("S4"), 6)
    moved = {**view.weights, "W_x": view.weights["W_x"] + 10}
    score = detectors.single_irrep_neurons(ModelView(TwoEmbeddingMLP(moved, "square"), view.task))
    assert score.purity_above_090 == pytest.approx(1)


def test_verdicts_on_the_zoo():
    present = detectors.run(detectors.load("zoo:s4_mlp"), names=["single_irrep_neurons"])["single_irrep_neurons"]
    assert present.verdict == "present"
    for name in ("a5_mlp_memorised", "add53_memorised", "s4_mlp_untrained"):
        report = detectors.run(detectors.load(f"zoo:{name}"), names=["single_irrep_neurons"])
        assert report["single_irrep_neurons"].verdict == "absent"
