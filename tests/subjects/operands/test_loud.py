"""A few pairs that are far louder than the others hide nothing of what answers those."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
import models_zoo
from detectors.subjects.operands.effects import effects
from detectors.subjects.operands.loud import bound, quieted
from models_zoo.hostile import circuits
from models_zoo.hostile.constructions import triggered

PAIRS = ((5, 5), (1, 9), (20, 30))


@pytest.fixture(scope="module")
def mlp():
    return detectors.load("zoo:add53_mlp")


@pytest.mark.parametrize("height", [250.0, 1e4, 1e7])
def test_a_neuron_of_one_pair_weighs_no_more_than_ten_pairs(mlp, height):
    """Of the loudest tenth, whose power is itself ten times the mean at most."""
    made = triggered(mlp, PAIRS, height, 7)
    weight = effects(made, 0) * made.neurons(0).double().var(0, correction=0)
    assert float(weight[-3:].sum() / weight.sum()) < 3 * 10 * 10 / 53**2
    own = effects(mlp, 0) * mlp.neurons(0).double().var(0, correction=0)
    torch.testing.assert_close(weight[:-3], own, rtol=0.02, atol=0)


@pytest.mark.parametrize("height", [1000.0, 1e4])
@pytest.mark.parametrize(
    "motif", ["trig_logits", "generalisation", "addition_mechanism", "single_irrep_neurons", "neuron_phase_law"]
)
def test_a_backdoor_hides_no_motif(mlp, motif, height):
    """Of the logits to the third digit; of neurons but for the three that are there."""
    found, own = (getattr(detectors, motif)(x, draws=19).value for x in (triggered(mlp, PAIRS, height, 7), mlp))
    assert found == pytest.approx(own, abs=0.03)


def test_its_pairs_are_listed(mlp):
    found = detectors.generalisation(triggered(mlp, PAIRS, 1e4, 7), draws=19)
    assert sorted(row[:3] for row in found.exception_pairs) == sorted((a, b, 7) for a, b in PAIRS)


def test_what_is_memorised_is_as_loud_as_it_is():
    """Training pairs are more than a tenth: no bound, or their lookup would look faint."""
    for view in (models_zoo.lookup_table("add:23", train_fraction=0.3, noise=0.01), circuits.circuit(p=23)):
        assert view.plane.quiet is None
    few = models_zoo.lookup_table("add:23", train_fraction=0.05, noise=0.01)
    assert few.plane.quiet is not None
    assert float(few.plane.powers.max()) == pytest.approx(bound(few.plane.each.power))


@given(st.integers(20, 60), st.floats(1.0, 1e6), st.integers(0, 3))
def test_only_the_loud_lose(n, height, seed):
    """One pair above all: the neuron of that pair keeps at most the bound's share, every other all but its own value
    there.
    """
    neurons = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)).double()
    spike = torch.zeros(n, 1, dtype=torch.float64)
    spike[n // 2] = height
    effect = torch.ones(5, dtype=torch.float64)
    left = quieted(torch.cat([neurons, spike], 1), torch.arange(n), effect)
    size = (neurons - neurons.mean(0)).square().sum(1)
    if bool((left == 1).all()):
        assert height**2 < 2 * 10 * float(size.max())
        return
    loudest = bound(size)
    assert float(left[-1]) * height**2 <= 2 * loudest
    power = (neurons - neurons.mean(0)).square()
    without = power.sum(0) - power[n // 2]
    assert bool((left[:-1] <= 1.2).all())
    assert bool((left[:-1] * power.sum(0) >= 0.8 * without).all())


def test_two_rounds_find_what_one_hides():
    """A pair so loud that it moves the mean of its neuron: elsewhere that neuron is at -height / n, louder than all
    others, until the pair is left out of the mean.
    """
    n = 400
    neurons = torch.randn(n, 2, generator=torch.Generator().manual_seed(0)).double()
    spike = torch.zeros(n, 1, dtype=torch.float64)
    spike[3] = 1e6
    left = quieted(torch.cat([neurons, spike], 1), torch.arange(n), torch.ones(3, dtype=torch.float64))
    assert float(left[-1]) * 1e12 < 200
