"""Columns of a first layer, and what the answers are without a part of them."""

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import Undetermined
from detectors.core.groups import Group
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.operands.columns import cause_of_columns, columns, share
from detectors.subjects.operands.swaps import flipped
from detectors.subjects.operands.view import ModelView
from models_zoo import coset_network, trig_mlp


@pytest.fixture(scope="module")
def view():
    return coset_network(Group.from_name("S4"), 6, train_fraction=0.5)


def test_of_an_mlp_on_two_embeddings_they_are_its_tables(view):
    """About their means: the left operand's first."""
    found = columns(view)
    tables = torch.cat([view.weight("W_x"), view.weight("W_y")], 1).double()
    assert torch.allclose(found.values, tables - tables.mean(0), atol=1e-6)
    assert found.on_left.tolist() == [True] * 64 + [False] * 64
    assert torch.allclose(found.energy, (tables - tables.mean(0)).square().sum(0), atol=1e-5)


def test_they_are_in_the_order_of_the_elements():
    """Of a - b mod 7 the right operand's element is minus its token."""
    view = trig_mlp(p=7, frequencies=(2,))
    other = ModelView(TwoEmbeddingMLP(dict(view.weights)), "sub:7")
    mirrored = (-torch.arange(7)) % 7
    plain, sub = columns(view), columns(other)
    assert torch.allclose(sub.values[:, sub.on_left], plain.values[:, plain.on_left], atol=1e-6)
    assert torch.allclose(sub.values[:, ~sub.on_left], plain.values[mirrored][:, ~plain.on_left], atol=1e-6)


def test_weights_are_of_no_units(view):
    grown = {k: w.clone() for k, w in view.weights.items()}
    for name in ("W_x", "W_y"):
        grown[name][:, 3] *= 1e3
    grown["W_U"][3] /= 1e3
    found, other = columns(view), columns(ModelView(TwoEmbeddingMLP(grown), view.task))
    assert torch.allclose(other.weight, found.weight, rtol=1e-3)
    assert other.energy[3] == pytest.approx(1e6 * float(found.energy[3]), rel=1e-3)


def test_a_share_is_of_what_there_is():
    weight = torch.tensor([1.0, 3.0], dtype=torch.float64)
    assert share(weight, torch.tensor([False, True])) == 0.75
    assert share(0 * weight, torch.tensor([True, True])) == 0


def test_a_part_that_is_kept_leaves_the_answers_and_removed_takes_them(view):
    found = columns(view)

    def noise(rng):
        return 0.01 * torch.from_numpy(rng.standard_normal(found.values.shape))

    whole = cause_of_columns(view, found, found.values, noise, 5, seed=0)
    assert (whole.necessity, whole.sufficiency, whole.control, whole.power) == (1, 1, 0, pytest.approx(1))
    assert (whole.dimensions, whole.control_dimensions, whole.basis) == (5, 5, "unseen_pairs")
    none = cause_of_columns(view, found, torch.zeros_like(found.values), noise, 5, seed=0)
    assert (none.necessity, none.sufficiency, none.power) == (0, 0, 0)
    assert cause_of_columns(view, found, found.values, noise, 0, seed=0) is None


def test_a_part_of_one_operand_is_that_operands(view):
    """The left operand kept and the right one removed answers by the left alone: next to never right."""
    found = columns(view)
    left = found.values * found.on_left
    kept = cause_of_columns(view, found, left, lambda rng: torch.zeros_like(left), 1, seed=0)
    assert kept.necessity > 0.9
    assert kept.sufficiency < 0.1


def test_signs_of_one_operand_and_of_both(view):
    """relu(+-(F - F')) of both signs: with both exchanged the same neurons in another order."""
    assert flipped(view, columns(view), 0) == pytest.approx({"one_sign": 0, "both_signs": 1}, abs=0.1)


def test_several_layers_are_not_read():
    with pytest.raises(Undetermined, match="first of 2 layers"):
        columns(detectors.load("zoo:add53_two_layers"))


def test_attention_is_no_column():
    """Of a network that attends by content, what both operands make together is left out, and stays when one is cut."""
    network = detectors.load("zoo:add53_grokked")
    found, n = columns(network), 53
    cube = network.preactivations(0)[network.grid.reshape(-1)].double().reshape(n, n, -1).numpy()
    cube = cube - cube.mean((0, 1))
    both = np.square(cube).sum((0, 1))
    alone = n * torch.stack(found.energy.chunk(2)).sum(0).numpy()
    assert (alone <= both + 1e-6).all()
    assert 0.9 < alone.sum() / both.sum() < 0.999
